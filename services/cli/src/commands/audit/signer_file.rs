//! What an auditor's pins are gathered from, beside the ceremony's files.

use std::path::PathBuf;

use serde::Deserialize;

/// signer.toml, read leniently: the signer itself judges the file.
#[derive(Debug, Deserialize)]
pub(super) struct SignerFile {
    pub(super) certificates: CertificatesSection,
    pub(super) rollover: Option<RolloverSection>,
    pub(super) policy: PolicySection,
    #[serde(default)]
    pub(super) audit: AuditSection,
}

#[derive(Debug, Deserialize)]
pub(super) struct CertificatesSection {
    pub(super) ca: PathBuf,
    #[serde(default)]
    pub(super) chain: Vec<PathBuf>,
}

/// The CA that takes over.
#[derive(Debug, Deserialize)]
pub(super) struct RolloverSection {
    pub(super) certificates: CertificatesSection,
}

#[derive(Debug, Deserialize)]
pub(super) struct PolicySection {
    pub(super) approvals: usize,
    #[serde(default)]
    pub(super) approver: Vec<ApproverSection>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ApproverSection {
    pub(super) person: String,
    pub(super) certificate: PathBuf,
    #[serde(default)]
    pub(super) retired: bool,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct AuditSection {
    pub(super) origin: Option<String>,
    #[serde(default)]
    pub(super) witnesses: Vec<String>,
}
