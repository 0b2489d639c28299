use assay_audit::Draft;
use assay_types::{Serial, Timestamp};
use rusqlite::params;

use crate::certificates::{self, COLUMNS, CertificateState};
use crate::sql::{Connection, MAX_ROWS};
use crate::{CertificateRow, CrlReason, Store, StoreError, audit, crls};

/// The outcome of a revocation or a hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RevokeOutcome {
    /// Now revoked or on hold.
    Revoked,
    /// It was revoked before, or on hold where a hold was asked for.
    AlreadyRevoked,
    /// No certificate has this serial.
    NotFound,
    /// Its intent is open, or was given up and so counts as revoked.
    NotIssued,
}

/// The outcome of a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReleaseOutcome {
    /// Valid again.
    Released,
    /// It was not on hold.
    NotHeld,
    /// No certificate has this serial.
    NotFound,
}

impl Store {
    /// Revokes a certificate at `at`. One on hold may be revoked for good; it then keeps the time of its
    /// hold, since which nobody should have trusted it. `audit` is appended only if something changed.
    ///
    /// # Errors
    /// Where it is not on disk, and [`StoreError::CrlTooLong`] where no CRL could list it.
    pub async fn revoke(
        &self,
        serial: Serial,
        reason: CrlReason,
        at: Timestamp,
        audit: Vec<Draft>,
    ) -> Result<RevokeOutcome, StoreError> {
        self.write_urgently(move |connection| {
            if change(connection, &serial, reason, at, audit)? {
                return Ok(RevokeOutcome::Revoked);
            }
            refused(connection, &serial)
        })
        .await
    }

    /// Revokes a certificate until it is released. `audit` is appended only if that happened.
    ///
    /// # Errors
    /// As for [`Store::revoke`].
    pub async fn hold(
        &self,
        serial: Serial,
        at: Timestamp,
        audit: Vec<Draft>,
    ) -> Result<RevokeOutcome, StoreError> {
        self.revoke(serial, CrlReason::CertificateHold, at, audit)
            .await
    }

    /// Ends a hold. `audit` is appended only if there was one.
    ///
    /// # Errors
    /// Where it is not on disk.
    pub async fn release(
        &self,
        serial: Serial,
        audit: Vec<Draft>,
    ) -> Result<ReleaseOutcome, StoreError> {
        self.write(move |connection| {
            let released = connection.change(
                "UPDATE certificates SET revoked_at = NULL, revocation_reason = NULL
                 WHERE serial = ?1 AND state IN ('issued', 'recovered') AND revocation_reason = ?2",
                params![serial, CrlReason::CertificateHold],
            )?;
            if released == 1 {
                audit::append(connection, audit)?;
                return Ok(ReleaseOutcome::Released);
            }
            let found = certificates::find(connection, &serial)?;
            Ok(found.map_or(ReleaseOutcome::NotFound, |_| ReleaseOutcome::NotHeld))
        })
        .await
    }

    /// Certificates whose scheduled revocation has come, the longest due first; at most [`MAX_ROWS`], so call again once
    /// these are revoked.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn due_revocations(&self, now: Timestamp) -> Result<Vec<CertificateRow>, StoreError> {
        self.read(move |connection| {
            connection.list(
                &format!(
                    "SELECT {COLUMNS} FROM certificates WHERE revoke_at <= ?1
                     ORDER BY revoke_at LIMIT ?2"
                ),
                params![now, MAX_ROWS],
                certificates::read,
            )
        })
        .await
    }
}

/// Notes the successor of a certificate, and when it is to be revoked. A second renewal does not put that off.
pub(crate) fn supersede(
    connection: &Connection,
    old: &Serial,
    new: &Serial,
    revoke_at: Option<Timestamp>,
) -> Result<(), StoreError> {
    connection.change(
        "UPDATE certificates SET superseded_by = ?2,
             revoke_at = CASE WHEN revoked_at IS NULL OR revocation_reason = ?4
                              THEN coalesce(revoke_at, ?3) END
         WHERE serial = ?1",
        params![old, new, revoke_at, CrlReason::CertificateHold],
    )?;
    Ok(())
}

/// A certificate that is not revoked yet needs a place on the next CRL of its CA.
fn check_room(connection: &Connection, serial: &Serial) -> Result<(), StoreError> {
    let ca_id = connection.find(
        "SELECT ca_id FROM certificates WHERE serial = ?1 AND revoked_at IS NULL",
        [serial],
        |row| row.get::<_, String>(0),
    )?;
    ca_id.map_or(Ok(()), |ca_id| crls::check_room(connection, &ca_id))
}

/// Revokes or holds an issued certificate, with its records, if that changes anything.
pub(crate) fn change(
    connection: &Connection,
    serial: &Serial,
    reason: CrlReason,
    at: Timestamp,
    audit: Vec<Draft>,
) -> Result<bool, StoreError> {
    check_room(connection, serial)?;
    let changed = if reason == CrlReason::CertificateHold {
        connection.change_one(
            "UPDATE certificates SET revoked_at = ?2, revocation_reason = ?3
             WHERE serial = ?1 AND state IN ('issued', 'recovered') AND revoked_at IS NULL",
            params![serial, at, reason],
        )?
    } else {
        connection.change_one(
            "UPDATE certificates SET revoked_at = coalesce(revoked_at, ?2),
                 revocation_reason = ?3, revoke_at = NULL
             WHERE serial = ?1 AND state IN ('issued', 'recovered')
                 AND (revoked_at IS NULL OR revocation_reason = ?4)",
            params![serial, at, reason, CrlReason::CertificateHold],
        )?
    };
    if changed {
        audit::append(connection, audit)?;
    }
    Ok(changed)
}

/// Why [`change`] changed nothing.
pub(crate) fn refused(
    connection: &Connection,
    serial: &Serial,
) -> Result<RevokeOutcome, StoreError> {
    let found = certificates::find(connection, serial)?;
    Ok(match found.map(|row| row.state) {
        Some(
            CertificateState::Issued | CertificateState::Imported | CertificateState::Recovered,
        ) => RevokeOutcome::AlreadyRevoked,
        Some(CertificateState::Intent | CertificateState::Abandoned) => RevokeOutcome::NotIssued,
        None => RevokeOutcome::NotFound,
    })
}
