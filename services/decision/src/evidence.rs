//! What is kept of a decision: enough to make it again, and no secret.

use assay_audit::{Attachment, MAX_EVIDENCE};
use assay_policy::{Facts, Grant, Semantics, Tbs};
use assay_types::{
    CanonicalError, Digest, Hash, Timestamp, TimestampMillis, from_canonical, to_canonical,
};
use serde::{Deserialize, Serialize};

use crate::binary;

/// Who builds TBSCertificates here; another builder may come to other bytes.
pub const BUILDER: &str = concat!("assay ", env!("CARGO_PKG_VERSION"));

/// A decision with all that it was made on. The policy itself is named by the record beside it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// How the policy was read.
    pub semantics: Semantics,
    /// The profile that decided.
    pub profile: String,
    /// The signer's clock.
    pub decided_ms: TimestampMillis,
    /// DER of the CSR without its challengePassword.
    #[serde(with = "binary::base64")]
    pub csr: Vec<u8>,
    /// SHA-256 of the CSR as it came, where that had a challengePassword; `None` where `csr` is the CSR as it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub csr_sha256: Option<Hash>,
    /// Hash of the CMS signature.
    pub message_hash: Digest,
    /// Hash of the CSR's signature.
    pub csr_hash: Digest,
    /// What authorised it; `None` where nothing did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<Grant>,
    /// The waiting request that an operator approved, or that the decision began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_id: Option<String>,
    /// What was decided.
    pub verdict: Verdict,
}

/// What was decided.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Verdict {
    /// A certificate.
    Permit(Permitted),
    /// A rule refused.
    Refusal {
        /// Its id.
        rule: String,
    },
    /// Permitted, once an operator approves.
    Pending,
}

/// What a permit was turned into.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Permitted {
    /// Content octets of the serial number.
    #[serde(with = "binary::hexadecimal")]
    pub serial: Vec<u8>,
    /// notBefore.
    pub not_before: Timestamp,
    /// notAfter.
    pub not_after: Timestamp,
    /// SHA-256 of the CA certificate.
    pub issuer_sha256: Hash,
    /// SHA-256 of the TBSCertificate.
    pub tbs_digest: Hash,
    /// As [`BUILDER`].
    pub builder: String,
}

impl Permitted {
    /// What `tbs` is, built here under the CA with this certificate.
    pub fn new(tbs: &Tbs, issuer_sha256: Hash) -> Self {
        Self {
            serial: tbs.serial().to_vec(),
            not_before: tbs.not_before().into(),
            not_after: tbs.not_after().into(),
            issuer_sha256,
            tbs_digest: tbs.digest(),
            builder: BUILDER.to_owned(),
        }
    }
}

/// Bytes that are not evidence, or evidence that cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// The salted hash is another one.
    #[error("the evidence is not what the record's salted hash was made of")]
    Hash,
    /// Not canonical JSON of this shape, or longer than [`MAX_EVIDENCE`].
    #[error("not the evidence of a decision")]
    Form(#[from] CanonicalError),
}

impl Evidence {
    /// Of a decision on `facts`. `csr` is without its challengePassword, `csr_sha256` of the one that came.
    pub fn new(
        facts: &Facts,
        csr: Vec<u8>,
        csr_sha256: Hash,
        pending_id: Option<String>,
        verdict: Verdict,
    ) -> Self {
        let (kept, came) = (Hash::of(&csr), csr_sha256);
        Self {
            semantics: Semantics::CURRENT,
            profile: facts.profile.clone(),
            decided_ms: facts.now.into(),
            csr,
            csr_sha256: (kept != came).then_some(came),
            message_hash: facts.message_digest,
            csr_hash: facts.csr_digest,
            grant: facts.grant.clone(),
            pending_id,
            verdict,
        }
    }

    /// Whether the CSR is kept as it came, so that its signature still verifies: there was no challengePassword in it.
    pub fn csr_whole(&self) -> bool {
        self.csr_sha256.is_none()
    }

    /// SHA-256 of the CSR as it came.
    pub fn csr_digest(&self) -> Hash {
        self.csr_sha256.unwrap_or_else(|| Hash::of(&self.csr))
    }

    /// Canonical JSON on one line.
    ///
    /// # Errors
    /// [`CanonicalError::TooLong`].
    pub fn to_canonical(&self) -> Result<Vec<u8>, CanonicalError> {
        to_canonical(self, MAX_EVIDENCE)
    }

    /// Reads what [`Evidence::to_canonical`] wrote, and nothing else.
    ///
    /// # Errors
    /// Where the bytes are not the canonical form of evidence.
    pub fn from_canonical(bytes: &[u8]) -> Result<Self, CanonicalError> {
        let evidence: Self = from_canonical(bytes, MAX_EVIDENCE)?;
        if evidence.csr_sha256 == Some(Hash::of(&evidence.csr)) {
            return Err(CanonicalError::NotCanonical);
        }
        Ok(evidence)
    }

    /// What the store keeps, and the hash that the record holds. `salt` is random.
    ///
    /// # Errors
    /// As [`Evidence::to_canonical`].
    pub fn seal(
        &self,
        salt: [u8; 32],
        keep_until: Timestamp,
    ) -> Result<(Attachment, Hash), CanonicalError> {
        let attachment = Attachment {
            salt,
            content: self.to_canonical()?,
            keep_until,
        };
        let hash = attachment.hash();
        Ok((attachment, hash))
    }

    /// The evidence that a record's salted hash was made of.
    ///
    /// # Errors
    /// [`EvidenceError::Hash`] where it is not; else as [`Evidence::from_canonical`].
    pub fn open(salt: &[u8; 32], content: &[u8], hash: &Hash) -> Result<Self, EvidenceError> {
        if Hash::of(&[salt, content].concat()) != *hash {
            return Err(EvidenceError::Hash);
        }
        Ok(Self::from_canonical(content)?)
    }
}
