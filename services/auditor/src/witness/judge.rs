//! What is cosigned: a checkpoint of a log that is watched over, if it holds all that was cosigned of that log before.

use std::sync::{Mutex, PoisonError};

use assay_audit::note::{Note, Signature, VerifierKey};
use assay_audit::tree::{Frontier, ProofError, verify_consistency};
use assay_audit::{Checkpoint, CheckpointError, Submission, SubmissionError};
use assay_types::Timestamp;

use super::key::WitnessKey;
use super::memory::Memory;

/// A key, the logs, and what is known of them.
pub(super) struct Witness {
    key: WitnessKey,
    logs: Vec<VerifierKey>,
    /// Held from the look at the latest checkpoint until the new one is on disk, so that of two at once one is first.
    memory: Mutex<Memory>,
}

/// A checkpoint that was cosigned.
#[derive(Debug)]
pub(super) struct Cosigned {
    pub(super) checkpoint: Checkpoint,
    pub(super) line: Signature,
}

/// Why one was not, by the answers of C2SP tlog-witness.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("malformed: {0}")]
    Malformed(SubmissionError),
    #[error("no checkpoint: {0}")]
    NoCheckpoint(CheckpointError),
    #[error("`{0}` is no log that this witness watches over")]
    UnknownLog(String),
    #[error("no key of the log signed this")]
    Unsigned,
    #[error("old {old} is more than the checkpoint's size {size}")]
    OldTooLarge { old: u64, size: u64 },
    #[error("the latest checkpoint cosigned has size {latest}")]
    OtherSize { latest: u64 },
    #[error("another tree of this size was cosigned before: the log is not what it was")]
    Fork,
    #[error("the log is not what it was: {0}")]
    Inconsistent(ProofError),
    #[error("the proof is to be empty where old is 0")]
    ProofOfNothing,
    #[error("an empty log has the root of an empty tree")]
    EmptyRoot,
    #[error("the checkpoint cannot be kept, and without that it is not cosigned")]
    Storage(#[source] std::io::Error),
    #[error("the cosignature cannot be made")]
    Signing(#[source] openssl::error::ErrorStack),
}

impl Witness {
    pub(super) fn new(key: WitnessKey, logs: Vec<VerifierKey>, memory: Memory) -> Self {
        Self {
            key,
            logs,
            memory: Mutex::new(memory),
        }
    }

    pub(super) fn key(&self) -> &VerifierKey {
        self.key.public()
    }

    /// Origins watched over, and those of which a checkpoint is known.
    pub(super) fn counts(&self) -> (usize, usize) {
        let mut origins: Vec<&str> = self.logs.iter().map(VerifierKey::name).collect();
        origins.sort_unstable();
        origins.dedup();
        let memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        (origins.len(), memory.len())
    }

    /// Judges the body of an add-checkpoint at `now`. Blocks until the checkpoint is on disk.
    pub(super) fn add_checkpoint(&self, body: &[u8], now: Timestamp) -> Result<Cosigned, Refusal> {
        let Submission { old, proof, note } =
            Submission::parse(body).map_err(Refusal::Malformed)?;
        let (checkpoint, note) = self.open(&note)?;
        if old > checkpoint.size {
            return Err(Refusal::OldTooLarge {
                old,
                size: checkpoint.size,
            });
        }
        // A poisoned lock guards a whole state: it changes last, after the file.
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let before = memory.latest(&checkpoint.origin);
        let latest = before.map_or(0, |before| before.size);
        if old != latest {
            return Err(Refusal::OtherSize { latest });
        }
        if checkpoint.size == 0 && checkpoint.root != Frontier::new().root() {
            return Err(Refusal::EmptyRoot);
        }
        match before {
            Some(before) if old > 0 => {
                if old == checkpoint.size && before.root != checkpoint.root {
                    return Err(Refusal::Fork);
                }
                verify_consistency(old, &before.root, checkpoint.size, &checkpoint.root, &proof)
                    .map_err(Refusal::Inconsistent)?;
            }
            Some(_) | None => {
                if !proof.is_empty() {
                    return Err(Refusal::ProofOfNothing);
                }
            }
        }
        memory
            .keep(checkpoint.clone(), &note)
            .map_err(Refusal::Storage)?;
        drop(memory);
        let line = self
            .key
            .cosign(now, note.text())
            .map_err(Refusal::Signing)?;
        Ok(Cosigned { checkpoint, line })
    }

    /// The checkpoint of a note that a key of its log signed, and the note with that signature alone: those of others
    /// are of no use here, and have no bound but that of the body.
    fn open(&self, note: &Note) -> Result<(Checkpoint, Note), Refusal> {
        let claimed: Checkpoint = note.text().parse().map_err(Refusal::NoCheckpoint)?;
        let of_log = |key: &&VerifierKey| key.name() == claimed.origin;
        if !self.logs.iter().any(|key| of_log(&key)) {
            return Err(Refusal::UnknownLog(claimed.origin));
        }
        self.logs
            .iter()
            .filter(of_log)
            .find_map(|key| {
                let checkpoint = Checkpoint::open(note, key).ok()?;
                let by_it = note.signatures().iter().find(|line| line.is_by(key))?;
                let own = Note::new(note.text(), vec![by_it.clone()]).ok()?;
                Some((checkpoint, own))
            })
            .ok_or(Refusal::Unsigned)
    }
}

#[cfg(test)]
mod tests;
