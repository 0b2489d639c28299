//! The first start: token, ceremony, transport certificates, configuration and policy, once for a directory.

use std::net::{Ipv4Addr, SocketAddr};

use assay_policy::Dn;

use super::home::{Home, Mark};
use super::{DemoArgs, token};
use crate::ceremony::{self, Addresses, Issuing, KeyArgs, Lifetimes, Plan, Subjects, TokenArgs};
use crate::failure::{OrFail, Outcome};
use crate::output;
use crate::{files, transport};

/// The profiles in force, as an auditor reads them.
const POLICIES: [(&str, &str); 2] = [
    (
        "devices.toml",
        include_str!("../../../../policy/demo/devices.toml"),
    ),
    (
        "fleet.toml",
        include_str!("../../../../policy/demo/fleet.toml"),
    ),
];

/// Makes what is not there yet. A set-up that was interrupted starts afresh.
pub(super) async fn prepare(home: &Home, args: &DemoArgs) -> Outcome {
    match home.mark()? {
        Some(mark) if mark.complete => return Ok(()),
        Some(_) => {
            output::note("the last set-up here was interrupted: starting afresh");
            home.clear()?;
        }
        None => {}
    }
    let module = token::module(args.module.as_deref())?;
    let mut mark = Mark {
        complete: false,
        module: module.clone(),
        token_label: token::SERVICE_TOKEN.to_owned(),
        starts: 0,
        fleet_challenge_id: None,
    };
    home.set_mark(&mark)?;
    for dir in ["run", "log", "policy", "devices"] {
        files::make_dir(&home.path(dir))?;
    }
    let tokens = token::make(home, &module).await?;
    let plan = Plan {
        token: TokenArgs {
            module,
            token: tokens.service,
            environment: tokens.environment,
        },
        issuing: Issuing::UnderRoot(tokens.root),
        keys: KeyArgs {
            ca_key: args.ca_key,
            ..KeyArgs::default()
        },
        subjects: subjects()?,
        lifetimes: Lifetimes::default(),
    };
    let transcript = ceremony::make(&plan, &home.installation).await?;
    transport::make_default(&home.installation)?;
    ceremony::write_settings(&home.installation, &transcript, &free_ports())?;
    for (name, text) in POLICIES {
        files::create(
            &home.path("policy").join(name),
            text.as_bytes(),
            files::PUBLIC,
        )?;
    }
    mark.complete = true;
    home.set_mark(&mark)
}

fn subjects() -> Outcome<Subjects> {
    let dn = |text| Dn::parse_rfc4514(text).or_fail("the demo's own subject");
    Ok(Subjects {
        root_subject: dn("CN=Assay Demo Root CA,O=Example")?,
        ca_subject: dn("CN=Assay Demo Issuing CA,O=Example")?,
        ra_subject: dn("CN=Assay Demo RA,O=Example")?,
    })
}

/// Port 0 throughout: the services say which they got.
fn free_ports() -> Addresses {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Addresses {
        enrolment: any,
        administration: any,
        signer_ops: any,
        http: any,
        frontend_ops: any,
    }
}
