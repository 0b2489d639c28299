use assay_audit::MAX_EVIDENCE;
use assay_types::{CanonicalError, Hash, from_canonical, to_canonical};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Octets of a line of an export: a change of an inventory is what one call brings, 16 MiB at most, quoted twice.
pub const MAX_LINE: usize = 64 * 1024 * 1024;

/// The evidence of one record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EvidenceLine {
    /// Of the record.
    pub sequence: u64,
    /// As the store kept it.
    pub salt: [u8; 32],
    /// Canonical JSON, byte for byte as it was hashed.
    pub content: Vec<u8>,
}

/// One change of an inventory.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InventoryLine {
    /// JSON, byte for byte as it was hashed.
    pub content: String,
    /// Head of the chain with this change: SHA-256(head before || content), 32 zero octets before the first.
    pub hash: Hash,
    /// From 1.
    pub sequence: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EvidenceWire {
    content: Value,
    salt: Hash,
    sequence: u64,
}

impl EvidenceLine {
    /// Canonical JSON, without a line end.
    ///
    /// # Errors
    /// Where the content is not canonical JSON, or longer than [`MAX_EVIDENCE`].
    pub fn to_canonical(&self) -> Result<Vec<u8>, CanonicalError> {
        to_canonical(
            &EvidenceWire {
                content: from_canonical(&self.content, MAX_EVIDENCE)?,
                salt: Hash::from(self.salt),
                sequence: self.sequence,
            },
            MAX_LINE,
        )
    }

    /// Reads what [`EvidenceLine::to_canonical`] wrote, and nothing else.
    ///
    /// # Errors
    /// [`CanonicalError`].
    pub fn parse(line: &[u8]) -> Result<Self, CanonicalError> {
        let wire: EvidenceWire = from_canonical(line, MAX_LINE)?;
        Ok(Self {
            sequence: wire.sequence,
            salt: *wire.salt.as_bytes(),
            content: to_canonical(&wire.content, MAX_EVIDENCE)?,
        })
    }
}

impl InventoryLine {
    /// Canonical JSON, without a line end.
    ///
    /// # Errors
    /// [`CanonicalError::TooLong`].
    pub fn to_canonical(&self) -> Result<Vec<u8>, CanonicalError> {
        to_canonical(self, MAX_LINE)
    }

    /// Reads what [`InventoryLine::to_canonical`] wrote, and nothing else.
    ///
    /// # Errors
    /// [`CanonicalError`].
    pub fn parse(line: &[u8]) -> Result<Self, CanonicalError> {
        from_canonical(line, MAX_LINE)
    }
}
