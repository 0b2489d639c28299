//! The rows of challenges and inventory names while they are kept for a request that waits.

use assay_types::{Serial, Timestamp};
use rusqlite::params;

use crate::StoreError;
use crate::sql::Connection;

/// Keeps a one-time challenge for a request that waits; `false` if it cannot be used any more.
pub(crate) fn keep_challenge(
    connection: &Connection,
    id: &str,
    pending_id: &str,
    now: Timestamp,
) -> Result<bool, StoreError> {
    connection.change_one(
        "UPDATE challenges SET state = 'reserved', pending_id = ?2
         WHERE id = ?1 AND kind = 'one-time' AND state = 'open' AND expires_at > ?3",
        params![id, pending_id, now],
    )
}

/// Spends what was reserved for `pending_id`, also past its time: it was valid when the request came.
pub(crate) fn spend_challenge(
    connection: &Connection,
    id: &str,
    pending_id: &str,
    serial: &Serial,
) -> Result<bool, StoreError> {
    connection.change_one(
        "UPDATE challenges SET state = 'spent', serial = ?3, pending_id = NULL
         WHERE id = ?1 AND pending_id = ?2 AND state = 'reserved'",
        params![id, pending_id, serial],
    )
}

/// Opens a challenge again that was reserved for `pending_id`.
pub(crate) fn open_challenge(
    connection: &Connection,
    id: &str,
    pending_id: &str,
) -> Result<bool, StoreError> {
    connection.change_one(
        "UPDATE challenges SET state = 'open', pending_id = NULL
         WHERE id = ?1 AND pending_id = ?2 AND state = 'reserved'",
        params![id, pending_id],
    )
}

/// Reserves a challenge again that was spent on `serial`, of which nothing came.
pub(crate) fn keep_challenge_again(
    connection: &Connection,
    id: &str,
    pending_id: &str,
    serial: &Serial,
) -> Result<bool, StoreError> {
    connection.change_one(
        "UPDATE challenges SET state = 'reserved', serial = NULL, pending_id = ?2
         WHERE id = ?1 AND serial = ?3 AND state = 'spent'",
        params![id, pending_id, serial],
    )
}

/// Keeps a name for a request that waits; `false` if it is used or kept, or unknown.
pub(crate) fn keep_name(
    connection: &Connection,
    profile: &str,
    name: &str,
    pending_id: &str,
) -> Result<bool, StoreError> {
    connection.change_one(
        "UPDATE inventory SET pending_id = ?3
         WHERE profile = ?1 AND name = ?2 AND serial IS NULL AND pending_id IS NULL",
        params![profile, name, pending_id],
    )
}

/// Uses what was reserved for `pending_id`.
pub(crate) fn take_name(
    connection: &Connection,
    profile: &str,
    name: &str,
    pending_id: &str,
    serial: &Serial,
) -> Result<bool, StoreError> {
    connection.change_one(
        "UPDATE inventory SET serial = ?4, pending_id = NULL
         WHERE profile = ?1 AND name = ?2 AND pending_id = ?3",
        params![profile, name, pending_id, serial],
    )
}

/// Gives a name back that was reserved for `pending_id`.
pub(crate) fn open_name(
    connection: &Connection,
    profile: &str,
    name: &str,
    pending_id: &str,
) -> Result<bool, StoreError> {
    connection.change_one(
        "UPDATE inventory SET pending_id = NULL
         WHERE profile = ?1 AND name = ?2 AND pending_id = ?3",
        params![profile, name, pending_id],
    )
}

/// Reserves a name again that was used for `serial`, of which nothing came.
pub(crate) fn keep_name_again(
    connection: &Connection,
    profile: &str,
    name: &str,
    pending_id: &str,
    serial: &Serial,
) -> Result<bool, StoreError> {
    connection.change_one(
        "UPDATE inventory SET serial = NULL, pending_id = ?3
         WHERE profile = ?1 AND name = ?2 AND serial = ?4",
        params![profile, name, pending_id, serial],
    )
}
