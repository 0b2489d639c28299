use assay_audit::Draft;
use assay_types::{Hash, Serial, TimestampMillis};
use rusqlite::{Row, params};

use crate::page::{before, page};
use crate::sql::{Connection, limit};
use crate::{Page, Span, Store, StoreError, attachments, tree};

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

    /// Records of the first `asked` places after `after`, oldest first; at most [`crate::MAX_ROWS`]. Those that a backup lacked are
    /// left out.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn audit_after(&self, after: u64, asked: u32) -> Result<Vec<AuditRow>, StoreError> {
        const AFTER: &str = "SELECT sequence, record FROM file.audit
             WHERE sequence > ?1 AND sequence <= ?2 ORDER BY sequence";
        let limit = limit(asked)?;
        self.read(move |connection| {
            let last = after.saturating_add(limit.into());
            let rows = connection.list(AFTER, params![cursor(after), cursor(last)], read)?;
            let held = rows.iter().map(|row| (row.sequence, row.leaf_hash));
            tree::hold(connection, after, last, held)?;
            Ok(rows)
        })
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
                "SELECT sequence, record,
                     (?2 IS NULL OR coalesce(json_extract(CAST(record AS TEXT), '$.profile') = ?2, false))
                     AND (?3 IS NULL OR coalesce(json_extract(CAST(record AS TEXT), '$.serial') = ?3, false))
                     AND (?4 IS NULL OR coalesce(json_extract(CAST(record AS TEXT), '$.transaction_id') = ?4, false))
                     AND (?5 IS NULL OR coalesce(json_extract(CAST(record AS TEXT), '$.wall_ms') >= ?5, false))
                     AND (?6 IS NULL OR coalesce(json_extract(CAST(record AS TEXT), '$.wall_ms') < ?6, false)) AS hit
                 FROM file.audit WHERE {of_kind} AND sequence < ?7 ORDER BY sequence DESC"
            );
            let serial = serial.map(|serial| serial.to_string());
            let params = params![kind, profile, serial, transaction_id, from, to, before(end)];
            let cursor = |row: &Row<'_>| Ok(row.get::<_, i64>("sequence")?.cast_unsigned());
            let page = page(connection, &sql, params, rows, cursor, read)?;
            for row in &page.rows {
                tree::hold_one(connection, row.sequence, &row.leaf_hash)?;
            }
            Ok(page)
        })
        .await
    }
}

/// Appends to the log, and keeps the evidence of what is appended, inside the caller's transaction; returns the sequence number of the last record of the log.
pub(crate) fn append(connection: &Connection, drafts: Vec<Draft>) -> Result<u64, StoreError> {
    let mut last = tree::last_leaf(connection)?;
    for mut draft in drafts {
        last += 1;
        let attachment = draft.attachment.take();
        let record = draft.at(last);
        let bytes = record.to_canonical()?;
        tree::add_leaf(connection, last, &Hash::of_leaf(&bytes))?;
        let added = connection.write_file(
            "INSERT INTO file.audit (sequence, record) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
            params![last.cast_signed(), bytes],
        )?;
        if added == 0 {
            return Err(StoreError::Altered(format!("audit record {last}")));
        }
        if let Some(attachment) = attachment {
            attachments::keep(connection, last, &attachment)?;
        }
    }
    Ok(last)
}

/// SQLite's integers are signed.
pub(crate) fn cursor(sequence: u64) -> i64 {
    i64::try_from(sequence).unwrap_or(i64::MAX)
}

pub(crate) fn read(row: &Row<'_>) -> rusqlite::Result<AuditRow> {
    let record: Vec<u8> = row.get("record")?;
    Ok(AuditRow {
        sequence: row.get::<_, i64>("sequence")?.cast_unsigned(),
        leaf_hash: Hash::of_leaf(&record),
        record,
    })
}
