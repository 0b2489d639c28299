use rusqlite::{Row, params};

use crate::sql::{Sql, limit};
use crate::{Store, StoreError};

/// A device needed an exception of its profile. To be noted of authorised requests only: else anyone could fill the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuirkUse {
    /// The profile.
    pub profile: String,
    /// Name of the exception.
    pub quirk: String,
    /// RFC 4514 subject of the device.
    pub device: String,
    /// Unix seconds.
    pub at: i64,
}

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
    /// Counts uses of exceptions.
    ///
    /// # Errors
    /// Where they are not on disk.
    pub async fn note_quirks(&self, uses: Vec<QuirkUse>) -> Result<(), StoreError> {
        self.write(move |connection| {
            for quirk in &uses {
                connection.change(
                    "INSERT INTO quirk_uses (profile, quirk, device, uses, first_at, last_at)
                     VALUES (?1, ?2, ?3, 1, ?4, ?4)
                     ON CONFLICT (profile, quirk, device) DO UPDATE SET
                         uses = uses + 1, last_at = excluded.last_at",
                    params![quirk.profile, quirk.quirk, quirk.device, quirk.at],
                )?;
            }
            Ok(())
        })
        .await
    }

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
