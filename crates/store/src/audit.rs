use assay_audit::{Draft, Hash};
use rusqlite::{Connection, Row, params};

use crate::sql::{Sql, limit};
use crate::{Store, StoreError, attachments};

/// A record of the audit log as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// Position, from 1, without gaps.
    pub sequence: u64,
    /// Canonical JSON.
    pub record: Vec<u8>,
    /// RFC 6962 leaf hash of `record`.
    pub leaf_hash: [u8; 32],
}

impl Store {
    /// Appends records that tell of no change of state; returns the sequence number of the last one.
    ///
    /// # Errors
    /// Where they are not on disk.
    pub async fn append_audit(&self, drafts: Vec<Draft>) -> Result<u64, StoreError> {
        self.write(move |connection| append(connection, drafts))
            .await
    }

    /// Records after `after`, oldest first, of one `kind` if asked; at most [`crate::MAX_ROWS`].
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn list_audit(
        &self,
        after: u64,
        asked: u32,
        kind: Option<String>,
    ) -> Result<Vec<AuditRow>, StoreError> {
        const ALL: &str = "SELECT sequence, record, leaf_hash FROM audit
             WHERE sequence > ?1 ORDER BY sequence LIMIT ?2";
        const OF_KIND: &str = "SELECT sequence, record, leaf_hash FROM audit
             WHERE sequence > ?1 AND kind = ?3 ORDER BY sequence LIMIT ?2";
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        let limit = limit(asked);
        self.read(move |connection| match kind {
            None => connection.list(ALL, params![after, limit], read),
            Some(kind) => connection.list(OF_KIND, params![after, limit, kind], read),
        })
        .await
    }
}

/// Appends to the log, and keeps the evidence of what is appended, inside the caller's transaction; returns the sequence number of the last record of the log.
pub(crate) fn append(connection: &Connection, drafts: Vec<Draft>) -> Result<u64, StoreError> {
    let mut last = last_sequence(connection)?;
    for mut draft in drafts {
        last += 1;
        let attachment = draft.attachment.take();
        let record = draft.at(last);
        let bytes = record.to_canonical()?;
        connection.change(
            "INSERT INTO audit (sequence, kind, record, leaf_hash) VALUES (?1, ?2, ?3, ?4)",
            params![
                last.cast_signed(),
                record.draft.event.kind(),
                bytes,
                Hash::of_leaf(&bytes).as_bytes()
            ],
        )?;
        if let Some(attachment) = attachment {
            attachments::keep(connection, last, &attachment)?;
        }
    }
    Ok(last)
}

/// 0 while the log is empty.
pub(crate) fn last_sequence(connection: &Connection) -> Result<u64, StoreError> {
    let last = connection.find("SELECT max(sequence) FROM audit", [], |row| {
        row.get::<_, Option<i64>>(0)
    })?;
    Ok(last.flatten().unwrap_or_default().cast_unsigned())
}

pub(crate) fn read(row: &Row<'_>) -> rusqlite::Result<AuditRow> {
    Ok(AuditRow {
        sequence: row.get::<_, i64>("sequence")?.cast_unsigned(),
        record: row.get("record")?,
        leaf_hash: row.get("leaf_hash")?,
    })
}
