//! What the ceremony did, for those who were not there: key ids, attributes read back, fingerprints.

use std::collections::BTreeMap;
use std::time::SystemTime;

use openssl::sha::sha256;
use openssl::x509::X509;
use serde::{Deserialize, Serialize};

use crate::failure::{OrFail, Outcome};
use crate::files;
use crate::installation::Installation;

const UNREADABLE: &str = "a certificate of the ceremony is unreadable";

/// `transcript.json`. Written anew after each step, so that it is true at any moment.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Transcript {
    pub(super) assay_version: String,
    pub(super) started: String,
    pub(super) finished: Option<String>,
    pub(super) state: State,
    pub(super) module: String,
    pub(super) environment: BTreeMap<String, String>,
    pub(super) token: String,
    pub(super) root_token: Option<String>,
    pub(super) ra_subject: String,
    pub(super) ra_days: u32,
    pub(super) keys: Vec<KeyEntry>,
    pub(super) certificates: Vec<CertificateEntry>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum State {
    Started,
    /// The request for the offline root is written; its answer is awaited.
    AwaitsCaCertificate,
    Complete,
}

/// A key in the token.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyEntry {
    pub(super) role: String,
    pub(super) algorithm: String,
    pub(super) label: String,
    pub(super) id: String,
    pub(super) uri: String,
    pub(super) spki_sha256: String,
    /// Of the private key, read back from the token after it was made.
    pub(super) attributes: BTreeMap<String, String>,
}

/// A certificate that was made or imported.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CertificateEntry {
    pub(super) file: String,
    pub(super) subject: String,
    pub(super) issuer: String,
    pub(super) serial: String,
    pub(super) not_before: String,
    pub(super) not_after: String,
    pub(super) sha256: String,
}

impl Transcript {
    /// Writes the transcript over its earlier state.
    pub(super) fn save(&self, installation: &Installation) -> Outcome {
        let mut text = serde_json::to_vec_pretty(self).or_fail("cannot write the transcript")?;
        text.push(b'\n');
        files::replace(&file(installation), &text, files::PUBLIC)
    }

    pub(super) fn load(installation: &Installation) -> Outcome<Self> {
        let path = file(installation);
        serde_json::from_slice(&files::read(&path)?)
            .or_fail(format!("{} is no transcript of a ceremony", path.display()))
    }

    /// Writes a certificate as PEM and enters it.
    pub(super) fn add_certificate(
        &mut self,
        installation: &Installation,
        file: &str,
        der: &[u8],
    ) -> Outcome {
        let entry = entry(file, der)?;
        let pem = X509::from_der(der)
            .and_then(|certificate| certificate.to_pem())
            .or_fail(UNREADABLE)?;
        files::create(&installation.certificates().join(file), &pem, files::PUBLIC)?;
        self.certificates.push(entry);
        self.save(installation)
    }

    /// The same over the certificate of that name of before, which it takes the place of.
    pub(super) fn replace_certificate(
        &mut self,
        installation: &Installation,
        file: &str,
        der: &[u8],
    ) -> Outcome {
        let entry = entry(file, der)?;
        let pem = X509::from_der(der)
            .and_then(|certificate| certificate.to_pem())
            .or_fail(UNREADABLE)?;
        files::replace(&installation.certificates().join(file), &pem, files::PUBLIC)?;
        self.certificates.retain(|other| other.file != entry.file);
        self.certificates.push(entry);
        self.save(installation)
    }

    /// The end of a certificate in `certificates/`.
    pub(super) fn not_after(&self, file: &str) -> Option<String> {
        let file = format!("certificates/{file}");
        let mut certificates = self.certificates.iter();
        let found = certificates.find(|certificate| certificate.file == file);
        found.map(|certificate| certificate.not_after.clone())
    }

    pub(super) fn finish(&mut self, installation: &Installation) -> Outcome {
        self.state = State::Complete;
        self.finished = Some(now());
        self.save(installation)
    }

    /// For the person at the console.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("token {}", self.token)];
        lines.extend(self.keys.iter().map(|key| {
            format!(
                "  key   {:<11} {:<8} id {}  SPKI SHA-256 {}",
                key.role, key.algorithm, key.id, key.spki_sha256
            )
        }));
        lines.extend(self.certificates.iter().map(|certificate| {
            format!(
                "  cert  {} ({}), SHA-256 {}",
                certificate.file, certificate.subject, certificate.sha256
            )
        }));
        lines
    }
}

fn entry(file: &str, der: &[u8]) -> Outcome<CertificateEntry> {
    let certificate = X509::from_der(der).or_fail(UNREADABLE)?;
    let serial = certificate.serial_number().to_bn().or_fail(UNREADABLE)?;
    Ok(CertificateEntry {
        file: format!("certificates/{file}"),
        subject: name(certificate.subject_name()),
        issuer: name(certificate.issuer_name()),
        serial: hex::encode(serial.to_vec()),
        not_before: certificate.not_before().to_string(),
        not_after: certificate.not_after().to_string(),
        sha256: hex::encode(sha256(der)),
    })
}

pub(super) fn file(installation: &Installation) -> std::path::PathBuf {
    installation.path("transcript.json")
}

pub(super) fn now() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}

/// `O=Example, CN=Issuing CA`, in the order of the DER.
fn name(name: &openssl::x509::X509NameRef) -> String {
    name.entries()
        .map(|entry| {
            let kind = entry.object().nid().short_name().unwrap_or("?");
            let value = entry.data().to_string();
            format!("{kind}={}", value.unwrap_or_default())
        })
        .collect::<Vec<_>>()
        .join(", ")
}
