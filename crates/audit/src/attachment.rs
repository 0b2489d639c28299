//! Evidence beside a record: the record holds its salted hash, so that the evidence may go and the log stays whole.

use std::fmt;

use assay_types::{Hash, Timestamp};
use sha2::{Digest, Sha256};

use crate::{Draft, Event};

/// Octets of evidence at most.
pub const MAX_EVIDENCE: usize = 64 * 1024;

/// What a decision was made on. The salt goes with the content: what is left then tells nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Attachment {
    /// Random.
    pub salt: [u8; 32],
    /// At most [`MAX_EVIDENCE`] octets.
    pub content: Vec<u8>,
    /// When it may be pruned.
    pub keep_until: Timestamp,
}

impl Attachment {
    /// SHA-256(salt || content): what the record holds.
    pub fn hash(&self) -> Hash {
        Sha256::new()
            .chain_update(self.salt)
            .chain_update(&self.content)
            .into()
    }
}

impl fmt::Debug for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attachment")
            .field("octets", &self.content.len())
            .field("keep_until", &self.keep_until)
            .finish_non_exhaustive()
    }
}

impl Event {
    /// The salted hash of its evidence.
    pub fn evidence(&self) -> Option<&Hash> {
        if let Self::IntentOpened { evidence, .. }
        | Self::RequestPending { evidence, .. }
        | Self::RequestRefused { evidence, .. } = self
        {
            evidence.as_ref()
        } else {
            None
        }
    }
}

impl Draft {
    /// The draft with its evidence and the evidence's hash. An event that is no decision has no place for it and stays
    /// as it is.
    #[must_use]
    pub fn with_evidence(mut self, attachment: Attachment) -> Self {
        if let Event::IntentOpened { evidence, .. }
        | Event::RequestPending { evidence, .. }
        | Event::RequestRefused { evidence, .. } = &mut self.event
        {
            *evidence = Some(attachment.hash());
            self.attachment = Some(attachment);
        }
        self
    }
}
