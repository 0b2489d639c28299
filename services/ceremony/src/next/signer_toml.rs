//! signer.toml as far as a rollover is about it, read leniently: the signer itself judges the file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use assay_pkcs11::{KeyRole, KeyUri};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::generation::Generation;
use crate::transcript::{Ca, Transcript};
use assay_console::failure::{Failure, Next, OrFail, Outcome};
use assay_console::files;
use assay_operator::installation::Installation;

#[derive(Debug, Deserialize)]
pub(crate) struct SignerToml {
    enrolment: EnrolmentTable,
    keys: BTreeMap<String, String>,
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
}

/// The table `[rollover]`.
#[derive(Debug, Deserialize)]
pub(super) struct RolloverTable {
    pub(super) switch_at: String,
    keys: BTreeMap<String, String>,
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
        toml::from_str(text)
            .or_usage(format!("{} cannot be used", path.display()))
            .next("`assay config check` says what is wrong with it")
    }

    /// The generation whose CA key stands in `[keys]`.
    pub(crate) fn present(&self, transcript: &Transcript) -> Option<Generation> {
        generation(&self.keys, transcript)
    }

    /// The generation whose CA key stands in `[rollover.keys]`.
    pub(crate) fn taking_over(&self, transcript: &Transcript) -> Option<Generation> {
        generation(&self.rollover.as_ref()?.keys, transcript)
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

/// The generation here whose CA key stands in signer.toml.
pub(super) fn present(file: &SignerToml, transcript: &Transcript) -> Outcome<Generation> {
    file.present(transcript).ok_or_else(|| {
        Failure::failed("keys.ca-sign in signer.toml is no key of the ceremony here")
            .next("use the directory of the ceremony that made this CA, with the signer's present signer.toml in it")
    })
}

fn generation(keys: &BTreeMap<String, String>, transcript: &Transcript) -> Option<Generation> {
    let ca = KeyUri::parse(keys.get(KeyRole::CaSign.as_str())?).ok()?;
    let id = hex::encode(ca.id());
    let made = |ca: &&Ca| ca.find_key(KeyRole::CaSign).is_some_and(|key| key.id == id);
    transcript
        .generations
        .iter()
        .find(made)
        .map(|ca| ca.generation)
}
