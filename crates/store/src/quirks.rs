use assay_audit::Text;
use assay_types::Timestamp;
use rusqlite::{Row, params};

use crate::page::page;
use crate::sql::Connection;
use crate::{Page, Span, Store, StoreError};

/// How a device needed an exception so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuirkRow {
    /// The profile.
    pub profile: String,
    /// Name of the exception.
    pub quirk: String,
    /// RFC 4514 subject of the device.
    pub device: String,
    /// How often.
    pub uses: u64,
    /// When it was first used.
    pub first_at: Timestamp,
    /// When it was last used.
    pub last_at: Timestamp,
}

/// Profile, exception and device: what a row is found by.
pub type QuirkKey = (String, String, String);

/// Which uses are listed. What is not set filters nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QuirkQuery {
    /// The profile.
    pub profile: Option<String>,
    /// RFC 4514 subject of the device.
    pub device: Option<String>,
    /// When the device last needed the exception.
    pub last: Span,
    /// Only rows after this one.
    pub after: Option<QuirkKey>,
    /// Rows of the page; at most [`crate::MAX_ROWS`], and 0 for as many.
    pub rows: u32,
}

impl Store {
    /// A page of the uses, in the byte order of profile, exception and device.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn list_quirks(
        &self,
        query: QuirkQuery,
    ) -> Result<Page<QuirkRow, QuirkKey>, StoreError> {
        self.read(move |connection| {
            let QuirkQuery {
                profile,
                device,
                last: Span { from, to },
                after,
                rows,
            } = query;
            let of_profile = if profile.is_some() {
                "profile = ?1"
            } else {
                "?1 IS NULL"
            };
            let sql = format!(
                "SELECT *,
                     (?2 IS NULL OR device = ?2)
                     AND (?3 IS NULL OR last_at >= ?3) AND (?4 IS NULL OR last_at < ?4) AS hit
                 FROM quirk_uses WHERE {of_profile} AND (profile, quirk, device) > (?5, ?6, ?7)
                 ORDER BY profile, quirk, device"
            );
            // No name is empty.
            let (a, b, c) = after.unwrap_or_default();
            let cursor =
                |row: &Row<'_>| Ok((row.get("profile")?, row.get("quirk")?, row.get("device")?));
            let params = params![profile, device, from, to, a, b, c];
            page(connection, &sql, params, rows, cursor, read)
        })
        .await
    }
}

/// Counts that a certificate for `device` needed each of `quirks`. Of certificates only: else anyone could fill the list.
pub(crate) fn count(
    connection: &Connection,
    profile: &str,
    device: &str,
    quirks: &[Text],
    at: Timestamp,
) -> Result<(), StoreError> {
    for quirk in quirks {
        connection.change(
            "INSERT INTO quirk_uses (profile, quirk, device, uses, first_at, last_at)
             VALUES (?1, ?2, ?3, 1, ?4, ?4)
             ON CONFLICT (profile, quirk, device) DO UPDATE SET
                 uses = uses + 1, last_at = excluded.last_at",
            params![profile, quirk.as_str(), device, at],
        )?;
    }
    Ok(())
}

fn read(row: &Row<'_>) -> rusqlite::Result<QuirkRow> {
    Ok(QuirkRow {
        profile: row.get("profile")?,
        quirk: row.get("quirk")?,
        device: row.get("device")?,
        uses: row.get::<_, i64>("uses")?.cast_unsigned(),
        first_at: row.get("first_at")?,
        last_at: row.get("last_at")?,
    })
}
