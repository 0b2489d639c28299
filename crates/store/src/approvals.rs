use assay_audit::Draft;
use assay_types::Timestamp;
use rusqlite::params;

use crate::pending::{self, PendingRow, PendingState, select};
use crate::sql::{Connection, MAX_ROWS, text_column};
use crate::{PRUNE_BATCH, Store, StoreError, audit, reserve};

/// An operator's decision on a waiting request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PendingVerdict {
    /// One of those whose approval it needs.
    Approve,
    /// One is enough.
    Deny,
}

text_column!(PendingVerdict { Approve = "approve", Deny = "deny" });

/// A decision of one operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingDecision {
    /// Id of the waiting request.
    pub id: String,
    /// Identity of the operator.
    pub approver: String,
    /// Their decision.
    pub verdict: PendingVerdict,
    /// Whether two operators must approve it.
    pub four_eyes: bool,
    /// When this happens.
    pub at: Timestamp,
}

/// The outcome of a decision. All but the first three left the store as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecideOutcome {
    /// May now be permitted.
    Approved {
        /// Operators who approved it.
        approvals: u64,
    },
    /// Needs another operator.
    AwaitsAnother {
        /// Operators who approved it so far.
        approvals: u64,
    },
    /// Over; what was reserved for it may be used again.
    Denied,
    /// The same operator approved it before, and counts once.
    Repeated,
    /// It does not wait any more.
    Closed(PendingState),
    /// No request has this id.
    Unknown,
}

impl Store {
    /// Counts an operator's decision on a waiting request. One past its time is [`PendingState::Expired`], also where that
    /// was not noted yet. `audit` is called once if something changed.
    ///
    /// # Errors
    /// Where it is not on disk.
    pub async fn decide_pending(
        &self,
        decision: PendingDecision,
        audit: impl FnOnce(&DecideOutcome) -> Draft + Send + 'static,
    ) -> Result<DecideOutcome, StoreError> {
        self.write(move |connection| {
            let Some(row) = pending::find(connection, &decision.id)? else {
                return Ok(DecideOutcome::Unknown);
            };
            if !is_undecided(&row, &decision) {
                return Ok(DecideOutcome::Closed(row.state));
            }
            if row.expires_at <= decision.at {
                return Ok(DecideOutcome::Closed(PendingState::Expired));
            }
            if !note(connection, &decision)? {
                return Ok(DecideOutcome::Repeated);
            }
            let outcome = match decision.verdict {
                PendingVerdict::Approve => approve(connection, &row, &decision)?,
                PendingVerdict::Deny => {
                    close(connection, &row, PendingState::Denied, decision.at)?;
                    reserve::free(connection, &row)?;
                    DecideOutcome::Denied
                }
            };
            audit::append(connection, vec![audit(&outcome)])?;
            Ok(outcome)
        })
        .await
    }

    /// Closes requests that wait, or were approved and not polled, until `now` or longer than they may, and
    /// gives back what was reserved for them. At most [`PRUNE_BATCH`], so call again while it is not 0. `audit` is called
    /// for each.
    ///
    /// # Errors
    /// Where it is not on disk.
    pub async fn expire_pending(
        &self,
        now: Timestamp,
        audit: impl Fn(&PendingRow) -> Draft + Send + 'static,
    ) -> Result<usize, StoreError> {
        self.write(move |connection| {
            let due = connection.list(
                &select(
                    "state IN ('waiting', 'approved') AND expires_at <= ?1
                     ORDER BY expires_at LIMIT ?2",
                ),
                params![now, PRUNE_BATCH],
                pending::read,
            )?;
            for row in &due {
                close(connection, row, PendingState::Expired, now)?;
                reserve::free(connection, row)?;
            }
            audit::append(connection, due.iter().map(audit).collect())?;
            Ok(due.len())
        })
        .await
    }

    /// Who decided on a request so far, by identity, oldest first; at most [`MAX_ROWS`].
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn list_deciders(&self, id: String) -> Result<Vec<String>, StoreError> {
        self.read(move |connection| {
            connection.list(
                "SELECT approver FROM approvals WHERE pending_id = ?1
                 ORDER BY decided_at, approver LIMIT ?2",
                params![id, MAX_ROWS],
                |row| row.get(0),
            )
        })
        .await
    }
}

/// Whether operators still decide: the request waits, or it was approved by fewer than the policy in force now wants.
fn is_undecided(row: &PendingRow, decision: &PendingDecision) -> bool {
    match row.state {
        PendingState::Waiting => true,
        PendingState::Approved => (row.approvals.len() as u64) < required(decision),
        PendingState::Issued | PendingState::Denied | PendingState::Expired => false,
    }
}

fn required(decision: &PendingDecision) -> u64 {
    if decision.four_eyes { 2 } else { 1 }
}

/// `false` if the operator said the same before. He may take an approval back by a denial.
fn note(connection: &Connection, decision: &PendingDecision) -> Result<bool, StoreError> {
    connection.change_one(
        "INSERT INTO approvals (pending_id, approver, verdict, decided_at)
         VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (pending_id, approver) DO UPDATE SET
             verdict = excluded.verdict, decided_at = excluded.decided_at
             WHERE verdict <> excluded.verdict",
        params![
            decision.id,
            decision.approver,
            decision.verdict,
            decision.at
        ],
    )
}

fn approve(
    connection: &Connection,
    row: &PendingRow,
    decision: &PendingDecision,
) -> Result<DecideOutcome, StoreError> {
    let approvals = row.approvals.len() as u64 + 1;
    if approvals < required(decision) {
        return Ok(DecideOutcome::AwaitsAnother { approvals });
    }
    close(connection, row, PendingState::Approved, decision.at)?;
    Ok(DecideOutcome::Approved { approvals })
}

fn close(
    connection: &Connection,
    row: &PendingRow,
    state: PendingState,
    at: Timestamp,
) -> Result<(), StoreError> {
    connection.change(
        "UPDATE pending SET state = ?2, decided_at = ?3 WHERE id = ?1",
        params![row.id, state, at],
    )?;
    Ok(())
}
