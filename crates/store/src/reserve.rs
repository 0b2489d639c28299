//! What authorises a request that waits: kept for it, so that nothing else can use it meanwhile.

use std::time::Duration;

use assay_types::Serial;
use rusqlite::Row;

use crate::consume::{self, Claim};
use crate::sql::{Connection, duration};
use crate::{
    PendingRow, PendingWrite, PermitOutcome, PermitWrite, StoreError, pending, reservations,
};

/// What authorises a request that waits for an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reserve {
    /// A one-time challenge, by its public id.
    OneTime {
        /// Public id.
        id: String,
    },
    /// A static challenge, for one name of the profile's inventory.
    Static {
        /// Public id.
        id: String,
        /// Name in the inventory.
        name: String,
    },
    /// A certificate that is to be renewed; it has one waiting request at most.
    Renewal {
        /// Its serial.
        old: Serial,
        /// From the issue of the new one to the revocation of the old one; `None` keeps it.
        revoke_after: Option<Duration>,
    },
}

/// As the tables hold it.
#[derive(Default)]
pub(crate) struct Columns {
    pub(crate) challenge_id: Option<String>,
    pub(crate) inventory_name: Option<String>,
    pub(crate) renewal_of: Option<Serial>,
    pub(crate) revoke_after: Option<Duration>,
}

impl Reserve {
    pub(crate) fn columns(&self) -> Columns {
        let none = Columns::default();
        match self.clone() {
            Self::OneTime { id } => Columns {
                challenge_id: Some(id),
                ..none
            },
            Self::Static { id, name } => Columns {
                challenge_id: Some(id),
                inventory_name: Some(name),
                ..none
            },
            Self::Renewal { old, revoke_after } => Columns {
                renewal_of: Some(old),
                revoke_after,
                ..none
            },
        }
    }

    pub(crate) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        if let Some(old) = row.get("renewal_of")? {
            let revoke_after = duration(row, "revoke_after")?;
            return Ok(Self::Renewal { old, revoke_after });
        }
        let id = row.get("challenge_id")?;
        Ok(match row.get("inventory_name")? {
            Some(name) => Self::Static { id, name },
            None => Self::OneTime { id },
        })
    }
}

/// `None` if the authorisation was free and is now kept for `request`.
pub(crate) fn reserve(
    connection: &Connection,
    request: &PendingWrite,
) -> Result<Option<PermitOutcome>, StoreError> {
    let claim = Claim {
        profile: &request.profile,
        now: request.created_at,
    };
    match &request.reserve {
        Reserve::OneTime { id } => {
            if reservations::keep_challenge(connection, id, &request.id, claim.now)? {
                return Ok(None);
            }
            consume::why_not_one_time(connection, id).map(Some)
        }
        Reserve::Static { id, name } => {
            if let Some(obstacle) = consume::check_static(connection, &claim, id)? {
                return Ok(Some(obstacle));
            }
            if reservations::keep_name(connection, claim.profile, name, &request.id)? {
                return Ok(None);
            }
            consume::why_not_name(connection, &claim, name).map(Some)
        }
        Reserve::Renewal { old, .. } => match find_open_renewal(connection, old)? {
            Some(id) => Ok(Some(PermitOutcome::Reserved { id })),
            None => consume::check_renewal(connection, old, request.renewal, claim.now),
        },
    }
}

/// Uses up what was kept for an approved request; `None` if it was there.
pub(crate) fn consume(
    connection: &Connection,
    pending: &PendingRow,
    permit: &PermitWrite,
) -> Result<Option<PermitOutcome>, StoreError> {
    let (serial, now) = (&permit.intent.serial, permit.now);
    match &pending.reserve {
        Reserve::OneTime { id } => {
            if reservations::spend_challenge(connection, id, &pending.id, serial)? {
                return Ok(None);
            }
            consume::why_not_one_time(connection, id).map(Some)
        }
        Reserve::Static { id, name } => {
            // It may have expired since, as it was valid when the request came. One that was revoked is in doubt.
            let claim = Claim {
                profile: &pending.profile,
                now: pending.created_at,
            };
            if let Some(obstacle) = consume::check_static(connection, &claim, id)? {
                return Ok(Some(obstacle));
            }
            if reservations::take_name(connection, claim.profile, name, &pending.id, serial)? {
                return Ok(None);
            }
            consume::why_not_name(connection, &claim, name).map(Some)
        }
        Reserve::Renewal { old, .. } => {
            consume::check_renewal(connection, old, permit.renewal, now)
        }
    }
}

/// Ends the reservations of a request that is over: its challenge or name may be used again.
pub(crate) fn free(connection: &Connection, pending: &PendingRow) -> Result<bool, StoreError> {
    match &pending.reserve {
        Reserve::OneTime { id } => reservations::open_challenge(connection, id, &pending.id),
        Reserve::Static { name, .. } => {
            reservations::open_name(connection, &pending.profile, name, &pending.id)
        }
        Reserve::Renewal { .. } => Ok(true),
    }
}

/// After an intent failed: the approval is there once more, with what was kept for it.
pub(crate) fn restore(
    connection: &Connection,
    id: &str,
    serial: &Serial,
) -> Result<bool, StoreError> {
    if !pending::give_back(connection, id, serial)? {
        return Ok(false);
    }
    let Some(row) = pending::find(connection, id)? else {
        return Ok(false);
    };
    match &row.reserve {
        Reserve::OneTime { id } => {
            reservations::keep_challenge_again(connection, id, &row.id, serial)
        }
        Reserve::Static { name, .. } => {
            reservations::keep_name_again(connection, &row.profile, name, &row.id, serial)
        }
        Reserve::Renewal { .. } => Ok(true),
    }
}

fn find_open_renewal(connection: &Connection, old: &Serial) -> Result<Option<String>, StoreError> {
    connection.find(
        "SELECT id FROM pending WHERE renewal_of = ?1 AND state IN ('waiting', 'approved')",
        [old],
        |row| row.get(0),
    )
}
