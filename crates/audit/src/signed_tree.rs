//! The tree of a log at a signed checkpoint, from which a program continues that has none of the records.

use std::str::FromStr;

use assay_types::{CanonicalError, Hash, canonical, from_canonical};
use serde::{Deserialize, Serialize};

use crate::note::{Note, SignatureError, VerifierKey};
use crate::tree::{BadFrontier, Frontier};
use crate::{Checkpoint, CheckpointError};

/// Longest file, in bytes: a note with its line ends escaped, and 64 hashes.
pub const MAX_SIGNED_TREE: usize = 160 * 1024;

/// A checkpoint with its cosignatures, and the frontier of its tree.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedTree {
    format: Format,
    /// Signed note with its cosignatures.
    pub checkpoint: String,
    /// Roots of the perfect subtrees, the largest first.
    pub frontier: Vec<Hash>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
enum Format {
    #[serde(rename = "assay-tree/1")]
    One,
}

/// Why a log cannot be continued from such a file.
#[derive(Debug, thiserror::Error)]
pub enum SignedTreeError {
    /// Not canonical JSON of this form.
    #[error("not a whole tree of the form assay-tree/1")]
    Form(#[from] CanonicalError),
    /// The note is not a checkpoint of that log.
    #[error("checkpoint: it is not one that the key of the log signed")]
    Checkpoint(#[from] CheckpointError),
    /// A log without records has no tree.
    #[error("checkpoint: its log has no records")]
    Empty,
    /// Not as many hashes as the size needs.
    #[error("frontier: it is not that of the checkpoint's size")]
    Size(#[from] BadFrontier),
    /// The frontier of another tree.
    #[error("frontier: its root is {found}, and that of the checkpoint is {signed}")]
    Root {
        /// Of the frontier.
        found: Hash,
        /// In the checkpoint.
        signed: Hash,
    },
    /// A witness did not cosign.
    #[error("checkpoint: {witness} did not cosign it")]
    Witness {
        /// Name of its key.
        witness: String,
        /// How it showed.
        #[source]
        source: SignatureError,
    },
}

impl SignedTree {
    /// The parts put together; nothing is checked.
    pub fn new(checkpoint: String, frontier: &Frontier) -> Self {
        Self {
            format: Format::One,
            checkpoint,
            frontier: frontier.nodes().to_vec(),
        }
    }

    /// The file: canonical JSON on one line.
    ///
    /// # Errors
    /// [`SignedTreeError::Form`].
    pub fn to_canonical(&self) -> Result<String, SignedTreeError> {
        Ok(canonical(self)?)
    }

    /// Compares it with the log's key and with the key of each witness that must have cosigned.
    ///
    /// # Errors
    /// [`SignedTreeError`] names the member that does not hold.
    pub fn verify(
        &self,
        log: &VerifierKey,
        witnesses: &[VerifierKey],
    ) -> Result<Checkpoint, SignedTreeError> {
        let note = Note::from_str(&self.checkpoint).map_err(CheckpointError::from)?;
        let checkpoint = Checkpoint::open(&note, log)?;
        if checkpoint.size == 0 {
            return Err(SignedTreeError::Empty);
        }
        let bytes: Vec<u8> = self.frontier.iter().flat_map(|it| *it.as_bytes()).collect();
        let found = Frontier::from_bytes(checkpoint.size, &bytes)?.root();
        let signed = checkpoint.root;
        if found != signed {
            return Err(SignedTreeError::Root { found, signed });
        }
        for witness in witnesses {
            let cosigned = witness.verify(&note);
            cosigned.map_err(|source| SignedTreeError::Witness {
                witness: witness.name().to_owned(),
                source,
            })?;
        }
        Ok(checkpoint)
    }
}

impl FromStr for SignedTree {
    type Err = SignedTreeError;

    /// Reads what [`SignedTree::to_canonical`] wrote; a line end after it is allowed.
    fn from_str(text: &str) -> Result<Self, SignedTreeError> {
        let line = text.strip_suffix('\n').unwrap_or(text);
        Ok(from_canonical(line.as_bytes(), MAX_SIGNED_TREE)?)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

    use openssl::pkey::PKey;
    use openssl::sign::Signer;

    use super::*;
    use crate::note::{Algorithm, Signature};

    #[test]
    fn a_log_without_records_has_no_tree_to_continue() {
        let key = PKey::generate_ed25519().unwrap();
        let public = key.raw_public_key().unwrap();
        let log = VerifierKey::ed25519("log.example", Algorithm::Ed25519, &public).unwrap();
        let mut tree = Frontier::new();
        let signed = |tree: &Frontier| {
            let checkpoint = Checkpoint {
                origin: "log.example".to_owned(),
                size: tree.size(),
                root: tree.root(),
                extensions: Vec::new(),
            };
            let text = checkpoint.to_string();
            let mut signer = Signer::new_without_digest(&key).unwrap();
            let signature = signer.sign_oneshot_to_vec(text.as_bytes()).unwrap();
            let note = Note::new(&text, vec![Signature::new(&log, signature)]).unwrap();
            let file = SignedTree::new(note.to_string(), tree).to_canonical();
            let read: SignedTree = file.unwrap().parse().unwrap();
            read.verify(&log, &[]).map(|checkpoint| checkpoint.size)
        };
        assert!(matches!(signed(&tree), Err(SignedTreeError::Empty)));
        tree.append(Hash::of_leaf(b"record"));
        assert_eq!(signed(&tree).unwrap(), 1);
    }
}
