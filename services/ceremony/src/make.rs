//! The ceremony from an empty token to a CA that can serve, or to a request for an offline root.

use assay_pkcs11::{KeyRole, TokenUri};

use super::args::{CreateArgs, KeyArgs, Lifetimes, Subjects, TokenArgs};
use super::certificate;
use super::certify::{CA_FILE, certify_ra};
use super::csr;
use super::generation::Generation;
use super::keys::{self, find};
use super::layout;
use super::left;
use super::record::Record;
use super::root::Root;
use super::token::{Library, OpenToken};
use super::transcript::{self, State, Transcript};
use assay_console::failure::{Failure, Outcome};
use assay_console::files;
use assay_console::output::Output;
use assay_console::progress::Progress;
use assay_operator::installation::Installation;

/// All that the ceremony needs to know before it starts.
#[derive(Clone, Debug)]
struct Plan {
    token: TokenArgs,
    issuing: Issuing,
    keys: KeyArgs,
    subjects: Subjects,
    lifetimes: Lifetimes,
}

/// Who certifies the issuing CA.
#[derive(Clone, Debug)]
enum Issuing {
    /// A root made now, on a token of its own.
    UnderRoot(TokenUri),
    /// An offline root, by certificate request.
    ByRequest,
}

pub(super) fn run(args: CreateArgs, installation: &Installation, out: Output) -> Outcome {
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
    let made = make(&plan, installation)?;
    if made.state == State::Complete {
        layout::write_settings(installation, &made, args.approvals)?;
    }
    out.one(&made, |made| {
        let mut lines = made.lines();
        lines.push(match made.state {
            State::Complete => {
                "next: `assay-ceremony transport` and `assay-ceremony approver`, then check signer.toml and frontend.toml"
                    .to_owned()
            }
            State::Started | State::AwaitsCaCertificate => format!(
                "next: have the root sign {} as a CA, then `assay-ceremony import`",
                installation.certificates().join("ca.csr").display()
            ),
        });
        lines
    })
}

/// Does what the plan says, or fails and says exactly what is left.
fn make(plan: &Plan, installation: &Installation) -> Outcome<Transcript> {
    left::no_files(installation)?;
    let tokens = plan.tokens()?;
    plan.keys.check()?;
    let library = Library::load(&plan.token)?;
    files::make_dir(&installation.certificates())?;
    let service = library.open(&plan.token.token)?;
    left::no_keys(&service, &plan.token.token, Generation::FIRST)?;
    let root = match &plan.issuing {
        Issuing::UnderRoot(token) => {
            let root = library.open(token)?;
            left::no_keys(&root, token, Generation::FIRST)?;
            Some(root)
        }
        Issuing::ByRequest => None,
    };
    steps(plan, &service, root, installation)
        .map_err(|failure| left::with_remains(failure, &library, &tokens, installation))
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

fn steps(
    plan: &Plan,
    service: &OpenToken,
    root: Option<OpenToken>,
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
            let root = Root::make(token, plan.keys.root_key, subject, days, &mut record)?;
            // Two URIs may name one token.
            left::no_keys(service, &plan.token.token, Generation::FIRST)?;
            progress.add(1);
            Some(root)
        }
        None => None,
    };
    let mut service_keys = Vec::new();
    for (role, algorithm) in algorithms {
        let key = keys::generate(service, role, algorithm, &mut record)?;
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
        csr::write(service, ca, &ca_subject, &record)?;
        record.set_state(State::AwaitsCaCertificate)?;
        return Ok(transcript);
    };
    let ca_der = root.certify(ca, &ca_subject, plan.lifetimes.ca_days)?;
    record.add_certificate(CA_FILE, &ca_der)?;
    certify_ra(
        service,
        &service_keys,
        &ca_der,
        &plan.subjects.ra_subject,
        plan.lifetimes.ra_days,
        &mut record,
    )?;
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
