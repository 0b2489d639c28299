//! signer.toml as far as a rollover is about it, read leniently: the signer itself judges the file.

use std::path::{Path, PathBuf};

use assay_pkcs11::KeyRole;
use openssl::sha::sha256;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::generation::Generation;
use crate::record::read_certificate;
use crate::transcript::{Ca, Transcript};
use assay_console::failure::{Failure, Next, OrFail, Outcome};
use assay_console::files;
use assay_operator::installation::Installation;

#[derive(Debug, Deserialize)]
pub(crate) struct SignerToml {
    enrolment: EnrolmentTable,
    certificates: CertificatesTable,
    ocsp: Option<IgnoredAny>,
    rollover: Option<RolloverTable>,
    #[serde(default)]
    audit: AuditTable,
}

#[derive(Debug, Deserialize)]
struct EnrolmentTable {
    certificate: PathBuf,
}

#[derive(Debug, Deserialize)]
struct CertificatesTable {
    ca: PathBuf,
    /// SHA-256 of the SubjectPublicKeyInfo of that certificate, hex, where it can be read.
    #[serde(skip)]
    key: Option<String>,
}

impl CertificatesTable {
    fn read(&mut self, folder: &Path) {
        let certificate = read_certificate(&folder.join(&self.ca)).ok();
        let key = certificate.and_then(|ca| ca.public_key().ok()?.public_key_to_der().ok());
        self.key = key.map(|key| hex::encode(sha256(&key)));
    }
}

/// The table `[rollover]`.
#[derive(Debug, Deserialize)]
pub(super) struct RolloverTable {
    pub(super) switch_at: String,
    certificates: CertificatesTable,
    ocsp: Option<IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
struct AuditTable {
    origin: Option<String>,
}

impl SignerToml {
    /// The file of this installation.
    pub(crate) fn read(installation: &Installation) -> Outcome<Self> {
        let path = installation.signer_config();
        let text = files::read_text(&path).next(
            "which CA is the present one stands in signer.toml: put a copy of the signer's here",
        )?;
        Self::parse(&path, &text)
    }

    /// The same, where there may be none.
    pub(crate) fn find(installation: &Installation) -> Outcome<Option<Self>> {
        let exists = installation.signer_config().exists();
        exists.then(|| Self::read(installation)).transpose()
    }

    pub(super) fn parse(path: &Path, text: &str) -> Outcome<Self> {
        let mut file: Self = toml::from_str(text)
            .or_usage(format!("{} cannot be used", path.display()))
            .next("`assay config check` says what is wrong with it")?;
        let folder = path.parent().unwrap_or(Path::new("."));
        file.certificates.read(folder);
        if let Some(rollover) = &mut file.rollover {
            rollover.certificates.read(folder);
        }
        Ok(file)
    }

    /// The generation whose CA stands in `[certificates]`.
    pub(crate) fn present(&self, transcript: &Transcript) -> Option<Generation> {
        generation(&self.certificates, transcript)
    }

    /// The generation whose CA stands in `[rollover.certificates]`.
    pub(crate) fn taking_over(&self, transcript: &Transcript) -> Option<Generation> {
        generation(&self.rollover.as_ref()?.certificates, transcript)
    }

    pub(crate) fn has_ocsp(&self) -> bool {
        self.ocsp.is_some()
    }

    pub(crate) fn has_next_ocsp(&self) -> bool {
        self.rollover
            .as_ref()
            .is_some_and(|next| next.ocsp.is_some())
    }

    pub(super) fn rollover(&self) -> Option<&RolloverTable> {
        self.rollover.as_ref()
    }

    /// `[audit] origin`, where it is written.
    pub(super) fn origin(&self) -> Option<&str> {
        self.audit.origin.as_deref()
    }

    /// The signer's own certificate towards frontends.
    pub(super) fn signer_certificate(&self) -> &Path {
        &self.enrolment.certificate
    }

    /// The certificate of the present CA.
    pub(super) fn ca_certificate(&self) -> &Path {
        &self.certificates.ca
    }
}

/// The generation here whose CA stands in signer.toml.
pub(super) fn present(file: &SignerToml, transcript: &Transcript) -> Outcome<Generation> {
    file.present(transcript).ok_or_else(|| {
        Failure::failed(format!(
            "{}, which signer.toml names as certificates.ca, is not a CA of the ceremony here",
            file.ca_certificate().display()
        ))
            .next("use the directory of the ceremony that made this CA, with the signer's present signer.toml in it")
    })
}

fn generation(of: &CertificatesTable, transcript: &Transcript) -> Option<Generation> {
    let key = of.key.as_ref()?;
    let made = |ca: &&Ca| {
        let found = ca.find_key(KeyRole::CaSign);
        found.is_some_and(|found| found.spki_sha256 == *key)
    };
    transcript
        .generations
        .iter()
        .find(made)
        .map(|ca| ca.generation)
}
