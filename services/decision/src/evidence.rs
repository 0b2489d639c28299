//! What is kept of a decision: enough to make it again, and no secret.

use assay_audit::{Attachment, MAX_EVIDENCE, canonical};
use assay_policy::{Facts, Grant, Tbs};
use assay_types::{Digest, Hash, Timestamp, TimestampMillis};

use crate::grant::GrantError;
use crate::wire::Wire;

/// Who builds TBSCertificates here; another builder may come to other bytes.
pub const BUILDER: &str = concat!("assay ", env!("CARGO_PKG_VERSION"));

/// A decision with all that it was made on. The policy itself is named by the record beside it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Evidence {
    /// The profile that decided.
    pub profile: String,
    /// The signer's clock.
    pub decided_ms: TimestampMillis,
    /// DER of the CSR without its challengePassword.
    pub csr: Vec<u8>,
    /// SHA-256 of the CSR as it came.
    pub csr_sha256: Hash,
    /// Hash of the CMS signature.
    pub message_hash: Digest,
    /// Hash of the CSR's signature.
    pub csr_hash: Digest,
    /// What authorised it; `None` where nothing did.
    pub grant: Option<Grant>,
    /// The waiting request that an operator approved, or that the decision began.
    pub pending_id: Option<String>,
    /// What was decided.
    pub verdict: Verdict,
}

/// What was decided.
#[derive(Clone, PartialEq, Eq, Debug)]
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
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Permitted {
    /// Content octets of the serial number.
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
            tbs_digest: Hash::from(tbs.digest()),
            builder: BUILDER.to_owned(),
        }
    }
}

/// Bytes that are no evidence, or evidence that is no bytes.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// Longer than [`MAX_EVIDENCE`].
    #[error("evidence has at most {MAX_EVIDENCE} octets, this has {0}")]
    TooLong(usize),
    /// The salted hash is another one.
    #[error("the evidence is not what the record's salted hash was made of")]
    Hash,
    /// Not JSON, or not of this shape.
    #[error("not evidence of a decision")]
    Parse(#[source] serde_json::Error),
    /// A format of another time.
    #[error("evidence of format {0}, which this version does not know")]
    Format(u64),
    /// The same content in another form, or members that are unknown.
    #[error("evidence is canonical JSON: sorted keys, no spaces, no unknown members")]
    NotCanonical,
    /// A member does not say what it should.
    #[error("{member}: {wanted}")]
    Member {
        /// Which.
        member: &'static str,
        /// What would be right.
        wanted: &'static str,
    },
    /// The grant is not one.
    #[error("grant: it cannot be read")]
    Grant(#[source] GrantError),
    /// It holds what canonical JSON cannot.
    #[error("evidence cannot be expressed")]
    Inexpressible,
}

impl Evidence {
    /// Of a decision on `facts`. `csr` is without its challengePassword, `csr_sha256` of the one that came.
    pub fn new(
        facts: &Facts,
        csr: Vec<u8>,
        csr_sha256: [u8; 32],
        pending_id: Option<String>,
        verdict: Verdict,
    ) -> Self {
        Self {
            profile: facts.profile.clone(),
            decided_ms: facts.now.into(),
            csr,
            csr_sha256: Hash::from(csr_sha256),
            message_hash: facts.message_digest,
            csr_hash: facts.csr_digest,
            grant: facts.grant.clone(),
            pending_id,
            verdict,
        }
    }

    /// Whether the CSR is kept as it came, so that its signature still verifies: there was no challengePassword in it.
    pub fn csr_whole(&self) -> bool {
        Hash::of(&self.csr) == self.csr_sha256
    }

    /// Canonical JSON on one line.
    ///
    /// # Errors
    /// [`EvidenceError::TooLong`].
    pub fn to_canonical(&self) -> Result<Vec<u8>, EvidenceError> {
        let text = canonical(&Wire::from(self)).map_err(|_| EvidenceError::Inexpressible)?;
        if text.len() > MAX_EVIDENCE {
            return Err(EvidenceError::TooLong(text.len()));
        }
        Ok(text.into_bytes())
    }

    /// Reads what [`Evidence::to_canonical`] wrote, and nothing else.
    ///
    /// # Errors
    /// Where the bytes are not the canonical form of evidence.
    pub fn from_canonical(bytes: &[u8]) -> Result<Self, EvidenceError> {
        if bytes.len() > MAX_EVIDENCE {
            return Err(EvidenceError::TooLong(bytes.len()));
        }
        let wire: Wire = serde_json::from_slice(bytes).map_err(EvidenceError::Parse)?;
        let evidence = Self::try_from(wire)?;
        if evidence.to_canonical()? != bytes {
            return Err(EvidenceError::NotCanonical);
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
    ) -> Result<(Attachment, Hash), EvidenceError> {
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
        if content.len() > MAX_EVIDENCE {
            return Err(EvidenceError::TooLong(content.len()));
        }
        if Hash::of(&[salt, content].concat()) != *hash {
            return Err(EvidenceError::Hash);
        }
        Self::from_canonical(content)
    }
}
