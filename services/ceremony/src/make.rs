//! The ceremony from an empty token to a CA that can serve, or to a request for an offline root.

use assay_hsm::{Ceremony, KeyRole, TokenUri};
use assay_runtime::drain::Shutdown;

use super::args::{KeyArgs, Lifetimes, MakeArgs, Subjects, TokenArgs};
use super::certificate;
use super::certify::{CA_FILE, certify_ra};
use super::csr;
use super::generation::Generation;
use super::keys::{self, find};
use super::layout::{self, Addresses};
use super::left;
use super::record::Record;
use super::root::Root;
use super::transcript::{self, State, Transcript};
use crate::failure::{Exit, Failure, OrFail, Outcome};
use crate::files;
use crate::installation::Installation;
use crate::output::Output;
use crate::progress::Progress;

/// All that the ceremony needs to know before it starts.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) token: TokenArgs,
    pub(crate) issuing: Issuing,
    pub(crate) keys: KeyArgs,
    pub(crate) subjects: Subjects,
    pub(crate) lifetimes: Lifetimes,
}

/// Who certifies the issuing CA.
#[derive(Clone, Debug)]
pub(crate) enum Issuing {
    /// A root made now, on a token of its own.
    UnderRoot(TokenUri),
    /// An offline root, by certificate request.
    ByRequest,
}

pub(super) async fn run(args: MakeArgs, installation: &Installation, out: Output) -> Outcome {
    let plan = Plan {
        token: args.token_args()?,
        issuing: match &args.root_token {
            Some(token) => Issuing::UnderRoot(token.clone()),
            None => Issuing::ByRequest,
        },
        keys: args.keys,
        subjects: args.subjects,
        lifetimes: args.lifetimes,
    };
    let made = make(&plan, installation).await?;
    if made.state == State::Complete {
        layout::write_settings(
            installation,
            &made,
            &Addresses::default(),
            layout::APPROVALS,
        )?;
    }
    out.one(&made, |made| {
        let mut lines = made.lines();
        lines.push(match made.state {
            State::Complete => {
                "next: `assay ceremony transport` and `assay ceremony approver`, then check signer.toml and frontend.toml"
                    .to_owned()
            }
            State::Started | State::AwaitsCaCertificate => format!(
                "next: have the root sign {} as a CA, then `assay ceremony import`",
                installation.certificates().join("ca.csr").display()
            ),
        });
        lines
    })
}

/// Does what the plan says, or fails and says exactly what is left.
pub(crate) async fn make(plan: &Plan, installation: &Installation) -> Outcome<Transcript> {
    left::no_files(installation)?;
    let tokens = plan.tokens()?;
    plan.keys.check()?;
    let shutdown = Shutdown::on_signals().or_fail("cannot take signals")?;
    files::make_dir(&installation.certificates())?;
    let service = keys::open(&plan.token, &plan.token.token).await?;
    left::no_keys(&service, &plan.token.token, Generation::FIRST).await?;
    let root = match &plan.issuing {
        Issuing::UnderRoot(token) => {
            let root = keys::open(&plan.token, token).await?;
            left::no_keys(&root, token, Generation::FIRST).await?;
            Some(root)
        }
        Issuing::ByRequest => None,
    };
    let steps = steps(plan, &service, root, installation);
    let made = tokio::select! {
        made = steps => made,
        () = shutdown.requested() => Err(Failure::new(Exit::Interrupted, "the ceremony was interrupted")),
    };
    service.close().await;
    match made {
        Ok(transcript) => Ok(transcript),
        Err(failure) => Err(left::tell(failure, &plan.token, &tokens, installation).await),
    }
}

impl Plan {
    fn tokens(&self) -> Outcome<Vec<&TokenUri>> {
        let service = &self.token.token;
        match &self.issuing {
            Issuing::ByRequest => Ok(vec![service]),
            Issuing::UnderRoot(root) => {
                let same = root.label() == service.label() && root.serial() == service.serial();
                if same {
                    return Err(Failure::usage(
                        "root and service keys are to lie on the same token",
                    )
                    .next("give --root-token another one, which can be locked away"));
                }
                Ok(vec![service, root])
            }
        }
    }
}

async fn steps(
    plan: &Plan,
    service: &Ceremony,
    root: Option<Ceremony>,
    installation: &Installation,
) -> Outcome<Transcript> {
    let mut transcript = start(plan);
    let mut record = Record::of(Generation::FIRST, installation, &mut transcript);
    record.save()?;
    let algorithms = keys::service_keys(&plan.keys);
    let progress = Progress::new(
        "making keys",
        (algorithms.len() + usize::from(root.is_some())) as u64,
    );
    let root = match root {
        Some(token) => {
            let (subject, days) = (&plan.subjects.root_subject, plan.lifetimes.root_days);
            let root = Root::make(token, plan.keys.root_key, subject, days, &mut record).await?;
            // Two URIs may name one token.
            left::no_keys(service, &plan.token.token, Generation::FIRST).await?;
            progress.add(1);
            Some(root)
        }
        None => None,
    };
    let mut service_keys = Vec::new();
    for (role, algorithm) in algorithms {
        let key = keys::generate(service, role, algorithm, &mut record).await?;
        if role == KeyRole::LogSign {
            keys::write_log_key(&key, installation)?;
        }
        service_keys.push(key);
        progress.add(1);
    }
    drop(progress);
    let ca = find(&service_keys, KeyRole::CaSign)?;
    let ca_subject = certificate::name(&plan.subjects.ca_subject)?;
    let Some(root) = root else {
        csr::write(service, ca, &ca_subject, &record).await?;
        record.set_state(State::AwaitsCaCertificate)?;
        return Ok(transcript);
    };
    let ca_der = root
        .certify(ca, &ca_subject, plan.lifetimes.ca_days)
        .await?;
    root.close().await;
    record.add_certificate(CA_FILE, &ca_der)?;
    certify_ra(
        service,
        &service_keys,
        &ca_der,
        &plan.subjects.ra_subject,
        plan.lifetimes.ra_days,
        &mut record,
    )
    .await?;
    layout::write_challenge_key(installation)?;
    record.set_state(State::Complete)?;
    Ok(transcript)
}

fn start(plan: &Plan) -> Transcript {
    Transcript {
        assay_version: env!("CARGO_PKG_VERSION").to_owned(),
        started: transcript::now(),
        finished: None,
        state: State::Started,
        module: plan.token.module.display().to_string(),
        environment: plan.token.environment.iter().cloned().collect(),
        token: plan.token.token.to_string(),
        root_token: match &plan.issuing {
            Issuing::UnderRoot(token) => Some(token.to_string()),
            Issuing::ByRequest => None,
        },
        ra_subject: plan.subjects.ra_subject.to_string(),
        ra_days: plan.lifetimes.ra_days,
        keys: Vec::new(),
        certificates: Vec::new(),
        successors: Vec::new(),
    }
}
