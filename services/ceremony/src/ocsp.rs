//! `assay-ceremony ocsp`: the delegated OCSP responder (RFC 6960 section 4.2.2.2), its key once and its certificate again
//! and again: with id-pkix-ocsp-nocheck nobody asks whether it stands, so that it is short-lived instead.

use assay_pkcs11::{KeyAlgorithm, KeyRole};
use assay_policy::Dn;
use clap::Args;
use serde::Serialize;

use super::certificate::{self, Issuer, Kind, Template};
use super::certify::{CA_FILE, sign};
use super::generation::Generation;
use super::hsm_toml;
use super::keys::{self, Key};
use super::layout;
use super::next::{self, SignerToml};
use super::record::Record;
use super::token::{Library, OpenToken};
use super::transcript::{State, Transcript};
use assay_console::failure::{Failure, OrFail, Outcome};
use assay_console::output::{self, Output};
use assay_operator::installation::Installation;

/// The responder's subject in the first generation, where nobody wants another one.
const SUBJECT: &str = "CN=Assay OCSP Responder";
/// Days that a certificate of the responder is valid.
pub(super) const DAYS: u32 = 90;
/// Its file among the certificates of its generation.
pub(super) const FILE: &str = "ocsp.pem";

/// Make the OCSP responder's key and certificate, or renew the certificate
///
/// Makes the key ocsp-sign in the token where the ceremony made none, and certificates/ocsp.pem over it, signed by the CA
/// key. Run again, it renews the certificate over the same key: before the old one ends, of which the signer warns two
/// weeks ahead. While a next CA waits or takes over, it does the same for that CA's responder. It names them in hsm.toml. After that
/// restart assay-hsm and the signer; frontends answer from memory meanwhile.
#[derive(Debug, Args)]
pub(crate) struct OcspArgs {
    /// The responder's key, where there is none yet: p256, p384, rsa2048, rsa3072 or rsa4096
    #[arg(long, value_name = "ALGORITHM", default_value = "p256")]
    key: KeyAlgorithm,

    /// The responder's subject, RFC 4514 [default: CN=Assay OCSP Responder; of a later CA with its number, ... G2]
    #[arg(long, value_name = "DN", value_parser = Dn::parse_rfc4514)]
    subject: Option<Dn>,

    /// Days that the certificate is valid; it ends with the CA at the latest
    #[arg(long, value_name = "DAYS", default_value_t = DAYS, value_parser = clap::value_parser!(u32).range(1..=1_095))]
    days: u32,
}

pub(super) fn run(args: &OcspArgs, installation: &Installation, out: Output) -> Outcome {
    check_key(args.key, "--key")?;
    let mut transcript = Transcript::load_complete(installation)?;
    let file = SignerToml::find(installation)?;
    let present = file.as_ref().and_then(|file| file.present(&transcript));
    let present = present.unwrap_or(Generation::FIRST);
    let next = waiting(&transcript, present);
    let token = transcript.token_args()?;
    let service = Library::load(&token)?.open(&token.token)?;
    let mut record = Record::of(present, installation, &mut transcript);
    let made = both(args, &service, file.as_ref(), next, &mut record)?;
    out.one(&made, Made::report)
}

/// The next CA that is made and waits for its time, or has taken over while the present one signs CRLs.
fn waiting(transcript: &Transcript, present: Generation) -> Option<Generation> {
    let newest = transcript.ca(transcript.newest()).ok()?;
    let waits = newest.generation > present && newest.state == State::Complete;
    waits.then_some(newest.generation)
}

/// What it takes to use it.
#[derive(Debug, Serialize)]
struct Made {
    certificate: String,
    not_after: String,
    key: String,
    /// Whether signer.toml does not name it yet.
    new: bool,
    /// For signer.toml.
    lines: String,
    /// Of the next CA.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<Box<Made>>,
}

impl Made {
    fn report(&self) -> Vec<String> {
        let all = || std::iter::once(self).chain(self.next.as_deref());
        let mut report: Vec<String> = all()
            .map(|made| format!("{}, until {}", made.certificate, made.not_after))
            .collect();
        if all().any(|made| made.new) {
            report.push(
                "add to signer.toml, and name the frontend's /ocsp as `ocsp` in the profiles:"
                    .to_owned(),
            );
            let new = all().filter(|made| made.new);
            report.extend(new.flat_map(|made| made.lines.lines()).map(str::to_owned));
        }
        report.push("next: restart assay-hsm and the signer".to_owned());
        report
    }
}

/// The present CA's responder, unless that CA has ended, and the next one's.
fn both(
    args: &OcspArgs,
    service: &OpenToken,
    file: Option<&SignerToml>,
    next: Option<Generation>,
    record: &mut Record<'_>,
) -> Outcome<Made> {
    let configured = file.is_some_and(SignerToml::has_ocsp);
    let Some(next) = next else {
        return make(args, service, configured, record);
    };
    let ca = Issuer::of_certificate(&record.certificate(CA_FILE)?)?;
    let ended = ca.not_after <= std::time::SystemTime::now();
    let present = if ended {
        output::note("note: the CA before has ended, and its responder is not renewed");
        None
    } else {
        Some(make(args, service, configured, record)?)
    };
    let mut record = Record::of(next, record.installation, record.transcript);
    let configured = file.is_some_and(SignerToml::has_next_ocsp);
    let next = make(args, service, configured, &mut record)?;
    Ok(match present {
        Some(present) => Made {
            next: Some(Box::new(next)),
            ..present
        },
        None => next,
    })
}

fn make(
    args: &OcspArgs,
    service: &OpenToken,
    configured: bool,
    record: &mut Record<'_>,
) -> Outcome<Made> {
    let generation = record.generation;
    let (ca, issuer) = keys::of_ca(service, record)?;
    let key = match record.ca()?.find_key(KeyRole::OcspSign) {
        Some(entry) => keys::read(service, entry)?,
        None => keys::generate(service, KeyRole::OcspSign, args.key, record)?,
    };
    let subject = match &args.subject {
        Some(subject) => subject.clone(),
        None => subject(generation)?,
    };
    certify(service, &ca, &issuer, &key, &subject, args.days, record)?;
    hsm_toml::set_ocsp(record.installation, record.ca()?)?;
    let key = key.uri.to_string();
    Ok(Made {
        certificate: generation.file(FILE),
        not_after: record.not_after(FILE).unwrap_or_default(),
        lines: lines(record)?,
        key,
        new: !configured,
        next: None,
    })
}

/// Those of the present CA or of the one that takes over.
fn lines(record: &Record<'_>) -> Outcome<String> {
    let file = SignerToml::find(record.installation)?;
    let present = file.and_then(|file| file.present(record.transcript));
    let generation = record.generation;
    Ok(if present.unwrap_or(Generation::FIRST) == generation {
        layout::ocsp(&generation.file(FILE))
    } else {
        next::ocsp_table(generation)
    })
}

/// The subject of a generation's responder where nobody wants another one.
pub(super) fn subject(generation: Generation) -> Outcome<Dn> {
    let subject = Dn::parse_rfc4514(SUBJECT).or_fail("the responder's own subject")?;
    generation
        .mark(&subject)
        .ok_or_else(|| Failure::failed("the responder's own subject"))
}

/// Signs the responder's certificate and puts it in the place of the one before.
pub(super) fn certify(
    service: &OpenToken,
    ca: &Key,
    issuer: &Issuer,
    responder: &Key,
    subject: &Dn,
    days: u32,
    record: &mut Record<'_>,
) -> Outcome {
    let template = Template {
        kind: Kind::OcspResponder,
        subject_der: &certificate::name(subject)?,
        spki_der: &responder.spki_der,
        issuer,
        days,
    };
    let der = sign(service, ca, KeyRole::CaSign, &template)?;
    record.replace_certificate(FILE, &der)
}

/// What relying parties can verify; better said before a key is made.
pub(super) fn check_key(algorithm: KeyAlgorithm, option: &str) -> Outcome {
    match algorithm {
        KeyAlgorithm::Rsa(_) | KeyAlgorithm::P256 | KeyAlgorithm::P384 => Ok(()),
        KeyAlgorithm::Ed25519 => Err(Failure::usage(format!(
            "{option} {algorithm}: OCSP clients do not verify it"
        ))
        .next("choose p256, p384, rsa2048, rsa3072 or rsa4096")),
    }
}
