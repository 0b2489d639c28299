//! What this signer holds a version of the policy to: who must have signed it, and what it must say of the signer.

use std::collections::BTreeMap;

use assay_policy::{Approver, Approvers, ApproversError, Proposal};
use assay_runtime::config::{ConfigError, Document};

use crate::config::{LimitsConfig, PolicyConfig};

/// Read from the configuration; the same for the whole run.
#[derive(Debug)]
pub(crate) struct Terms {
    pub(crate) approvers: Approvers,
    /// SHA-256 of the CA's DER certificate.
    pub(crate) issuer: [u8; 32],
    /// Settings that bear on what is issued, by name.
    pub(crate) settings: BTreeMap<String, String>,
}

impl Terms {
    /// # Errors
    /// Where no version could ever come into force, by key.
    pub(crate) fn read(
        document: &Document,
        policy: Option<PolicyConfig>,
        ca: &[u8],
        limits: &LimitsConfig,
    ) -> Result<Self, ConfigError> {
        let Some(PolicyConfig {
            approvals,
            approver,
        }) = policy
        else {
            return Err(document.error(
                "policy",
                "the table [policy] is missing: it says who may approve policy; `assay ceremony approver` prints its lines",
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
        let approvers = Approvers::new(approvals, pinned).map_err(|error| {
            let key = match error {
                ApproversError::Approvals(_) | ApproversError::TooFew { .. } => "policy.approvals",
                ApproversError::TooMany(_)
                | ApproversError::Person(_)
                | ApproversError::Certificate { .. }
                | ApproversError::Key { .. }
                | ApproversError::Duplicate { .. } => "policy.approver",
            };
            document.error(key, error)
        })?;
        Ok(Self {
            approvers,
            issuer: openssl::sha::sha256(ca),
            settings: bearing(limits),
        })
    }

    /// All that a proposal says of another signer than this one, a line each.
    pub(crate) fn differences(&self, proposal: &Proposal) -> Vec<String> {
        let mut lines = Vec::new();
        if proposal.issuer != self.issuer {
            lines.push(format!(
                "issuer: it is for the CA certificate {}, this signer's is {}",
                hex::encode(proposal.issuer),
                hex::encode(self.issuer)
            ));
        }
        let names = proposal.settings.keys().chain(self.settings.keys());
        for name in names.collect::<std::collections::BTreeSet<_>>() {
            let (approved, own) = (proposal.settings.get(name), self.settings.get(name));
            if approved != own {
                let text = |value: Option<&String>| value.cloned().unwrap_or("nothing".to_owned());
                lines.push(format!(
                    "settings.{name}: it says {}, signer.toml says {}",
                    text(approved),
                    text(own)
                ));
            }
        }
        lines
    }
}

/// The settings that change what is issued to whom, and so are approved with the profiles:
///
/// - `limits.retransmit_window`: within it an equal CSR of the same key gets the certificate issued before, and no
///   authorisation is looked at again.
/// - `limits.intent_ttl`: how long after its decision a certificate may still be signed.
///
/// The rest of signer.toml says how the service runs: how many requests at a time, by which library, at which addresses,
/// how often a CRL is made. The issuing CA is approved by its certificate, whose key the token proves at start; the RA
/// certificates and the chain go into replies, never into a certificate; the approvers themselves are what approvals are
/// checked by.
fn bearing(limits: &LimitsConfig) -> BTreeMap<String, String> {
    [
        ("limits.retransmit_window", limits.retransmit_window),
        ("limits.intent_ttl", limits.intent_ttl),
    ]
    .into_iter()
    .map(|(name, value)| {
        let text = humantime::format_duration(value).to_string();
        (name.to_owned(), text)
    })
    .collect()
}
