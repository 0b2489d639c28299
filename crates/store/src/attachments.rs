use assay_audit::Attachment;
use rusqlite::{Connection, Row, params};

use crate::sql::{Sql, limit};
use crate::{Store, StoreError};

/// Evidence of the record with this sequence number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachmentRow {
    /// Of the record.
    pub sequence: u64,
    /// What the record's hash is of.
    pub attachment: Attachment,
}

impl Store {
    /// Evidence of the records from `first` to `last`, oldest first; at most [`crate::MAX_ROWS`] rows. Records whose
    /// evidence was pruned, or that have none, are left out.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn list_attachments(
        &self,
        first: u64,
        last: u64,
        asked: u32,
    ) -> Result<Vec<AttachmentRow>, StoreError> {
        let bound = |sequence: u64| i64::try_from(sequence).unwrap_or(i64::MAX);
        let (first, last, limit) = (bound(first), bound(last), limit(asked));
        self.read(move |connection| {
            connection.list(
                "SELECT sequence, salt, content, keep_until FROM evidence
                 WHERE sequence BETWEEN ?1 AND ?2 ORDER BY sequence LIMIT ?3",
                params![first, last, limit],
                read,
            )
        })
        .await
    }
}

/// Keeps the evidence of a record that the same transaction appends.
pub(crate) fn keep(
    connection: &Connection,
    sequence: u64,
    attachment: &Attachment,
) -> Result<(), StoreError> {
    connection.change(
        "INSERT INTO evidence (sequence, salt, content, keep_until) VALUES (?1, ?2, ?3, ?4)",
        params![
            sequence.cast_signed(),
            attachment.salt,
            attachment.content,
            attachment.keep_until
        ],
    )?;
    Ok(())
}

/// Removes what nobody has to keep any longer at `now`, at most `batch` rows; the records stay as they are.
pub(crate) fn prune(connection: &Connection, now: i64, batch: u32) -> Result<usize, StoreError> {
    connection.change(
        "DELETE FROM evidence WHERE sequence IN
             (SELECT sequence FROM evidence WHERE keep_until < ?1 ORDER BY keep_until LIMIT ?2)",
        params![now, batch],
    )
}

fn read(row: &Row<'_>) -> rusqlite::Result<AttachmentRow> {
    Ok(AttachmentRow {
        sequence: row.get::<_, i64>("sequence")?.cast_unsigned(),
        attachment: Attachment {
            salt: row.get("salt")?,
            content: row.get("content")?,
            keep_until: row.get("keep_until")?,
        },
    })
}
