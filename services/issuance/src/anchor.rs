//! The state is compared with the journal of the HSM service: a program that can write the state file can put an older one in its place, and
//! the service has the head of the log and every certificate that was signed since.

use std::sync::atomic::{AtomicUsize, Ordering};

use assay_hsm::wire::JournalInfo;
use assay_runtime::ops::Readiness;
use assay_store::{LogState, Store, StoreError};
use assay_types::{Hash, Serial};
use tokio::sync::Mutex;

/// The name of this part in `/readyz`.
const COMPONENT: &str = "journal";

/// Where the state is not the one that the HSM service knows.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotAnchored {
    #[error(
        "the state is older than the log: the HSM service signed a checkpoint of {signed} records and the state has {found}; restore the newest state, or recover what is lost from the journal with `assay-signer --propose-recovery` (docs/recovery.md)"
    )]
    RolledBack { signed: u64, found: u64 },
    #[error(
        "the log of the state is not the one that the HSM service signed for: its {size} records have another root"
    )]
    OtherLog { size: u64 },
    #[error(
        "the journal of the HSM service is older than the log: it has signed a checkpoint of {journal} records and the state has one of {checkpoint}; give the service its newest journal back"
    )]
    OldJournal { journal: u64, checkpoint: u64 },
}

/// A log that was checked up to the size of the journal's last tree continues that tree.
pub(crate) fn check(log: &LogState, journal: &JournalInfo) -> Result<(), NotAnchored> {
    let size = journal.log_size;
    let checkpoint = log.frontier.size();
    match &log.asked {
        _ if log.records < size => Err(NotAnchored::RolledBack {
            signed: size,
            found: log.records,
        }),
        _ if size < checkpoint => Err(NotAnchored::OldJournal {
            journal: size,
            checkpoint,
        }),
        Some(tree) if size == 0 || *tree.root().as_bytes() == journal.log_root => Ok(()),
        Some(_) | None => Err(NotAnchored::OtherLog { size }),
    }
}

/// Certificates that the HSM service signed and that the state has no permit for: a state that was put back, or another program
/// under the signer's user, left them.
///
/// While there are any, nothing is issued and no head is signed: the state may be one that was put back, and a head over it would hide
/// that from the next start.
pub(crate) struct Unlogged {
    certificates: Mutex<Vec<(Serial, Hash)>>,
    left: AtomicUsize,
}

/// Certificates of the journal are not in the log.
#[derive(Debug, thiserror::Error)]
#[error("the HSM service signed {0} certificates that the log does not have")]
pub struct IsUnlogged(usize);

impl Unlogged {
    /// To be looked for among these of the journal.
    pub(crate) fn among(journal: Option<&JournalInfo>) -> Self {
        let named = journal.into_iter().flat_map(|journal| &journal.unlogged);
        let named = named.filter_map(|(serial, tbs)| {
            let serial = Serial::try_from(serial.as_slice()).ok()?;
            Some((serial, Hash::from(*tbs)))
        });
        let named: Vec<_> = named.collect();
        Self {
            left: AtomicUsize::new(named.len()),
            certificates: Mutex::new(named),
        }
    }

    /// Refuses while there are any.
    pub(crate) fn check(&self) -> Result<(), IsUnlogged> {
        match self.left.load(Ordering::Acquire) {
            0 => Ok(()),
            left => Err(IsUnlogged(left)),
        }
    }

    /// Forgets those that the state knows by now, and says which are left.
    pub(crate) async fn look(
        &self,
        store: &Store,
        readiness: &Readiness,
    ) -> Result<(), StoreError> {
        let mut left = self.certificates.lock().await;
        if !left.is_empty() {
            let unknown = store.without_permit(left.clone()).await?;
            left.retain(|(serial, _)| unknown.contains(serial));
        }
        self.left.store(left.len(), Ordering::Release);
        match left.first() {
            None => readiness.clear(COMPONENT),
            Some((serial, _)) => readiness.set_cause(
                COMPONENT,
                format!(
                    "the HSM service signed {} certificates that the log does not have, the newest {serial}: revoke them with \
                     `assay cert revoke --from-journal`, restore the newest state, or recover it from the journal (docs/recovery.md)",
                    left.len()
                ),
            ),
        }
        Ok(())
    }
}
