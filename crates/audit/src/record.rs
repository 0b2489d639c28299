use assay_types::{CanonicalError, Hash, TimestampMillis, from_canonical, to_canonical};
use serde::{Deserialize, Serialize};

use crate::{Attachment, Event, Text};

/// Octets of a record: a leaf of the log is at most 4 KiB.
pub const MAX_RECORD: usize = 4096;

/// What holds for every record of one run of the signer under one policy.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Context {
    /// Drawn anew at each start.
    pub boot_id: Text,
    /// Version of the signer.
    pub binary: Text,
    /// SHA-256 of the signer's configuration file.
    pub config_hash: Hash,
    /// Model hash of the policy in force; absent before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_hash: Option<Hash>,
}

/// When it happened, by both clocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Moment {
    /// By the signer's clock.
    pub wall_ms: TimestampMillis,
    /// Milliseconds since the boot of `boot_id`; never goes back.
    pub monotonic_ms: u64,
}

/// A record that has no place in the log yet.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Draft {
    /// The run it belongs to.
    #[serde(flatten)]
    pub context: Context,
    /// When it happened.
    #[serde(flatten)]
    pub moment: Moment,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
    /// What its evidence's hash is of, for the store; no part of the record.
    #[serde(skip)]
    pub attachment: Option<Attachment>,
}

impl Draft {
    /// The record at its place in the log.
    pub fn at(self, sequence: u64) -> Record {
        Record {
            sequence,
            draft: self,
        }
    }
}

/// A record of the audit log.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Record {
    /// Position in the log, from 1, without gaps.
    pub sequence: u64,
    /// The rest.
    #[serde(flatten)]
    pub draft: Draft,
}

impl Record {
    /// The bytes that are stored, hashed and exported: canonical JSON on one line, without a line end.
    ///
    /// # Errors
    /// [`CanonicalError::TooLong`] past [`MAX_RECORD`].
    pub fn to_canonical(&self) -> Result<Vec<u8>, CanonicalError> {
        to_canonical(self, MAX_RECORD)
    }

    /// Reads what [`Record::to_canonical`] wrote, and nothing else.
    ///
    /// # Errors
    /// Where the bytes are not the canonical form of a record.
    pub fn from_canonical(bytes: &[u8]) -> Result<Self, CanonicalError> {
        from_canonical(bytes, MAX_RECORD)
    }
}
