//! The log's head: which records are signed for, and by whom. Signing follows the records and never holds them up.

mod counts;
mod watch;

use std::sync::Arc;
use std::time::Instant;

use assay_audit::note::{Note, NoteError, Signature, VerifierKey};
use assay_audit::tree::Frontier;
use assay_audit::{Checkpoint, CheckpointError};
use assay_hsm::OperationError;
use assay_runtime::telemetry;
use assay_store::{LogState, MAX_LEAVES, NewCheckpoint, Store, StoreError};
use assay_types::Hash;
use tokio::sync::Mutex;

pub(crate) use watch::watch;

use crate::anchor::{IsUnlogged, Unlogged};
use crate::metrics;
use crate::recorder::Recorder;
use crate::rollover::Generations;
use crate::settings::LogSettings;
use counts::Counts;

/// Why the log cannot be taken up at start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenLogError {
    #[error("the HSM service signs for no log: hsm.toml has no [log]; `assay-ceremony` writes it")]
    NoKey,
    #[error("the log-sign key cannot sign as `{origin}`")]
    Key {
        origin: String,
        #[source]
        source: assay_audit::note::KeyError,
    },
    #[error(
        "the checkpoint of size {size} in the state file is not one that the log-sign key signed as `{origin}`: audit.origin or the log's key in hsm.toml were changed, or the checkpoint was; put them back"
    )]
    Foreign {
        size: u64,
        origin: String,
        #[source]
        source: CheckpointError,
    },
    #[error(
        "the checkpoint of size {size} in the state file was exchanged: its note tells another size or root"
    )]
    Exchanged { size: u64 },
    #[error(
        "the checkpoint of size {size} in the state file names another journal of the HSM service than {found}, the one that it has now: give the service its journal back"
    )]
    Journal { size: u64, found: String },
}

/// Why there is no new checkpoint. The records stay; the next attempt signs for them too.
#[derive(Debug, thiserror::Error)]
pub enum NoCheckpoint {
    /// The state failed.
    #[error("the log cannot be read or its checkpoint not written")]
    Store(#[from] StoreError),
    /// The token failed.
    #[error("the token does not sign a checkpoint")]
    Token(#[from] OperationError),
    /// The signed text is not a note.
    #[error("the checkpoint is no note")]
    Note(#[from] NoteError),
    /// The journal has certificates that the log does not have.
    #[error(transparent)]
    Unlogged(#[from] IsUnlogged),
    /// What was signed does not verify.
    #[error("the checkpoint that the token signed does not hold")]
    Wrong(#[from] CheckpointError),
}

/// The log of this signer.
pub struct Log {
    store: Store,
    /// The keys that sign certificates, and the log's.
    generations: Arc<Generations>,
    recorder: Arc<Recorder>,
    key: VerifierKey,
    settings: LogSettings,
    unlogged: Arc<Unlogged>,
    head: Mutex<Head>,
}

/// The word that a checkpoint's line on the HSM service's journal begins with (docs/journal.md).
const JOURNAL: &str = "assay-journal ";

/// Whether the journal that a checkpoint names, if it names one, is this one.
fn names_journal(checkpoint: &Checkpoint, journal: Option<Hash>) -> bool {
    let lines = checkpoint.extensions.iter();
    let mut named = lines.filter_map(|line| line.strip_prefix(JOURNAL));
    named.all(|rest| {
        let identity = rest.split(' ').next();
        journal.is_some_and(|journal| identity == Some(&*journal.to_string()))
    })
}

/// What was signed last. Held while the next one is made, so that there is one line of heads.
struct Head {
    frontier: Frontier,
    /// A tree that the HSM service was asked to sign, and may have signed without an answer. It signs the same one again, and
    /// none that does not continue it.
    asked: Option<(Frontier, Vec<Hash>)>,
    /// By the CA.
    counts: [Counts; 2],
    /// When all records were last known to be under a checkpoint.
    complete: Instant,
}

impl Log {
    /// Takes up the log where `state`, which holds, leaves it.
    pub(crate) fn open(
        store: Store,
        generations: Arc<Generations>,
        recorder: Arc<Recorder>,
        settings: LogSettings,
        state: LogState,
        unlogged: Arc<Unlogged>,
    ) -> Result<Self, OpenLogError> {
        let origin = &settings.origin;
        let spki = &generations
            .first()
            .token
            .log_key()
            .ok_or(OpenLogError::NoKey)?
            .spki_der;
        let key = VerifierKey::from_spki(origin, spki).map_err(|source| OpenLogError::Key {
            origin: origin.clone(),
            source,
        })?;
        if let Some(newest) = &state.checkpoint {
            let newest = &newest.checkpoint;
            let opened = newest
                .note
                .parse()
                .map_err(CheckpointError::from)
                .and_then(|note| Checkpoint::open(&note, &key))
                .map_err(|source| OpenLogError::Foreign {
                    size: newest.size,
                    origin: origin.clone(),
                    source,
                })?;
            if (opened.size, opened.root) != (newest.size, newest.root) {
                return Err(OpenLogError::Exchanged { size: newest.size });
            }
            let journal = generations.first().token.journal();
            if !names_journal(&opened, journal) {
                return Err(OpenLogError::Journal {
                    size: newest.size,
                    found: journal.map_or("none".to_owned(), String::from),
                });
            }
        }
        // The service may have signed a tree whose checkpoint was not kept.
        let signed = state
            .asked
            .filter(|tree| tree.size() > state.frontier.size());
        let frontier = signed.unwrap_or(state.frontier);
        let size = frontier.size();
        let log = Self {
            store,
            generations,
            recorder,
            key,
            settings,
            unlogged,
            head: Mutex::new(Head {
                frontier,
                asked: None,
                counts: Default::default(),
                complete: Instant::now(),
            }),
        };
        let records = state.records;
        tracing::info!(log = %log.key(), size, records, "the audit log holds");
        Ok(log)
    }

    /// Whoever wants to check a checkpoint takes this key.
    pub fn key(&self) -> &VerifierKey {
        &self.key
    }

    /// The pinned witnesses.
    pub fn witnesses(&self) -> &[VerifierKey] {
        &self.settings.witnesses
    }

    /// Signs for all records that there are, if any are new.
    ///
    /// # Errors
    /// Where nothing new is signed; the next attempt signs for these records too.
    pub async fn checkpoint(&self, policy_hash: Option<Hash>) -> Result<(), NoCheckpoint> {
        let mut head = self.head.lock().await;
        let result = self.extend(&mut head, policy_hash).await;
        if result.is_ok() {
            head.complete = Instant::now();
        }
        metrics::log(head.frontier.size(), head.complete.elapsed());
        result
    }

    /// Records the last counts of all CA keys, which sign no certificate and no CRL any more.
    pub(crate) async fn close_counts(&self, policy_hash: Option<Hash>) -> Result<(), StoreError> {
        let mut head = self.head.lock().await;
        self.record_counts(&mut head.counts, policy_hash, Span::Closing)
            .await
    }

    async fn extend(&self, head: &mut Head, policy_hash: Option<Hash>) -> Result<(), NoCheckpoint> {
        self.unlogged.check()?;
        let counted = self.record_counts(&mut head.counts, policy_hash, Span::Running);
        // The records that there are get their head all the same.
        if let Err(error) = counted.await {
            tracing::error!(
                error = telemetry::chain(&error),
                "the counts of signatures are not recorded"
            );
        }
        loop {
            let (tree, leaves) = match head.asked.take() {
                Some(asked) => asked,
                None => {
                    let mut tree = head.frontier.clone();
                    // The HSM service gets every leaf, so that one checkpoint covers no more than one message holds.
                    let leaves = self.store.leaf_hashes(tree.size(), MAX_LEAVES).await?;
                    if leaves.is_empty() {
                        return Ok(());
                    }
                    for leaf in &leaves {
                        tree.append(*leaf);
                    }
                    (tree, leaves)
                }
            };
            let (tree, leaves) = head.asked.insert((tree, leaves));
            self.sign(tree, leaves).await?;
            if let Some((tree, _)) = head.asked.take() {
                head.frontier = tree;
            }
        }
    }

    async fn record_counts(
        &self,
        counts: &mut [Counts; 2],
        policy_hash: Option<Hash>,
        span: Span,
    ) -> Result<(), StoreError> {
        for (generation, counts) in self.generations.all().zip(counts) {
            let changed = counts.changed(&generation.token.runs(), span);
            if changed.is_empty() {
                continue;
            }
            let drafts = changed
                .iter()
                .map(|count| self.recorder.draft(policy_hash, count.event()))
                .collect();
            self.store.append_audit(drafts).await?;
            let ended = counts.written(changed);
            generation.token.forget_runs(&ended);
        }
        Ok(())
    }

    async fn sign(&self, frontier: &Frontier, leaves: &[Hash]) -> Result<(), NoCheckpoint> {
        let (size, root) = (frontier.size(), frontier.root());
        let token = &self.generations.first().token;
        let signed = token.sign_checkpoint(size, root, leaves).await?;
        let checkpoint = Checkpoint {
            origin: self.settings.origin.clone(),
            size,
            root,
            extensions: signed.extensions,
        };
        let text = checkpoint.to_string();
        let note = Note::new(&text, vec![Signature::new(&self.key, signed.signature)])?;
        Checkpoint::open(&note, &self.key)?;
        // Proofs of every size that is signed can be made: the tree is written first.
        self.store.extend_tree(checkpoint.size).await?;
        self.store
            .store_checkpoint(NewCheckpoint {
                size: checkpoint.size,
                root: checkpoint.root,
                frontier: frontier.to_bytes(),
                note: note.to_string(),
                signed_at: self.recorder.timestamp(),
            })
            .await?;
        Ok(())
    }
}

/// Whether the keys continue to sign.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Span {
    Running,
    Closing,
}
