use assay_audit::Text;
use rusqlite::{Connection, Row, params};

use crate::sql::{Sql, limit};
use crate::{Store, StoreError};

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
    /// Unix seconds.
    pub first_at: i64,
    /// Unix seconds.
    pub last_at: i64,
}

impl Store {
    /// Uses by profile, exception and device, of one profile if asked; at most [`crate::MAX_ROWS`].
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn list_quirks(
        &self,
        profile: Option<String>,
        asked: u32,
    ) -> Result<Vec<QuirkRow>, StoreError> {
        self.read(move |connection| {
            connection.list(
                "SELECT * FROM quirk_uses WHERE ?1 IS NULL OR profile = ?1
                 ORDER BY profile, quirk, device LIMIT ?2",
                params![profile, limit(asked)],
                read,
            )
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
    at: i64,
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
