//! strongSwan's `pki --scepca` and `pki --scep`: a SCEP client that we did not write.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use der::Decode;
use tokio::process::Command;
use x509_cert::Certificate;
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage};

use crate::installation::pem;
use crate::tool::{command, run};

const PACKAGE: &str = "strongswan-pki";

/// The certificates of a CA and its RA as files, as the client wants them told apart.
#[derive(Clone, Debug)]
pub struct Anchors {
    /// The issuing CA.
    pub ca: PathBuf,
    /// Requests are enveloped to it.
    pub ra_enc: PathBuf,
    /// It signs replies.
    pub ra_sign: PathBuf,
}

impl Anchors {
    /// What `--scepca` brings into `folder`, told apart by use: strongSwan numbers its files.
    ///
    /// # Errors
    ///
    /// When it brings no CA with an RA of two certificates.
    pub async fn fetch(folder: &Path, url: &str) -> Result<Self> {
        std::fs::create_dir(folder)?;
        let mut scepca = command("pki", PACKAGE)?;
        scepca
            .args(["--scepca", "--url", url, "--outform", "pem", "--caout"])
            .arg(folder.join("ca.pem"));
        scepca.arg("--raout").arg(folder.join("ra.pem"));
        run(&mut scepca, &[]).await?.succeeded()?;
        let mut files = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            files.push(entry?.path());
        }
        Self::among(&files)
    }

    /// Tells the PEM certificates of `files` apart; of CAs the one that is not self-signed issues.
    ///
    /// # Errors
    ///
    /// When one of the three is not among them.
    pub fn among(files: &[PathBuf]) -> Result<Self> {
        let (mut ca, mut ra_enc, mut ra_sign) = (None, None, None);
        for file in files {
            let der = pem(file)?;
            let certificate = Certificate::from_der(&der)?;
            let tbs = certificate.tbs_certificate();
            let constraints = tbs.get_extension::<BasicConstraints>()?;
            let usage = tbs.get_extension::<KeyUsage>()?;
            let (_, usage) = usage.with_context(|| format!("{}: no use", file.display()))?;
            let place = if constraints.is_some_and(|(_, constraints)| constraints.ca) {
                if tbs.issuer() == tbs.subject() {
                    continue;
                }
                &mut ca
            } else if usage.key_encipherment() {
                &mut ra_enc
            } else {
                &mut ra_sign
            };
            *place = Some(file.clone());
        }
        Ok(Self {
            ca: ca.context("no issuing CA")?,
            ra_enc: ra_enc.context("no RA to encrypt to")?,
            ra_sign: ra_sign.context("no RA that signs")?,
        })
    }

    /// `pki --scep` for a certificate over `key`; `root` is the CA's issuer.
    ///
    /// # Errors
    ///
    /// When it is not installed.
    pub fn enrol(&self, url: &str, key: &Path, subject: &str, root: &Path) -> Result<Command> {
        let mut scep = command("pki", PACKAGE)?;
        scep.args([
            "--scep",
            "--url",
            url,
            "--dn",
            subject,
            "--outform",
            "pem",
            "--in",
        ])
        .arg(key);
        scep.arg("--cacert-enc").arg(&self.ra_enc);
        scep.arg("--cacert-sig").arg(&self.ra_sign);
        scep.arg("--cacert").arg(&self.ca);
        scep.arg("--cacert").arg(root);
        Ok(scep)
    }
}

/// A new RSA-2048 key by `pki --gen`, in this file.
///
/// # Errors
///
/// When it is not made.
pub async fn generate_key(file: &Path) -> Result<()> {
    let mut generate = command("pki", PACKAGE)?;
    generate.args([
        "--gen",
        "--type",
        "rsa",
        "--size",
        "2048",
        "--outform",
        "pem",
    ]);
    let key = run(&mut generate, &[]).await?.succeeded()?.stdout;
    Ok(std::fs::write(file, key)?)
}
