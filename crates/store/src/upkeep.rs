use assay_types::Timestamp;
use rusqlite::params;

use crate::{Store, StoreError, attachments};

/// Rows of a kind that one call removes at most, so that no enrolment waits long for it.
pub const PRUNE_BATCH: u32 = 500;

/// What is old enough to go. Certificates, challenges and audit records stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// CertReps stored before this time.
    pub replies_before: Timestamp,
    /// Quota windows that began before this time.
    pub quotas_before: Timestamp,
    /// Evidence that is to be kept until before this time.
    pub evidence_until: Timestamp,
}

impl Store {
    /// Removes what `retention` names, at most [`PRUNE_BATCH`] rows of each; returns how many, so call again while it is
    /// not 0.
    ///
    /// # Errors
    /// Where it is not on disk.
    pub async fn prune(&self, retention: Retention) -> Result<usize, StoreError> {
        self.write(move |connection| {
            let old = params![retention.replies_before, PRUNE_BATCH];
            connection.write_file(
                "DELETE FROM file.reply_contents WHERE position IN
                     (SELECT position FROM replies WHERE stored_at < ?1 ORDER BY stored_at LIMIT ?2)",
                old,
            )?;
            let replies = connection.change(
                "DELETE FROM replies WHERE position IN
                     (SELECT position FROM replies WHERE stored_at < ?1 ORDER BY stored_at LIMIT ?2)",
                old,
            )?;
            let quotas = connection.change(
                "DELETE FROM quotas WHERE (key, window_start) IN
                     (SELECT key, window_start FROM quotas
                      WHERE window_start < ?1 ORDER BY window_start LIMIT ?2)",
                params![retention.quotas_before, PRUNE_BATCH],
            )?;
            let evidence = attachments::prune(connection, retention.evidence_until, PRUNE_BATCH)?;
            Ok(replies + quotas + evidence)
        })
        .await
    }
}
