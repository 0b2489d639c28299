use assay_audit::Attachment;
use assay_types::Timestamp;
use rusqlite::params;

use crate::StoreError;
use crate::sql::Connection;

/// Keeps the evidence of a record that the same transaction appends.
pub(crate) fn keep(
    connection: &Connection,
    sequence: u64,
    attachment: &Attachment,
) -> Result<(), StoreError> {
    connection.insert_into_file(
        "INSERT OR REPLACE INTO file.evidence (sequence, salt, content, keep_until) VALUES (?1, ?2, ?3, ?4)",
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
pub(crate) fn prune(
    connection: &Connection,
    now: Timestamp,
    batch: u32,
) -> Result<usize, StoreError> {
    connection.write_file(
        "DELETE FROM file.evidence WHERE sequence IN
             (SELECT sequence FROM file.evidence WHERE keep_until < ?1 ORDER BY keep_until LIMIT ?2)",
        params![now, batch],
    )
}
