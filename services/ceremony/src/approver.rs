//! `assay-ceremony approver`: a key that may propose and approve policy, or a certificate of a smart card in its place.

use std::path::PathBuf;

use clap::Args;
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::x509::X509;
use openssl::x509::extension::{BasicConstraints, KeyUsage, SubjectKeyIdentifier};
use serde::Serialize;

use super::record::read_certificate;
use super::software;
use assay_console::failure::{OrFail, Outcome};
use assay_console::files;
use assay_console::output::Output;
use assay_operator::installation::Installation;

/// A pinned certificate's validity counts for nothing; this is for tools that look at it.
const DAYS: u32 = 3_650;

/// Make the key and certificate of somebody who proposes or approves policy
///
/// Writes approvers/NAME.pem and approvers/NAME.key and prints the lines for signer.toml. Each person does so on a
/// machine of his own and hands out the certificate alone; who has a smart card imports its certificate.
#[derive(Debug, Args)]
pub(crate) struct ApproverArgs {
    /// The person: lowercase letters, digits, dots and hyphens
    #[arg(long, value_name = "NAME")]
    person: String,

    /// Take this certificate, PEM, of a key that is elsewhere
    #[arg(long, value_name = "CERT")]
    import: Option<PathBuf>,
}

pub(super) fn run(args: &ApproverArgs, installation: &Installation, out: Output) -> Outcome {
    let made = match &args.import {
        None => make(installation, &args.person)?,
        Some(path) => write(installation, &args.person, &read_certificate(path)?, None)?,
    };
    out.one(&made, |made| {
        made.lines.lines().map(str::to_owned).collect()
    })
}

/// What signer.toml needs to know.
#[derive(Debug, Serialize)]
pub(crate) struct Made {
    person: String,
    certificate: String,
    /// For the end of signer.toml.
    pub(crate) lines: String,
}

/// A software key of P-256 and a certificate that it signs itself.
pub(crate) fn make(installation: &Installation, person: &str) -> Outcome<Made> {
    let (certificate, key) = generate(person).or_fail("cannot make a key")?;
    write(installation, person, &certificate, Some(&key))
}

fn write(
    installation: &Installation,
    person: &str,
    certificate: &X509,
    key: Option<&PKey<Private>>,
) -> Outcome<Made> {
    let what = "the certificate cannot serve";
    let der = certificate.to_der().or_fail(what)?;
    assay_policy::Approver::new(person, &der, false).or_usage(what)?;
    files::make_dir(&installation.path("approvers"))?;
    let relative = format!("approvers/{person}.pem");
    let pem = certificate.to_pem().or_fail(what)?;
    files::create(&installation.path(&relative), &pem, files::PUBLIC)?;
    if let Some(key) = key {
        let pem = key.private_key_to_pem_pkcs8().or_fail(what)?;
        let path = installation.path(format!("approvers/{person}.key"));
        files::create(&path, &pem, files::SECRET)?;
    }
    Ok(Made {
        person: person.to_owned(),
        lines: format!(
            "\n[[policy.approver]]\nperson = \"{person}\"\ncertificate = \"{relative}\"\n"
        ),
        certificate: relative,
    })
}

fn generate(person: &str) -> Result<(X509, PKey<Private>), ErrorStack> {
    let key = software::p256()?;
    let mut builder = software::certificate(person, &key, DAYS)?;
    builder.append_extension(BasicConstraints::new().critical().build()?)?;
    builder.append_extension(KeyUsage::new().critical().digital_signature().build()?)?;
    let identifier = SubjectKeyIdentifier::new().build(&builder.x509v3_context(None, None))?;
    builder.append_extension(identifier)?;
    builder.sign(&key, MessageDigest::sha256())?;
    Ok((builder.build(), key))
}
