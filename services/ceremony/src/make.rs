//! The ceremony from an empty token to a CA that can serve, or to a request for an offline root.

use assay_pkcs11::TokenUri;

use super::args::{CreateArgs, KeyArgs, Lifetimes, Subjects, TokenArgs};
use super::certify::{Wanted, make_ca};
use super::csr;
use super::generation::Generation;
use super::keys;
use super::layout;
use super::left;
use super::record::Record;
use super::root::Root;
use super::token::{Library, OpenToken};
use super::transcript::{self, Ca, State, Transcript};
use assay_console::failure::{Failure, Outcome};
use assay_console::files;
use assay_console::output::Output;
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
    let mut lines = made.lines(Generation::FIRST)?;
    if made.ca(Generation::FIRST)?.state == State::Complete {
        layout::write_settings(installation, &made, args.approvals, &args.users)?;
        lines.extend([
            "next: `assay-ceremony transport` and `assay-ceremony approver`, then check hsm.toml, signer.toml and frontend.toml"
                .to_owned(),
            "and, as the user of the HSM service: `assay-hsm journal create --unused`, and the forms of the policy from `assay policy forms`"
                .to_owned(),
        ]);
    } else {
        lines.push(format!(
            "next: have the root sign {} as a CA, then `assay-ceremony import`",
            installation.certificates().join(csr::FILE).display()
        ));
    }
    out.one(&made, |_| lines)
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
    let mut transcript = start(plan);
    steps(plan, &service, root, installation, &mut transcript)
        .map_err(|failure| left::with_remains(failure, &library, &tokens, installation))?;
    Ok(transcript)
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
    transcript: &mut Transcript,
) -> Outcome {
    let mut record = Record::of(Generation::FIRST, installation, transcript);
    record.save()?;
    let root = match root {
        Some(token) => {
            let (subject, days) = (&plan.subjects.root_subject, plan.lifetimes.root_days);
            let root = Root::make(token, plan.keys.root_key, subject, days, &mut record)?;
            // Two URIs may name one token.
            left::no_keys(service, &plan.token.token, Generation::FIRST)?;
            Some(root)
        }
        None => None,
    };
    let wanted = Wanted {
        keys: &keys::service_keys(&plan.keys),
        subject: &plan.subjects.ca_subject,
        days: plan.lifetimes.ca_days,
    };
    make_ca(service, root.as_ref(), &wanted, &mut record)
}

fn start(plan: &Plan) -> Transcript {
    let first = Ca {
        generation: Generation::FIRST,
        assay_version: env!("CARGO_PKG_VERSION").to_owned(),
        started: transcript::now(),
        finished: None,
        abandoned: None,
        state: State::Started,
        root_token: match &plan.issuing {
            Issuing::UnderRoot(token) => Some(token.to_string()),
            Issuing::ByRequest => None,
        },
        ca_subject: plan.subjects.ca_subject.to_string(),
        ra_subject: plan.subjects.ra_subject.to_string(),
        ra_days: plan.lifetimes.ra_days,
        switch: None,
        keys: Vec::new(),
        certificates: Vec::new(),
    };
    Transcript {
        module: plan.token.module.display().to_string(),
        environment: plan.token.environment.iter().cloned().collect(),
        token: plan.token.token.to_string(),
        generations: vec![first],
    }
}
