//! The first start: token, ceremony, transport certificates, configuration and policy, once for a directory.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use assay_console::failure::{Failure, OrFail, Outcome};
use assay_console::files;
use assay_console::output;
use assay_operator::services::{self, Service};
use assay_policy::Bundle;
use serde::Deserialize;

use super::home::{Home, Mark};
use super::{DemoArgs, ceremony, token};
use crate::commands::policy;

/// The profiles in force, as an auditor reads them, but for the addresses of this demo.
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

/// Who writes the demo's policy.
pub(super) const AUTHOR: &str = "author";
/// Who approves it.
pub(super) const APPROVER: &str = "approver-1";
const APPROVALS: &str = "1";

/// The section of a profile that says what its certificates contain.
const CERTIFICATE: &str = "[certificate]\n";

/// Makes what is not there yet. A set-up that was interrupted starts afresh.
pub(super) async fn prepare(home: &Home, args: &DemoArgs, http: SocketAddr) -> Outcome {
    match home.mark()? {
        Some(mark) if mark.complete => return check_users(&mark),
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
        http: None,
        own_users: services::have_own_users(),
    };
    home.set_mark(&mark)?;
    for dir in ["run", "log", "policy", "devices"] {
        files::make_dir(&home.path(dir))?;
    }
    let tokens = token::make(home, &module).await?;
    let module = module.display().to_string();
    let mut create = vec![
        "create",
        "--module",
        &module,
        "--token",
        &tokens.service,
        "--token-env",
        &tokens.environment,
        "--root-token",
        &tokens.root,
        "--ca-key",
        &args.ca_key,
        "--root-subject",
        "CN=Assay Demo Root CA,O=Example",
        "--ca-subject",
        "CN=Assay Demo Issuing CA,O=Example",
        "--ra-subject",
        "CN=Assay Demo RA,O=Example",
        "--approvals",
        APPROVALS,
    ];
    let users = [Service::Signer, Service::Hsm].map(|service| service.user().to_string());
    let [signer, hsm] = &users;
    if mark.own_users {
        create.extend(["--signer-user", signer, "--hsm-user", hsm]);
    } else {
        create.push("--same-user");
    }
    if args.single_ra {
        create.push("--single-ra");
    }
    if args.ocsp {
        create.push("--ocsp");
    }
    ceremony::run(home, &create).await?;
    ceremony::run(home, &["transport"]).await?;
    pin_approvers(home).await?;
    lift_address_limit(&home.path("frontend.toml"))?;
    for (name, text) in POLICIES {
        files::create(
            &home.path("policy").join(name),
            with_addresses(text, http, args.ocsp).as_bytes(),
            files::PUBLIC,
        )?;
    }
    add_forms(home)?;
    mark.complete = true;
    home.set_mark(&mark)
}

/// The table of hsm.toml as the ceremony writes it.
const LIMITS: &str = "[limits]\n";
const NO_LIMITS: &str = "\
[limits]
# Out of reach: tests and benchmarks ask for more than an installation of this size. Leave these out elsewhere.
certificates_per_hour = 1000000
certificates_per_day = 1000000
crls_per_hour = 1000000
crls_per_day = 1000000
decryptions_per_hour = 1000000
decryptions_per_day = 1000000
leaves_per_hour = 10000000
leaves_per_day = 10000000
revocations_per_hour = 1000000
";

/// A person would read the forms before the HSM service gets them.
fn add_forms(home: &Home) -> Outcome {
    let files = Bundle::read_dir(&home.installation.policy()).or_fail("cannot read the policy")?;
    let bundle = Bundle::load(&files).map_err(|errors| policy::files::faulty(&errors))?;
    let config = home.installation.hsm_config();
    let text = files::read_text(&config)?.replacen(LIMITS, NO_LIMITS, 1);
    let text = text + "\n" + &policy::forms::toml_of(&bundle)?;
    files::replace(&config, text.as_bytes(), files::PUBLIC)
}

/// The users of the services are written into the configuration, and only root can start them.
fn check_users(mark: &Mark) -> Outcome {
    if mark.own_users && !services::have_own_users() {
        return Err(
            Failure::failed("root made this demo, with a user for each of its services")
                .next("run it as root, or name another directory with --dir"),
        );
    }
    Ok(())
}

/// Whoever tries the demo or measures it comes from one address, which no installation with many devices does.
fn lift_address_limit(frontend: &Path) -> Outcome {
    const LIMITS: &str = "
[limits]
# No limit for one address: demo and benchmarks send everything from loopback. Leave this out elsewhere.
address_rate = 0
address_connections = 512
address_concurrency = 512
";
    let text = files::read_text(frontend)? + LIMITS;
    files::replace(frontend, text.as_bytes(), files::PUBLIC)
}

/// The part of the output of `assay-ceremony approver` that is used here.
#[derive(Deserialize)]
struct Approver {
    /// For the end of signer.toml.
    lines: String,
}

/// A real installation has people, each with a key of their own; here both keys lie in the demo's directory.
async fn pin_approvers(home: &Home) -> Outcome {
    let config = home.installation.signer_config();
    let mut text = files::read_text(&config)?;
    for person in [AUTHOR, APPROVER] {
        let made = ceremony::run(home, &["approver", "--person", person, "--json"]).await?;
        let made: Approver =
            serde_json::from_slice(&made).or_fail("assay-ceremony printed something else")?;
        text.push_str(&made.lines);
    }
    files::replace(&config, text.as_bytes(), files::PUBLIC)
}

/// A profile whose certificates say where the CRL, the CA's certificate and perhaps OCSP are: the frontend serves all.
fn with_addresses(policy: &str, http: SocketAddr, ocsp: bool) -> String {
    let http = reachable(http);
    let section = format!(
        "{CERTIFICATE}crl_distribution_points = [\"http://{http}/crl/{{ca}}.crl\"]\n\
         ca_issuers = [\"http://{http}/aia/{{ca}}.cer\"]\n"
    );
    let ocsp = if ocsp {
        format!("ocsp = [\"http://{http}/ocsp\"]\n")
    } else {
        String::new()
    };
    policy.replacen(CERTIFICATE, &(section + &ocsp), 1)
}

/// Listening everywhere, it is reached here at loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        SocketAddr::from((Ipv4Addr::LOCALHOST, address.port()))
    } else {
        address
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profiles_name_where_the_frontend_is_reached() {
        let everywhere = SocketAddr::from(([0, 0, 0, 0], 8_080));
        for (name, text) in POLICIES {
            let text = with_addresses(text, everywhere, true);
            let policy: toml::Table = text.parse().unwrap();
            assert_eq!(
                policy["certificate"]["crl_distribution_points"][0].as_str(),
                Some("http://127.0.0.1:8080/crl/{ca}.crl"),
                "{name}"
            );
            assert_eq!(
                policy["certificate"]["ca_issuers"][0].as_str(),
                Some("http://127.0.0.1:8080/aia/{ca}.cer"),
                "{name}"
            );
            assert_eq!(
                policy["certificate"]["ocsp"][0].as_str(),
                Some("http://127.0.0.1:8080/ocsp"),
                "{name}"
            );
        }
    }
}
