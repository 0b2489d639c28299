//! `[policy]`: who may approve policy.

use assay_policy::{Approver, Approvers, ApproversError};
use assay_runtime::config::{ConfigError, Document};

use crate::config::PolicyConfig;

/// # Errors
/// Where no version could ever come into force, by key.
pub(super) fn read_approvers(
    document: &Document,
    policy: Option<PolicyConfig>,
) -> Result<Approvers, ConfigError> {
    let Some(PolicyConfig {
        approvals,
        approver,
    }) = policy
    else {
        return Err(document.error(
            "policy",
            "the table [policy] is missing: it says who may approve policy; `assay-ceremony approver` prints its lines",
        ));
    };
    let mut pinned = Vec::with_capacity(approver.len());
    for one in approver {
        let path = document.folder().join(&one.certificate);
        let key = "policy.approver";
        let pem = std::fs::read(&path).map_err(|error| {
            document.error(key, format!("{} cannot be read: {error}", path.display()))
        })?;
        let der = openssl::x509::X509::from_pem(&pem)
            .and_then(|certificate| certificate.to_der())
            .map_err(|_| {
                document.error(key, format!("{} holds no PEM certificate", path.display()))
            })?;
        let approver = Approver::new(&one.person, &der, one.retired)
            .map_err(|error| document.error(key, error))?;
        pinned.push(approver);
    }
    Approvers::new(approvals, pinned).map_err(|error| {
        let key = match error {
            ApproversError::Approvals(_) | ApproversError::TooFew { .. } => "policy.approvals",
            ApproversError::TooMany(_)
            | ApproversError::Person(_)
            | ApproversError::Certificate { .. }
            | ApproversError::Key { .. }
            | ApproversError::Duplicate { .. } => "policy.approver",
        };
        document.error(key, error)
    })
}
