use assay_audit::{MAX_EVIDENCE, canonical};
use assay_types::Hash;
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

/// Why bytes are no line of an export.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// Longer than its bound.
    #[error("longer than any line of its kind")]
    TooLong,
    /// Not JSON, or not of this shape.
    #[error("not a line of this file: {0}")]
    Parse(String),
    /// The same content in another form.
    #[error("a line is canonical JSON: sorted keys, no spaces")]
    NotCanonical,
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
    pub fn to_canonical(&self) -> Result<Vec<u8>, LineError> {
        let content = serde_json::from_slice(&self.content).map_err(|error| parse(&error))?;
        if self.content.len() > MAX_EVIDENCE {
            return Err(LineError::TooLong);
        }
        let text = canonical(&content).map_err(|_| LineError::NotCanonical)?;
        if text.as_bytes() != self.content {
            return Err(LineError::NotCanonical);
        }
        write(&EvidenceWire {
            content,
            salt: Hash::from(self.salt),
            sequence: self.sequence,
        })
    }

    /// Reads what [`EvidenceLine::to_canonical`] wrote, and nothing else.
    ///
    /// # Errors
    /// [`LineError`].
    pub fn parse(line: &[u8]) -> Result<Self, LineError> {
        let wire: EvidenceWire = read(line)?;
        let content = canonical(&wire.content).map_err(|_| LineError::NotCanonical)?;
        if content.len() > MAX_EVIDENCE {
            return Err(LineError::TooLong);
        }
        Ok(Self {
            sequence: wire.sequence,
            salt: wire.salt.into(),
            content: content.into_bytes(),
        })
    }
}

impl InventoryLine {
    /// Canonical JSON, without a line end.
    ///
    /// # Errors
    /// [`LineError::TooLong`].
    pub fn to_canonical(&self) -> Result<Vec<u8>, LineError> {
        write(self)
    }

    /// Reads what [`InventoryLine::to_canonical`] wrote, and nothing else.
    ///
    /// # Errors
    /// [`LineError`].
    pub fn parse(line: &[u8]) -> Result<Self, LineError> {
        read(line)
    }
}

fn write(line: &impl Serialize) -> Result<Vec<u8>, LineError> {
    let text = canonical(line).map_err(|_| LineError::NotCanonical)?;
    if text.len() > MAX_LINE {
        return Err(LineError::TooLong);
    }
    Ok(text.into_bytes())
}

fn read<T: Serialize + for<'de> Deserialize<'de>>(line: &[u8]) -> Result<T, LineError> {
    if line.len() > MAX_LINE {
        return Err(LineError::TooLong);
    }
    let value: T = serde_json::from_slice(line).map_err(|error| parse(&error))?;
    if write(&value)? != line {
        return Err(LineError::NotCanonical);
    }
    Ok(value)
}

fn parse(error: &serde_json::Error) -> LineError {
    LineError::Parse(error.to_string())
}
