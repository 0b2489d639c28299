//! The ceremony from an empty token to a CA that can serve, or to a request for an offline root.

use assay_hsm::{Ceremony, KeyRole, TokenUri};
use assay_policy::Dn;
use assay_runtime::drain::Shutdown;

use super::args::{KeyArgs, Lifetimes, MakeArgs, Subjects, TokenArgs};
use super::certificate::{self, Issuer, Kind, Template};
use super::csr;
use super::keys::{self, Key};
use super::layout::{self, Addresses};
use super::left;
use super::ocsp;
use super::signature;
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
    left::no_keys(&service, &plan.token.token).await?;
    let root = match &plan.issuing {
        Issuing::UnderRoot(token) => {
            let root = keys::open(&plan.token, token).await?;
            left::no_keys(&root, token).await?;
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
    transcript.save(installation)?;
    let algorithms = keys::service_keys(&plan.keys);
    let progress = Progress::new(
        "making keys",
        (algorithms.len() + usize::from(root.is_some())) as u64,
    );
    let root = match root {
        Some(token) => {
            let root = Root::make(plan, token, installation, &mut transcript).await?;
            // Two URIs may name one token.
            left::no_keys(service, &plan.token.token).await?;
            progress.add(1);
            Some(root)
        }
        None => None,
    };
    let mut service_keys = Vec::new();
    for (role, algorithm) in algorithms {
        let key = keys::generate(service, role, algorithm, &mut transcript).await?;
        if role == KeyRole::LogSign {
            keys::write_log_key(&key, installation)?;
        }
        service_keys.push(key);
        transcript.save(installation)?;
        progress.add(1);
    }
    drop(progress);
    let ca = find(&service_keys, KeyRole::CaSign)?;
    let ca_subject = certificate::name(&plan.subjects.ca_subject)?;
    let Some(root) = root else {
        csr::write(service, ca, &ca_subject, installation).await?;
        transcript.state = State::AwaitsCaCertificate;
        transcript.save(installation)?;
        return Ok(transcript);
    };
    let ca_der = root
        .certify(ca, &ca_subject, plan.lifetimes.ca_days)
        .await?;
    root.token.close().await;
    transcript.add_certificate(installation, "ca.pem", &ca_der)?;
    certify_ra(
        service,
        &service_keys,
        &ca_der,
        &plan.subjects.ra_subject,
        plan.lifetimes.ra_days,
        installation,
        &mut transcript,
    )
    .await?;
    Ok(transcript)
}

/// The last steps, the same under a root of our own and under an offline one.
pub(super) async fn certify_ra(
    service: &Ceremony,
    service_keys: &[Key],
    ca_der: &[u8],
    subject: &Dn,
    days: u32,
    installation: &Installation,
    transcript: &mut Transcript,
) -> Outcome {
    let ca = find(service_keys, KeyRole::CaSign)?;
    let issuer = Issuer::of_certificate(ca_der)?;
    let subject_der = certificate::name(subject)?;
    let mut certificates = vec![
        (Kind::RaEncryption, KeyRole::RaDecrypt, "ra-enc.pem"),
        (Kind::RaSignature, KeyRole::RaSign, "ra-sign.pem"),
    ];
    if find(service_keys, KeyRole::RaSingle).is_ok() {
        certificates.push((Kind::RaSingle, KeyRole::RaSingle, "ra-single.pem"));
    }
    for (kind, role, file) in certificates {
        let template = Template {
            kind,
            subject_der: &subject_der,
            spki_der: &find(service_keys, role)?.spki_der,
            issuer: &issuer,
            days,
        };
        let der = sign(service, ca, KeyRole::CaSign, &template).await?;
        transcript.add_certificate(installation, file, &der)?;
    }
    if find(service_keys, KeyRole::OcspSign).is_ok() {
        let subject = Dn::parse_rfc4514(ocsp::SUBJECT).or_fail("the responder's own subject")?;
        ocsp::certify(
            service,
            service_keys,
            ca_der,
            &subject,
            ocsp::DAYS,
            installation,
            transcript,
        )
        .await?;
    }
    layout::write_challenge_key(installation)?;
    transcript.finish(installation)
}

pub(super) fn find(keys: &[Key], role: KeyRole) -> Outcome<&Key> {
    keys.iter()
        .find(|key| key.role == role)
        .ok_or_else(|| Failure::failed(format!("the ceremony has no {role} key")))
}

/// Builds, signs in the token, verifies in software.
pub(super) async fn sign(
    token: &Ceremony,
    key: &Key,
    role: KeyRole,
    template: &Template<'_>,
) -> Outcome<Vec<u8>> {
    let tbs = template.tbs()?;
    let signature = token
        .sign_certificate(&key.uri, role, &template.issuer.subject_der, &tbs)
        .await
        .or_fail(format!("the {role} key did not sign"))?;
    let der = signature::assemble(&tbs, &key.spki_der, &signature)?;
    signature::verify(&der, &key.spki_der)?;
    Ok(der)
}

/// The root at work, on its own token.
struct Root {
    token: Ceremony,
    key: Key,
    issuer: Issuer,
}

impl Root {
    async fn make(
        plan: &Plan,
        token: Ceremony,
        installation: &Installation,
        transcript: &mut Transcript,
    ) -> Outcome<Self> {
        let key = keys::generate(&token, KeyRole::RootSign, plan.keys.root_key, transcript).await?;
        transcript.save(installation)?;
        let subject_der = certificate::name(&plan.subjects.root_subject)?;
        let days = plan.lifetimes.root_days;
        let issuer = Issuer::itself(&subject_der, &key.spki_der, days)?;
        let template = Template {
            kind: Kind::Root,
            subject_der: &subject_der,
            spki_der: &key.spki_der,
            issuer: &issuer,
            days,
        };
        let der = sign(&token, &key, KeyRole::RootSign, &template).await?;
        transcript.add_certificate(installation, "root.pem", &der)?;
        Ok(Self { token, key, issuer })
    }

    async fn certify(&self, ca: &Key, subject_der: &[u8], days: u32) -> Outcome<Vec<u8>> {
        let template = Template {
            kind: Kind::IssuingCa,
            subject_der,
            spki_der: &ca.spki_der,
            issuer: &self.issuer,
            days,
        };
        sign(&self.token, &self.key, KeyRole::RootSign, &template).await
    }
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
    }
}
