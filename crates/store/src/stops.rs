use assay_audit::Draft;
use assay_types::Timestamp;
use rusqlite::{Row, params};

use crate::sql::Connection;
use crate::writer::Verdict;
use crate::{Store, StoreError, audit};

/// A profile that issues nothing until an approved version resumes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    /// The profile.
    pub profile: String,
    /// The operator's words.
    pub reason: String,
    /// When it was stopped.
    pub stopped_at: Timestamp,
    /// Identity of the operator.
    pub stopped_by: String,
}

impl Store {
    /// Stops a profile; `false` where it was stopped before, and nothing changed then.
    ///
    /// # Errors
    /// Where it is not on disk.
    pub async fn stop_profile(&self, stop: Stop, audit: Draft) -> Result<bool, StoreError> {
        self.write_urgently_if(move |connection| {
            let new = connection.change(
                "INSERT INTO stops (profile, reason, stopped_at, stopped_by)
                 VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
                params![stop.profile, stop.reason, stop.stopped_at, stop.stopped_by],
            )?;
            if new == 0 {
                return Ok(Verdict::Undo(false));
            }
            audit::append(connection, vec![audit])?;
            Ok(Verdict::Keep(true))
        })
        .await
    }

    /// Every stopped profile, by name. There are no more of them than profiles.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn stops(&self) -> Result<Vec<Stop>, StoreError> {
        self.read(|connection| connection.list("SELECT * FROM stops ORDER BY profile", [], read))
            .await
    }
}

pub(crate) fn is_stopped(connection: &Connection, profile: &str) -> Result<bool, StoreError> {
    let found = connection.find("SELECT 1 FROM stops WHERE profile = ?1", [profile], |_| {
        Ok(())
    })?;
    Ok(found.is_some())
}

/// Takes stops away that were made until `until`, and says which there were. A later one is a matter of its own, which
/// whoever approved did not know of.
pub(crate) fn lift(
    connection: &Connection,
    profiles: &[String],
    until: Timestamp,
) -> Result<Vec<String>, StoreError> {
    let mut lifted = Vec::new();
    for profile in profiles {
        let gone = connection.change(
            "DELETE FROM stops WHERE profile = ?1 AND stopped_at <= ?2",
            params![profile, until],
        )?;
        if gone == 1 {
            lifted.push(profile.clone());
        }
    }
    Ok(lifted)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Stop> {
    Ok(Stop {
        profile: row.get("profile")?,
        reason: row.get("reason")?,
        stopped_at: row.get("stopped_at")?,
        stopped_by: row.get("stopped_by")?,
    })
}
