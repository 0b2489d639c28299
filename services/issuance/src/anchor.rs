//! The state is compared with the journal of the HSM service: a program that can write the state file can put an older one in its place, and
//! the service has the head of the log and every certificate that was signed since.

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
        "the state is older than the log: the HSM service signed a checkpoint of {signed} records and the state has {found}; restore a newer state, or recover"
    )]
    RolledBack { signed: u64, found: u64 },
    #[error(
        "the log of the state is not the one that the HSM service signed for: its {size} records have another root"
    )]
    OtherLog { size: u64 },
    #[error(
        "the journal of the HSM service is older than the log: it has signed a checkpoint of {journal} records and the state has one of {checkpoint}; give the service its newer journal back, or recover"
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
pub(crate) struct Unlogged(Mutex<Vec<(Serial, Hash)>>);

impl Unlogged {
    /// To be looked for among these of the journal.
    pub(crate) fn among(journal: Option<&JournalInfo>) -> Self {
        let named = journal.into_iter().flat_map(|journal| &journal.unlogged);
        let named = named.filter_map(|(serial, tbs)| {
            let serial = Serial::try_from(serial.as_slice()).ok()?;
            Some((serial, Hash::from(*tbs)))
        });
        Self(Mutex::new(named.collect()))
    }

    /// Forgets those that the state knows by now, and says which are left.
    pub(crate) async fn look(
        &self,
        store: &Store,
        readiness: &Readiness,
    ) -> Result<(), StoreError> {
        let mut left = self.0.lock().await;
        if !left.is_empty() {
            let unknown = store.without_permit(left.clone()).await?;
            left.retain(|(serial, _)| unknown.contains(serial));
        }
        match left.first() {
            None => readiness.clear(COMPONENT),
            Some((serial, _)) => readiness.set_cause(
                COMPONENT,
                format!(
                    "the HSM service signed {} certificates that the log does not have, the newest {serial}: revoke them with \
                     `assay cert revoke --from-journal`, or recover",
                    left.len()
                ),
            ),
        }
        Ok(())
    }
}
