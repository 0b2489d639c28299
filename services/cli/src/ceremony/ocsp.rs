//! `assay ceremony ocsp`: the delegated OCSP responder (RFC 6960 section 4.2.2.2), its key once and its certificate again
//! and again: with id-pkix-ocsp-nocheck nobody asks whether it stands, so that it is short-lived instead.

use assay_hsm::{Ceremony, KeyAlgorithm, KeyRole, TokenUri};
use assay_policy::Dn;
use clap::Args;
use openssl::x509::X509;
use serde::Serialize;

use super::args::TokenArgs;
use super::certificate::{self, Issuer, Kind, Template};
use super::import::read_key;
use super::keys::{self, Key};
use super::layout;
use super::make::{find, sign};
use super::transcript::{State, Transcript};
use crate::failure::{Failure, OrFail, Outcome};
use crate::files;
use crate::installation::Installation;
use crate::output::Output;

/// The responder's subject where nobody wants another one.
pub(super) const SUBJECT: &str = "CN=Assay OCSP Responder";
/// Days that a certificate of the responder is valid.
pub(super) const DAYS: u32 = 90;
/// Its file in `certificates/`.
const FILE: &str = "ocsp.pem";

/// Make the OCSP responder's key and certificate, or renew the certificate
///
/// Makes the key ocsp-sign in the token where the ceremony made none, and certificates/ocsp.pem over it, signed by the CA
/// key. Run again, it renews the certificate over the same key: before the old one ends, of which the signer warns two
/// weeks ahead. After that restart the signer; frontends answer from memory meanwhile.
#[derive(Debug, Args)]
pub(crate) struct OcspArgs {
    /// The responder's key, where there is none yet: p256, p384, rsa2048, rsa3072 or rsa4096
    #[arg(long, value_name = "ALGORITHM", default_value = "p256")]
    key: KeyAlgorithm,

    /// The responder's subject, RFC 4514
    #[arg(long, value_name = "DN", default_value = SUBJECT, value_parser = Dn::parse_rfc4514)]
    subject: Dn,

    /// Days that the certificate is valid; it ends with the CA at the latest
    #[arg(long, value_name = "DAYS", default_value_t = DAYS, value_parser = clap::value_parser!(u32).range(1..=1_095))]
    days: u32,
}

pub(super) async fn run(args: OcspArgs, installation: &Installation, out: Output) -> Outcome {
    check_key(args.key, "--key")?;
    let mut transcript = Transcript::load(installation)?;
    if transcript.state != State::Complete {
        return Err(Failure::failed("the ceremony here is not complete")
            .next("finish it first: `assay ceremony import` takes the offline root's answer"));
    }
    let token = TokenArgs {
        module: transcript.module.clone().into(),
        token: TokenUri::parse(&transcript.token)
            .or_fail("the transcript's token is unreadable")?,
        environment: transcript.environment.clone().into_iter().collect(),
    };
    let service = keys::open(&token, &token.token).await?;
    let made = make(&args, &service, installation, &mut transcript).await;
    service.close().await;
    let made = made?;
    out.one(&made, Made::tell)
}

/// What it takes to use it.
#[derive(Debug, Serialize)]
struct Made {
    certificate: String,
    not_after: String,
    key: String,
    /// Whether signer.toml has to be told of it.
    new: bool,
    /// For signer.toml.
    lines: String,
}

impl Made {
    fn tell(&self) -> Vec<String> {
        let mut told = vec![format!("{}, until {}", self.certificate, self.not_after)];
        if self.new {
            told.push(
                "add to signer.toml, and name the frontend's /ocsp as `ocsp` in the profiles:"
                    .to_owned(),
            );
            told.extend(self.lines.lines().map(str::to_owned));
        }
        told.push("next: restart the signer".to_owned());
        told
    }
}

async fn make(
    args: &OcspArgs,
    service: &Ceremony,
    installation: &Installation,
    transcript: &mut Transcript,
) -> Outcome<Made> {
    let what = "certificates/ca.pem holds no PEM certificate";
    let ca_der = X509::from_pem(&files::read(&installation.certificates().join("ca.pem"))?)
        .and_then(|ca| ca.to_der())
        .or_fail(what)?;
    let mut service_keys = Vec::new();
    for entry in &transcript.keys {
        // The others are not needed, and root-sign lies elsewhere.
        if [KeyRole::CaSign, KeyRole::OcspSign]
            .iter()
            .any(|role| role.as_str() == entry.role)
        {
            service_keys.push(read_key(service, entry).await?);
        }
    }
    if find(&service_keys, KeyRole::CaSign)?.spki_der != Issuer::of_certificate(&ca_der)?.spki_der {
        return Err(
            Failure::failed("certificates/ca.pem is not over the token's ca-sign key")
                .next("use the directory of the ceremony that made this CA"),
        );
    }
    if find(&service_keys, KeyRole::OcspSign).is_err() {
        let key = keys::generate(service, KeyRole::OcspSign, args.key, transcript).await?;
        transcript.save(installation)?;
        service_keys.push(key);
    }
    certify(
        service,
        &service_keys,
        &ca_der,
        &args.subject,
        args.days,
        installation,
        transcript,
    )
    .await?;
    let key = find(&service_keys, KeyRole::OcspSign)?.uri.to_string();
    let settings = installation.signer_config();
    let configured = settings.exists()
        && files::read_text(&settings)?
            .lines()
            .any(|line| line.trim() == "[ocsp]");
    Ok(Made {
        certificate: format!("certificates/{FILE}"),
        not_after: transcript.not_after(FILE).unwrap_or_default(),
        lines: layout::ocsp(&key),
        key,
        new: !configured,
    })
}

/// Signs the responder's certificate and puts it in the place of the one before.
pub(super) async fn certify(
    service: &Ceremony,
    service_keys: &[Key],
    ca_der: &[u8],
    subject: &Dn,
    days: u32,
    installation: &Installation,
    transcript: &mut Transcript,
) -> Outcome {
    let issuer = Issuer::of_certificate(ca_der)?;
    let subject_der = certificate::name(subject)?;
    let template = Template {
        kind: Kind::OcspResponder,
        subject_der: &subject_der,
        spki_der: &find(service_keys, KeyRole::OcspSign)?.spki_der,
        issuer: &issuer,
        days,
    };
    let ca = find(service_keys, KeyRole::CaSign)?;
    let der = sign(service, ca, KeyRole::CaSign, &template).await?;
    transcript.replace_certificate(installation, FILE, &der)
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
