//! Receipts: what proves to anyone, offline, that a certificate is in the log.

use std::str::FromStr;

use assay_types::{CanonicalError, Hash, canonical, from_canonical};
use serde::{Deserialize, Serialize};

use crate::note::{Note, VerifierKey};
use crate::tree::{MAX_PROOF, ProofError, verify_inclusion};
use crate::{Checkpoint, CheckpointError, Event, Record};

/// Octets of a receipt: a record, 64 hashes and a note of some witnesses.
pub const MAX_RECEIPT: usize = 128 * 1024;

/// The `request.issued` record of one certificate, with the way from it to a signed root. The record tells the digests of
/// request, policy and TBSCertificate, and when and by whom it was asked for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    format: Format,
    /// Signed note with the cosignatures of its day.
    pub checkpoint: String,
    /// The record.
    pub record: Record,
    /// Its audit path, leaf to root.
    pub proof: Vec<Hash>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
enum Format {
    #[serde(rename = "assay-receipt/1")]
    One,
}

/// Why a receipt proves nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptError {
    /// Not canonical JSON of this form.
    #[error("not a receipt of the form assay-receipt/1")]
    Form(#[from] CanonicalError),
    /// The note is no checkpoint of that log.
    #[error("checkpoint: it is none of this log")]
    Checkpoint(#[from] CheckpointError),
    /// No certificate was issued by it.
    #[error("record: it is a {0}, not a request.issued")]
    Kind(&'static str),
    /// Sequence numbers begin with 1.
    #[error("record: its sequence number is 0")]
    Sequence,
    /// The record is not in the tree.
    #[error("proof: the record is not in the log at this checkpoint")]
    Proof(#[from] ProofError),
    /// Another certificate's.
    #[error("certificate_sha256: the receipt is for {recorded}, the certificate has {found}")]
    Certificate {
        /// In the record.
        recorded: Hash,
        /// Of the certificate.
        found: Hash,
    },
}

impl Receipt {
    /// The parts put together; nothing is checked.
    pub fn new(note: &Note, record: Record, proof: Vec<Hash>) -> Self {
        Self {
            format: Format::One,
            checkpoint: note.to_string(),
            record,
            proof,
        }
    }

    /// The file: canonical JSON on one line.
    ///
    /// # Errors
    /// [`ReceiptError::Form`].
    pub fn to_canonical(&self) -> Result<String, ReceiptError> {
        Ok(canonical(self)?)
    }

    /// Holds it to the log's key and to the certificate that it is for; returns the checkpoint, whose cosignatures are for
    /// the caller to judge.
    ///
    /// # Errors
    /// [`ReceiptError`] names the member that does not hold.
    pub fn verify(
        &self,
        log: &VerifierKey,
        certificate_der: &[u8],
    ) -> Result<Checkpoint, ReceiptError> {
        let note = Note::from_str(&self.checkpoint).map_err(CheckpointError::from)?;
        let checkpoint = Checkpoint::open(&note, log)?;
        let Event::RequestIssued {
            certificate_sha256, ..
        } = &self.record.draft.event
        else {
            return Err(ReceiptError::Kind(self.record.draft.event.kind()));
        };
        let index = self
            .record
            .sequence
            .checked_sub(1)
            .ok_or(ReceiptError::Sequence)?;
        if self.proof.len() > MAX_PROOF {
            return Err(ProofError::Length.into());
        }
        let leaf = Hash::of_leaf(&self.record.to_canonical()?);
        verify_inclusion(&leaf, index, checkpoint.size, &self.proof, &checkpoint.root)?;
        let found = Hash::of(certificate_der);
        if found != *certificate_sha256 {
            return Err(ReceiptError::Certificate {
                recorded: *certificate_sha256,
                found,
            });
        }
        Ok(checkpoint)
    }
}

impl FromStr for Receipt {
    type Err = ReceiptError;

    /// Reads what [`Receipt::to_canonical`] wrote; a line end after it is let pass.
    fn from_str(text: &str) -> Result<Self, ReceiptError> {
        let line = text.strip_suffix('\n').unwrap_or(text);
        Ok(from_canonical(line.as_bytes(), MAX_RECEIPT)?)
    }
}
