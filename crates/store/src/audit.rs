use assay_audit::Draft;
use assay_types::{Hash, Serial, TimestampMillis};
use rusqlite::{Connection, Row, params};

use crate::page::{before, page};
use crate::sql::{Sql, limit};
use crate::{Page, Span, Store, StoreError, attachments};

/// A record of the audit log as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// Position, from 1, without gaps.
    pub sequence: u64,
    /// Canonical JSON.
    pub record: Vec<u8>,
    /// RFC 6962 leaf hash of `record`.
    pub leaf_hash: Hash,
}

/// Which records are listed. What is not set filters nothing; each filter holds a member of the record to a value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditQuery {
    /// Kind of the record.
    pub kind: Option<String>,
    /// Profile that it names.
    pub profile: Option<String>,
    /// Serial that it names.
    pub serial: Option<Serial>,
    /// transactionID that it names.
    pub transaction_id: Option<String>,
    /// Its time by the signer's clock.
    pub recorded: Span<TimestampMillis>,
    /// Only records before this sequence number.
    pub before: Option<u64>,
    /// Rows of the page; at most [`crate::MAX_ROWS`], and 0 for as many.
    pub rows: u32,
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

    /// Records after `after`, oldest first; at most [`crate::MAX_ROWS`].
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn audit_after(&self, after: u64, asked: u32) -> Result<Vec<AuditRow>, StoreError> {
        const AFTER: &str = "SELECT sequence, record, leaf_hash FROM audit
             WHERE sequence > ?1 ORDER BY sequence LIMIT ?2";
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        let limit = limit(asked)?;
        self.read(move |connection| connection.list(AFTER, params![after, limit], read))
            .await
    }

    /// A page of the log, newest first. A filter by kind goes by an index, others look at each record.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn list_audit(&self, query: AuditQuery) -> Result<Page<AuditRow>, StoreError> {
        self.read(move |connection| {
            let AuditQuery {
                kind,
                profile,
                serial,
                transaction_id,
                recorded: Span { from, to },
                before: end,
                rows,
            } = query;
            let of_kind = if kind.is_some() { "kind = ?1" } else { "?1 IS NULL" };
            // Without a filter no record is parsed.
            let sql = format!(
                "SELECT sequence, record, leaf_hash,
                     (?2 IS NULL OR coalesce(json_extract(CAST(record AS TEXT), '$.profile') = ?2, false))
                     AND (?3 IS NULL OR coalesce(json_extract(CAST(record AS TEXT), '$.serial') = ?3, false))
                     AND (?4 IS NULL OR coalesce(json_extract(CAST(record AS TEXT), '$.transaction_id') = ?4, false))
                     AND (?5 IS NULL OR coalesce(json_extract(CAST(record AS TEXT), '$.wall_ms') >= ?5, false))
                     AND (?6 IS NULL OR coalesce(json_extract(CAST(record AS TEXT), '$.wall_ms') < ?6, false)) AS hit
                 FROM audit WHERE {of_kind} AND sequence < ?7 ORDER BY sequence DESC"
            );
            let serial = serial.map(|serial| serial.to_string());
            let params = params![kind, profile, serial, transaction_id, from, to, before(end)];
            let cursor = |row: &Row<'_>| Ok(row.get::<_, i64>("sequence")?.cast_unsigned());
            page(connection, &sql, params, rows, cursor, read)
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
            "INSERT INTO audit (sequence, record, leaf_hash) VALUES (?1, ?2, ?3)",
            params![last.cast_signed(), bytes, Hash::of_leaf(&bytes)],
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
