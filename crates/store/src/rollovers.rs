use assay_audit::Draft;
use assay_types::Timestamp;
use rusqlite::{Row, params};

use crate::{Store, StoreError, audit};

/// A next CA that was announced to devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RolloverRow {
    /// When it takes over, as announced last.
    pub switch_at: Timestamp,
    /// When devices could first learn of it.
    pub announced_at: Timestamp,
    /// When it took over.
    pub switched_at: Option<Timestamp>,
}

impl Store {
    /// What is known of the next CA; `None` where it was never announced.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn find_rollover(&self, ca_id: String) -> Result<Option<RolloverRow>, StoreError> {
        self.read(move |connection| {
            connection.find("SELECT * FROM rollovers WHERE ca_id = ?1", [ca_id], read)
        })
        .await
    }

    /// Notes at `now` that the next CA takes over at `switch_at`; the first time stays the one of its announcement. Returns
    /// whether that was new. One that took over already is left as it is. `audit` is appended only if something changed.
    ///
    /// # Errors
    /// Where it is not on disk; then devices must not be told.
    pub async fn announce_rollover(
        &self,
        ca_id: String,
        switch_at: Timestamp,
        now: Timestamp,
        audit: Vec<Draft>,
    ) -> Result<bool, StoreError> {
        self.write(move |connection| {
            let changed = connection.change(
                "INSERT INTO rollovers (ca_id, switch_at, announced_at) VALUES (?1, ?2, ?3)
                 ON CONFLICT (ca_id) DO UPDATE SET switch_at = excluded.switch_at
                     WHERE switched_at IS NULL AND switch_at <> excluded.switch_at",
                params![ca_id, switch_at, now],
            )?;
            if changed == 1 {
                audit::append(connection, audit)?;
            }
            Ok(changed == 1)
        })
        .await
    }

    /// Notes at `now` that the announced CA has taken over. Returns whether that was new. `audit` is appended only if it was.
    ///
    /// # Errors
    /// Where it is not on disk.
    pub async fn switch_rollover(
        &self,
        ca_id: String,
        now: Timestamp,
        audit: Vec<Draft>,
    ) -> Result<bool, StoreError> {
        self.write(move |connection| {
            let changed = connection.change(
                "UPDATE rollovers SET switched_at = ?2
                 WHERE ca_id = ?1 AND switched_at IS NULL AND switch_at <= ?2",
                params![ca_id, now],
            )?;
            if changed == 1 {
                audit::append(connection, audit)?;
            }
            Ok(changed == 1)
        })
        .await
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<RolloverRow> {
    Ok(RolloverRow {
        switch_at: row.get("switch_at")?,
        announced_at: row.get("announced_at")?,
        switched_at: row.get("switched_at")?,
    })
}
