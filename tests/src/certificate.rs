//! Judging issued certificates with tools that share no code with Assay: OpenSSL's and GnuTLS's.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use openssl::x509::X509;

use crate::installation::Installation;
use crate::tool::{self, command};

/// Writes a DER certificate as PEM.
///
/// # Errors
///
/// When it is none.
pub fn write_pem(der: &[u8], file: &Path) -> Result<()> {
    std::fs::write(file, X509::from_der(der)?.to_pem()?)?;
    Ok(())
}

/// The judges and what they need.
#[derive(Debug)]
pub struct Judges {
    root: PathBuf,
    issuer: PathBuf,
    scratch: PathBuf,
}

impl Judges {
    /// For the certificates of an installation.
    pub fn of(installation: &Installation) -> Self {
        Self {
            root: installation.ready().root_pem.clone(),
            issuer: installation.ready().ca_pem.clone(),
            scratch: installation.scratch().to_owned(),
        }
    }

    /// For the certificates that another CA (PEM file) of the same root has issued.
    pub fn under(installation: &Installation, issuer: &Path) -> Self {
        Self {
            issuer: issuer.to_owned(),
            ..Self::of(installation)
        }
    }

    /// Both OpenSSL and GnuTLS accept the chain of this PEM certificate, for TLS clients and strictly by RFC 5280.
    ///
    /// # Errors
    ///
    /// With what they printed, when they do not.
    pub async fn accept(&self, certificate: &Path) -> Result<()> {
        let mut openssl = command("openssl", "openssl")?;
        openssl.args([
            "verify",
            "-x509_strict",
            "-check_ss_sig",
            "-purpose",
            "sslclient",
            "-CAfile",
        ]);
        openssl
            .arg(&self.root)
            .arg("-untrusted")
            .arg(&self.issuer)
            .arg(certificate);
        tool::run(&mut openssl, &[]).await?.succeeded()?;

        // certtool wants the whole chain in one file, the leaf first.
        let mut chain = std::fs::read(certificate)?;
        for file in [&self.issuer, &self.root] {
            chain.extend(std::fs::read(file)?);
        }
        let chain_file = self.scratch.join("chain.pem");
        std::fs::write(&chain_file, chain)?;
        let mut certtool = command("certtool", "gnutls-bin")?;
        certtool.args([
            "--verify",
            "--verify-profile",
            "medium",
            "--verify-purpose",
            "1.3.6.1.5.5.7.3.2",
        ]);
        certtool
            .arg("--load-ca-certificate")
            .arg(&self.root)
            .arg("--infile")
            .arg(&chain_file);
        let verdict = tool::run(&mut certtool, &[]).await?.succeeded()?;
        ensure!(
            verdict.all().contains("The certificate is trusted"),
            "{}",
            verdict.all()
        );
        Ok(())
    }

    /// Subject and extensions as `openssl x509` prints them, a line each, serials and key identifiers left out.
    ///
    /// # Errors
    ///
    /// When OpenSSL cannot read it.
    pub async fn describe(&self, certificate: &Path) -> Result<Description> {
        let mut openssl = command("openssl", "openssl")?;
        openssl.args([
            "x509",
            "-noout",
            "-subject",
            "-nameopt",
            "RFC2253,show_type",
            "-text",
            "-certopt",
        ]);
        openssl.arg("no_header,no_version,no_serial,no_signame,no_validity,no_subject,no_issuer,no_pubkey,no_sigdump,no_aux");
        openssl.arg("-in").arg(certificate);
        let printed = tool::run(&mut openssl, &[]).await?.succeeded()?.text();
        Description::parse(&printed)
    }
}

/// What a certificate says, in OpenSSL's words.
#[derive(Debug, PartialEq, Eq)]
pub struct Description {
    /// RFC 2253, with the ASN.1 type of each value.
    pub subject: String,
    /// Name (with `critical`) and value of each extension, in order of the certificate.
    pub extensions: Vec<(String, String)>,
}

impl Description {
    fn parse(printed: &str) -> Result<Self> {
        let mut subject = None;
        let mut extensions: Vec<(String, String)> = Vec::new();
        for line in printed.lines() {
            let indent = line.len() - line.trim_start().len();
            if let Some(name) = line.strip_prefix("subject=") {
                subject = Some(name.to_owned());
            } else if indent == EXTENSION_NAME {
                extensions.push((line.trim().to_owned(), String::new()));
            } else if indent >= EXTENSION_VALUE
                && let Some((_, value)) = extensions.last_mut()
            {
                value.push_str(line.trim());
            }
        }
        Ok(Self {
            subject: subject.context("no subject")?,
            extensions,
        })
    }

    /// The value of an extension, by the name OpenSSL gives it.
    pub fn extension(&self, name: &str) -> Option<&str> {
        let found = self.extensions.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// Columns that `openssl x509 -text` puts before an extension's name and before its value.
const EXTENSION_NAME: usize = 12;
const EXTENSION_VALUE: usize = 16;
