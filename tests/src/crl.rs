//! CRLs as relying parties fetch and judge them: over HTTP, by OpenSSL's and GnuTLS's tools.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use openssl::x509::X509Crl;

use crate::http;
use crate::installation::Installation;
use crate::query::serial;
use crate::tool::{self, Ran, command};
use crate::wait;

/// Where the frontend serves the CRL, whatever the profile.
///
/// # Errors
///
/// When the installation has no profile `devices`.
pub fn url(installation: &Installation) -> Result<String> {
    let scep = installation.url("devices")?;
    let root = scep
        .strip_suffix("/scep/devices")
        .context(scep.to_owned())?;
    Ok(format!("{root}/crl/ca.crl"))
}

/// A CRL, and what OpenSSL says of it.
#[derive(Debug)]
pub struct Crl {
    /// As it was fetched.
    pub der: Vec<u8>,
    /// cRLNumber.
    pub number: u64,
    text: String,
}

impl Crl {
    /// Reads a CRL that OpenSSL verifies under the CA certificate and GnuTLS can read too.
    ///
    /// # Errors
    ///
    /// When either does not take it.
    pub async fn judged(installation: &Installation, der: Vec<u8>) -> Result<Self> {
        let mut openssl = command("openssl", "openssl")?;
        openssl.args(["crl", "-inform", "DER", "-noout", "-text", "-CAfile"]);
        openssl.arg(&installation.ready().ca_pem);
        let judged = tool::run(&mut openssl, &der).await?.succeeded()?;
        ensure!(judged.stderr.contains("verify OK"), "{}", judged.all());

        let mut certtool = command("certtool", "gnutls-bin")?;
        certtool.args(["--verify-crl", "--load-ca-certificate"]);
        certtool.arg(&installation.ready().ca_pem);
        let pem = X509Crl::from_der(&der)?.to_pem()?;
        let verdict = tool::run(&mut certtool, &pem).await?.succeeded()?;
        ensure!(
            verdict.all().contains("Verified"),
            "certtool: {}",
            verdict.all()
        );

        let text = judged.text();
        Ok(Self {
            number: number(&text).with_context(|| text.clone())?,
            text,
            der,
        })
    }

    /// Fetches the list of this number or a later one as soon as the frontend serves it.
    ///
    /// # Errors
    ///
    /// When none comes, or the judges do not take it.
    pub async fn from_number(installation: &Installation, least: u64) -> Result<Self> {
        let newer = |crl: &Self| Ok(crl.number >= least);
        Self::once(installation, &url(installation)?, newer).await
    }

    /// Fetches the list at this URL until it satisfies `condition`. A frontend that was just started has none yet.
    ///
    /// # Errors
    ///
    /// When no such list appears, or the judges do not take one.
    pub async fn once(
        installation: &Installation,
        url: &str,
        condition: impl Fn(&Self) -> Result<bool>,
    ) -> Result<Self> {
        wait::until("the new CRL at the frontend", wait::REACTION, async || {
            let response = http::get(url).await?;
            if response.status != 200 {
                return Ok(None);
            }
            let crl = Self::judged(installation, response.body).await?;
            Ok(condition(&crl)?.then_some(crl))
        })
        .await
    }

    /// The reason with which the list names a certificate (DER); empty where it names it without, `None` where it does
    /// not name it.
    ///
    /// # Errors
    ///
    /// When it is no certificate.
    pub fn reason(&self, certificate: &[u8]) -> Result<Option<String>> {
        let serial = hex::encode_upper(serial(certificate)?);
        let wanted = format!("Serial Number: {serial}");
        let mut lines = self.text.lines().map(str::trim);
        if !lines.any(|line| line == wanted) {
            return Ok(None);
        }
        let entry: Vec<_> = lines
            .take_while(|line| {
                !line.starts_with("Serial Number:") && !line.starts_with("Signature")
            })
            .collect();
        let mut after = entry
            .iter()
            .skip_while(|line| !line.contains("CRL Reason Code"));
        Ok(Some(after.nth(1).copied().unwrap_or_default().to_owned()))
    }

    /// `openssl verify -crl_check` of a certificate (PEM file) with this list.
    ///
    /// # Errors
    ///
    /// When it cannot be run.
    pub async fn check(&self, installation: &Installation, certificate: &Path) -> Result<Ran> {
        let file: PathBuf = installation.scratch().join("checked.crl.pem");
        std::fs::write(&file, X509Crl::from_der(&self.der)?.to_pem()?)?;
        let mut openssl = command("openssl", "openssl")?;
        openssl.args(["verify", "-crl_check", "-CAfile"]);
        openssl.arg(&installation.ready().root_pem);
        openssl.arg("-untrusted").arg(&installation.ready().ca_pem);
        openssl.arg("-CRLfile").arg(&file).arg(certificate);
        tool::run(&mut openssl, &[]).await
    }
}

/// OpenSSL prints the number on the line after the extension's name, in decimal or hex.
fn number(text: &str) -> Option<u64> {
    let mut lines = text.lines().map(str::trim);
    lines.find(|line| line.starts_with("X509v3 CRL Number"))?;
    let value = lines.next()?;
    match value.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => value.parse().ok(),
    }
}
