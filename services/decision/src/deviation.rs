//! What differs when a decision is made again.

use assay_lint::Finding;
use assay_policy::{SanError, Semantics, TbsError};
use assay_scep::CsrError;
use assay_types::{Hash, Timestamp};

/// Why a decision made again is not the one that was recorded.
#[derive(Debug, thiserror::Error)]
pub enum Deviation {
    /// The policy was read in a way that this release does not know.
    #[error(
        "semantics: decided by {0}, and this release decides by {current}: verify with the release that decided",
        current = Semantics::CURRENT
    )]
    Semantics(Semantics),
    /// The CSR that was kept is none.
    #[error("csr: it cannot be read")]
    Csr(#[source] CsrError),
    /// A CSR that was kept whole is not signed by its key.
    #[error("csr: its signature does not verify")]
    ProofOfPossession(#[source] CsrError),
    /// The CSR that was kept holds a challengePassword.
    #[error("csr: it was kept with its challengePassword")]
    Challenge,
    /// The CSR is signed with another hash than was recorded.
    #[error("csr_hash: recorded {recorded}, found {found}")]
    CsrHash {
        /// In the evidence.
        recorded: &'static str,
        /// In the CSR.
        found: &'static str,
    },
    /// The policy has no such profile.
    #[error("profile: the policy has no profile `{0}`")]
    Profile(String),
    /// The profile wants an approval, and none is named.
    #[error(
        "pending_id: profile `{0}` issues after approval only, and no waiting request is named"
    )]
    Unapproved(String),
    /// A request was queued under a profile without approval, or none is named.
    #[error(
        "pending_id: a request was queued that names none, or whose profile `{0}` has no approval"
    )]
    Queued(String),
    /// Permitted where it was refused, or the other way round.
    #[error("decision: recorded {recorded}, decided again {derived}")]
    Decision {
        /// In the evidence.
        recorded: String,
        /// Now.
        derived: String,
    },
    /// Another rule refuses.
    #[error("rule: recorded {recorded}, decided again {derived}")]
    Rule {
        /// In the evidence.
        recorded: String,
        /// Now, with its detail.
        derived: String,
    },
    /// Another CA certificate.
    #[error("issuer_sha256: recorded {recorded}, the CA certificate has {given}")]
    Issuer {
        /// In the evidence.
        recorded: Hash,
        /// Of the CA certificate at hand.
        given: Hash,
    },
    /// The profile gives another validity at that time.
    #[error("validity: recorded {} to {}, the profile gives {} to {}", .recorded.0, .recorded.1, .derived.0, .derived.1)]
    Validity {
        /// NotBefore and NotAfter in the evidence.
        recorded: (Timestamp, Timestamp),
        /// NotBefore and NotAfter by profile, issuer and time of decision.
        derived: (Timestamp, Timestamp),
    },
    /// Names that the profile permits cannot be encoded.
    #[error("names: they cannot be encoded")]
    Names(#[from] SanError),
    /// No TBSCertificate can be built.
    #[error("tbs: it cannot be built")]
    Tbs(#[from] TbsError),
    /// Another TBSCertificate comes of it.
    #[error("tbs_digest: recorded {recorded} by {builder}, built again {derived}")]
    TbsDigest {
        /// In the evidence.
        recorded: Hash,
        /// Now.
        derived: Hash,
        /// Who built the one that was recorded.
        builder: String,
    },
    /// The TBSCertificate does not pass its lints.
    #[error("lint: {}", list(.0))]
    Lint(Vec<Finding>),
}

impl Deviation {
    /// The member of the evidence, or the step, that differs: `csr`, `validity`, `lint`.
    pub fn what(&self) -> &'static str {
        match self {
            Self::Csr(_) | Self::ProofOfPossession(_) | Self::Challenge => "csr",
            Self::Semantics(_) => "semantics",
            Self::CsrHash { .. } => "csr_hash",
            Self::Profile(_) => "profile",
            Self::Unapproved(_) | Self::Queued(_) => "pending_id",
            Self::Decision { .. } => "decision",
            Self::Rule { .. } => "rule",
            Self::Issuer { .. } => "issuer_sha256",
            Self::Validity { .. } => "validity",
            Self::Names(_) => "names",
            Self::Tbs(_) => "tbs",
            Self::TbsDigest { .. } => "tbs_digest",
            Self::Lint(_) => "lint",
        }
    }
}

fn list(findings: &[Finding]) -> String {
    let findings: Vec<String> = findings.iter().map(ToString::to_string).collect();
    findings.join("; ")
}
