use assay_types::Timestamp;
use rusqlite::params;

use crate::StoreError;
use crate::sql::Connection;

/// One certificate charged to a bounded window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuotaCharge {
    /// The thing that is counted: for example a profile, or a name in a profile.
    pub key: String,
    /// When the window began.
    pub window_start: Timestamp,
    /// Certificates in the window at most.
    pub limit: u32,
}

/// `false` if the window is full.
pub(crate) fn charge(connection: &Connection, quota: &QuotaCharge) -> Result<bool, StoreError> {
    if quota.limit == 0 {
        return Ok(false);
    }
    connection.change_one(
        "INSERT INTO quotas (key, window_start, used) VALUES (?1, ?2, 1)
         ON CONFLICT (key, window_start) DO UPDATE SET used = used + 1 WHERE used < ?3",
        params![quota.key, quota.window_start, quota.limit],
    )
}
