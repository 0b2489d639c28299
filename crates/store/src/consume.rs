//! What authorises a certificate: used up by its permit, so that it cannot authorise another.

use std::time::Duration;

use assay_types::{Serial, Timestamp};

use crate::reserve::{self, Columns};
use crate::sql::Connection;
use crate::{
    CertificateState, ChallengeKind, ChallengeState, PendingState, PermitOutcome, PermitWrite,
    StoreError, certificates, challenges, inventory, lineage, pending,
};

/// What authorises a certificate and must be used up with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Consume {
    /// A one-time challenge, by its public id.
    OneTime {
        /// Public id.
        id: String,
    },
    /// A static challenge, for one name of the intent's profile's inventory.
    Static {
        /// Public id.
        id: String,
        /// Name in the inventory.
        name: String,
    },
    /// A certificate that is renewed: issued, unrevoked, and unexpired or within the grace. It gets its successor when that is issued.
    Renewal {
        /// Its serial.
        old: Serial,
        /// From the issue of the new one to the revocation of the old one; `None` keeps it.
        revoke_after: Option<Duration>,
        /// A one-time challenge that goes with it, by its public id, where the reply is enveloped under it.
        challenge: Option<String>,
    },
    /// The approval of a request that waited, with all that was reserved for it.
    Approved {
        /// Id of that request.
        id: String,
    },
}

/// On which terms a profile lets a certificate be renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RenewalTerms {
    /// Whether once only.
    pub once: bool,
    /// How long after its end.
    pub grace: Duration,
}

/// For which profile and when something is to be used.
pub(crate) struct Claim<'a> {
    pub(crate) profile: &'a str,
    pub(crate) now: Timestamp,
}

/// What the certificate's row tells of its authorisation, so that it can be given back.
#[derive(Default)]
pub(crate) struct Used {
    pub(crate) columns: Columns,
    pub(crate) pending_id: Option<String>,
}

/// `Err` in the result is the obstacle: what was to be used up is not there.
pub(crate) fn consume(
    connection: &Connection,
    permit: &PermitWrite,
) -> Result<Result<Used, PermitOutcome>, StoreError> {
    let serial = &permit.intent.serial;
    let claim = Claim {
        profile: &permit.intent.profile,
        now: permit.now,
    };
    let mut used = Used::default();
    let obstacle = match &permit.consume {
        Consume::OneTime { id } => {
            used.columns.challenge_id = Some(id.clone());
            spend_one_time(connection, id, serial, claim.now)?
        }
        Consume::Static { id, name } => {
            used.columns.challenge_id = Some(id.clone());
            used.columns.inventory_name = Some(name.clone());
            take_name(connection, &claim, id, name, serial)?
        }
        Consume::Renewal {
            old,
            revoke_after,
            challenge,
        } => {
            used.columns.renewal_of = Some(old.clone());
            used.columns.revoke_after = *revoke_after;
            used.columns.challenge_id.clone_from(challenge);
            match (
                check_renewal(connection, old, permit.renewal, claim.now)?,
                challenge,
            ) {
                (None, Some(id)) => spend_one_time(connection, id, serial, claim.now)?,
                (obstacle, _) => obstacle,
            }
        }
        Consume::Approved { id } => return take_approval(connection, permit, id),
    };
    Ok(obstacle.map_or(Ok(used), Err))
}

/// `None` if the certificate may be renewed at `now`; on terms of once, only if nothing renews it already.
pub(crate) fn check_renewal(
    connection: &Connection,
    old: &Serial,
    terms: RenewalTerms,
    now: Timestamp,
) -> Result<Option<PermitOutcome>, StoreError> {
    let issued =
        certificates::find(connection, old)?.filter(|row| row.state == CertificateState::Issued);
    Ok(match issued {
        None => Some(PermitOutcome::OldUnknown),
        Some(row) if row.revoked_at.is_some() => Some(PermitOutcome::OldRevoked),
        Some(row) if row.not_after + terms.grace < now => Some(PermitOutcome::OldExpired),
        Some(row)
            if row.not_after < now && lineage::revoked_ancestor(connection, old)?.is_some() =>
        {
            Some(PermitOutcome::OldRevoked)
        }
        Some(_) if terms.once => {
            lineage::successor(connection, old)?.map(|serial| PermitOutcome::OldRenewed { serial })
        }
        Some(_) => None,
    })
}

/// `None` if the static challenge itself can be used.
pub(crate) fn check_static(
    connection: &Connection,
    claim: &Claim<'_>,
    id: &str,
) -> Result<Option<PermitOutcome>, StoreError> {
    let challenge = challenges::find_by_id(connection, id)?
        .filter(|challenge| challenge.kind == ChallengeKind::Static);
    Ok(match challenge {
        None => Some(PermitOutcome::ChallengeUnknown),
        Some(row) if row.state != ChallengeState::Open => Some(PermitOutcome::ChallengeRevoked),
        Some(row) if row.expires_at.is_some_and(|at| at <= claim.now) => {
            Some(PermitOutcome::ChallengeExpired)
        }
        Some(_) => None,
    })
}

pub(crate) fn why_not_one_time(
    connection: &Connection,
    id: &str,
) -> Result<PermitOutcome, StoreError> {
    let found = challenges::find_by_id(connection, id)?;
    let Some(row) = found.filter(|row| row.kind == ChallengeKind::OneTime) else {
        return Ok(PermitOutcome::ChallengeUnknown);
    };
    Ok(match row.state {
        ChallengeState::Open => PermitOutcome::ChallengeExpired,
        ChallengeState::Reserved => PermitOutcome::Reserved {
            id: row.pending_id.unwrap_or_default(),
        },
        ChallengeState::Spent => PermitOutcome::ChallengeSpent,
        ChallengeState::Revoked => PermitOutcome::ChallengeRevoked,
    })
}

pub(crate) fn why_not_name(
    connection: &Connection,
    claim: &Claim<'_>,
    name: &str,
) -> Result<PermitOutcome, StoreError> {
    let row = inventory::find(connection, claim.profile, name)?;
    Ok(match row.map(|row| (row.serial, row.pending_id)) {
        Some((Some(serial), _)) => PermitOutcome::InventoryUsed { serial },
        Some((None, Some(id))) => PermitOutcome::Reserved { id },
        Some((None, None)) | None => PermitOutcome::InventoryUnknown,
    })
}

fn spend_one_time(
    connection: &Connection,
    id: &str,
    serial: &Serial,
    now: Timestamp,
) -> Result<Option<PermitOutcome>, StoreError> {
    if challenges::spend(connection, id, serial, now)? {
        return Ok(None);
    }
    why_not_one_time(connection, id).map(Some)
}

fn take_name(
    connection: &Connection,
    claim: &Claim<'_>,
    id: &str,
    name: &str,
    serial: &Serial,
) -> Result<Option<PermitOutcome>, StoreError> {
    if let Some(obstacle) = check_static(connection, claim, id)? {
        return Ok(Some(obstacle));
    }
    if inventory::take(connection, claim.profile, name, serial)? {
        return Ok(None);
    }
    why_not_name(connection, claim, name).map(Some)
}

/// The permit must be for what was approved: the same CSR of the same key under the same transactionID and profile. The CA
/// may be another, where one took over while the request waited.
fn take_approval(
    connection: &Connection,
    permit: &PermitWrite,
    id: &str,
) -> Result<Result<Used, PermitOutcome>, StoreError> {
    let found = pending::find(connection, id)?.filter(|row| {
        row.transaction.signer_spki_sha256 == permit.transaction.signer_spki_sha256
            && row.transaction.transaction_id == permit.transaction.transaction_id
            && row.csr_digest == permit.csr_digest
            && row.profile == permit.intent.profile
    });
    let Some(row) = found else {
        return Ok(Err(PermitOutcome::PendingUnknown));
    };
    let state = match row.state {
        PendingState::Approved if row.expires_at <= permit.now => PendingState::Expired,
        state @ (PendingState::Waiting
        | PendingState::Approved
        | PendingState::Issued
        | PendingState::Denied
        | PendingState::Expired) => state,
    };
    if let (PendingState::Issued, Some(serial)) = (state, row.serial.clone()) {
        return Ok(Err(PermitOutcome::AlreadyIssued { serial }));
    }
    let serial = &permit.intent.serial;
    if state != PendingState::Approved || !pending::take(connection, id, serial)? {
        return Ok(Err(PermitOutcome::NotApproved { state }));
    }
    if let Some(obstacle) = reserve::consume(connection, &row, permit)? {
        return Ok(Err(obstacle));
    }
    Ok(Ok(Used {
        columns: row.reserve.columns(),
        pending_id: Some(row.id),
    }))
}
