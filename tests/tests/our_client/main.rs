//! The life of a certificate by `assay` alone: renewed, approved, looked up, revoked.

mod approval;
mod renewal;
mod revocation;
mod trust;

use std::path::PathBuf;

use anyhow::{Context, Result};
use assay_tests::installation::{Installation, pem};
use assay_tests::tool::Ran;
use openssl::x509::X509;

/// A device with its files in the test's private directory.
struct Device<'a> {
    installation: &'a Installation,
    name: &'a str,
}

impl<'a> Device<'a> {
    fn new(installation: &'a Installation, name: &'a str) -> Self {
        Self { installation, name }
    }

    fn subject(&self) -> String {
        format!("CN={},O=Example", self.name)
    }

    fn file(&self, ending: &str) -> PathBuf {
        let name = format!("{}.{ending}", self.name);
        self.installation.scratch().join(name)
    }

    fn path(&self, ending: &str) -> String {
        self.file(ending).to_string_lossy().into_owned()
    }

    fn certificate(&self) -> Result<X509> {
        Ok(X509::from_der(&pem(&self.file("pem"))?)?)
    }

    fn serial(&self) -> Result<String> {
        serial(&self.certificate()?)
    }

    /// `assay enrol` into this device's files.
    async fn enrol(&self, profile: &str, arguments: &[&str]) -> Result<Ran> {
        let (key, certificate) = (self.path("key"), self.path("pem"));
        let mut all = vec!["enrol", "--profile", profile, "--cert", &certificate];
        if !arguments.contains(&"--same-key") {
            all.extend(["--key", &key]);
        }
        all.extend(arguments);
        self.installation.assay(&all).await
    }

    /// `assay enrol` with a challenge for its name.
    async fn enrol_by_challenge(&self, profile: &str, arguments: &[&str]) -> Result<Ran> {
        let subject = self.subject();
        let issued = self
            .installation
            .assay(&[
                "challenge",
                "issue",
                "--profile",
                profile,
                "--subject",
                &subject,
            ])
            .await?
            .succeeded()?;
        let text = issued.text();
        let mut all = vec!["--subject", &subject, "--challenge", text.trim_end()];
        all.extend(arguments);
        self.enrol(profile, &all).await
    }

    /// `assay scep …` with this device's certificate.
    async fn ask(&self, arguments: &[&str]) -> Result<Ran> {
        let (key, certificate) = (self.path("key"), self.path("pem"));
        let mut all = vec!["scep"];
        all.extend(arguments);
        all.extend([
            "--profile",
            "devices",
            "--cert",
            &certificate,
            "--key",
            &key,
        ]);
        self.installation.assay(&all).await
    }
}

fn serial(certificate: &X509) -> Result<String> {
    Ok(hex::encode(certificate.serial_number().to_bn()?.to_vec()))
}

/// One value of a command's JSON.
fn field(ran: &Ran, pointer: &str) -> Result<String> {
    let value: serde_json::Value = serde_json::from_slice(&ran.stdout)?;
    let found = value.pointer(pointer).with_context(|| value.to_string())?;
    Ok(found
        .as_str()
        .map_or_else(|| found.to_string(), str::to_owned))
}
