use crate::sql::Connection;
use crate::{PendingRow, PendingState, Store, StoreError, TransactionKey, TransactionRow};
use crate::{pending, transactions};

/// The state of a transaction, as a CertPoll asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Polled {
    /// Its latest request was queued and has no certificate, nor an intent for one.
    Queued(Box<PendingRow>),
    /// Its latest request was permitted.
    Permitted(TransactionRow),
}

impl Store {
    /// The latest of all requests under `key`, whether it was queued or permitted at once.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn find_polled(&self, key: TransactionKey) -> Result<Option<Polled>, StoreError> {
        self.read(move |connection| find(connection, &key)).await
    }
}

/// Clients derive the ID from their key, so that an old certificate may stand beside a new request.
fn find(connection: &Connection, key: &TransactionKey) -> Result<Option<Polled>, StoreError> {
    // First: what is issued between the two queries is found by the second.
    let queued =
        pending::find_latest(connection, key)?.filter(|row| row.state != PendingState::Issued);
    let permitted = transactions::find(connection, key)?;
    Ok(match (queued, permitted) {
        (Some(row), None) => Some(Polled::Queued(Box::new(row))),
        (Some(row), Some(bound)) if is_later(&row, &bound) => Some(Polled::Queued(Box::new(row))),
        (_, Some(bound)) => Some(Polled::Permitted(bound)),
        (None, None) => None,
    })
}

/// Within a second the one that is not over yet counts as the later.
fn is_later(queued: &PendingRow, bound: &TransactionRow) -> bool {
    match queued.state {
        PendingState::Waiting | PendingState::Approved => queued.created_at >= bound.created_at,
        PendingState::Issued | PendingState::Denied | PendingState::Expired => {
            queued.created_at > bound.created_at
        }
    }
}
