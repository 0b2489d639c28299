use assay_audit::{Draft, Request};
use rusqlite::{Connection, params};

use crate::certificates::{self, CertificateState};
use crate::sql::Sql;
use crate::writer::Verdict;
use crate::{
    ChallengeKind, ChallengeState, QuotaCharge, Serial, Store, StoreError, TransactionKey, audit,
    challenges, inventory, quotas, transactions,
};

/// Everything that must be true and durable before the CA key is used.
#[derive(Debug, Clone)]
pub struct PermitWrite {
    /// Bound by this permit.
    pub transaction: TransactionKey,
    /// SHA-256 of the pkiMessage.
    pub request_digest: [u8; 32],
    /// SHA-256 of the CSR.
    pub csr_digest: [u8; 32],
    /// What will be signed.
    pub intent: NewIntent,
    /// What authorises it, used up by this permit.
    pub consume: Consume,
    /// Charged by this permit.
    pub quotas: Vec<QuotaCharge>,
    /// Unix seconds.
    pub now: i64,
    /// An equal CSR issued at this time (Unix seconds) or later is a retransmission.
    pub retransmit_since: i64,
    /// Appended with it.
    pub audit: Vec<Draft>,
}

/// The TBSCertificate that may be signed, and what is shown of it.
#[derive(Debug, Clone)]
pub struct NewIntent {
    /// Drawn for it.
    pub serial: Serial,
    /// Whole DER TBSCertificate.
    pub tbs: Vec<u8>,
    /// SHA-256 of `tbs`.
    pub tbs_digest: [u8; 32],
    /// Profile that permitted it.
    pub profile: String,
    /// RFC 4514 text.
    pub subject: String,
    /// Typed subject alternative names.
    pub sans: Vec<String>,
    /// Unix seconds.
    pub not_before: i64,
    /// Unix seconds.
    pub not_after: i64,
    /// Model hash of the policy that permitted it.
    pub policy_hash: [u8; 32],
    /// Unix seconds after which recovery gives it up.
    pub expires_at: i64,
    /// For the record that ends the request, should another run have to write it.
    pub request: Request,
}

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
}

/// Whether the intent is durable. Anything but `Recorded` left the store as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PermitOutcome {
    /// On disk.
    Recorded {
        /// Of the last record appended.
        sequence: u64,
    },
    /// An equal CSR of the same key was issued meanwhile: hand that certificate out.
    AlreadyIssued {
        /// Of that certificate.
        serial: Serial,
    },
    /// An equal CSR of the same key has an open intent: its result comes soon.
    InProgress {
        /// Of that intent.
        serial: Serial,
    },
    /// The one-time challenge was used before.
    ChallengeSpent,
    /// The challenge was taken back.
    ChallengeRevoked,
    /// The challenge has expired.
    ChallengeExpired,
    /// No challenge of this kind has the id.
    ChallengeUnknown,
    /// The static challenge was used for this name before.
    InventoryUsed {
        /// What it was used for.
        serial: Serial,
    },
    /// The name is not in the inventory.
    InventoryUnknown,
    /// A window is full.
    QuotaExceeded {
        /// Key of the quota.
        key: String,
    },
}

impl Store {
    /// Binds the transaction, uses the authorisation up, charges the quotas and records the intent: all or nothing, and
    /// on disk before it returns. Of any number of permits on one authorisation one is `Recorded`.
    ///
    /// # Errors
    /// Where nothing could be decided; then nothing may be signed.
    pub async fn permit(&self, permit: PermitWrite) -> Result<PermitOutcome, StoreError> {
        self.write_if(move |connection| {
            if let Some(obstacle) = consume(connection, &permit)? {
                return Ok(Verdict::Undo(obstacle));
            }
            insert_intent(connection, &permit)?;
            transactions::bind(
                connection,
                &permit.transaction,
                &permit.request_digest,
                &permit.csr_digest,
                &permit.intent.serial,
                permit.now,
            )?;
            let sequence = audit::append(connection, permit.audit)?;
            Ok(Verdict::Keep(PermitOutcome::Recorded { sequence }))
        })
        .await
    }
}

/// `None` if all that the permit needs was there and is now used up.
fn consume(
    connection: &Connection,
    permit: &PermitWrite,
) -> Result<Option<PermitOutcome>, StoreError> {
    let earlier = certificates::find_equal_csr(
        connection,
        &permit.transaction.ca_id,
        &permit.transaction.signer_spki_sha256,
        &permit.csr_digest,
        permit.retransmit_since,
    )?;
    if let Some(earlier) = earlier {
        let serial = earlier.serial;
        return Ok(Some(match earlier.state {
            CertificateState::Intent => PermitOutcome::InProgress { serial },
            CertificateState::Issued | CertificateState::Abandoned => {
                PermitOutcome::AlreadyIssued { serial }
            }
        }));
    }
    let obstacle = match &permit.consume {
        Consume::OneTime { id } => spend_one_time(connection, permit, id)?,
        Consume::Static { id, name } => take_name(connection, permit, id, name)?,
    };
    if obstacle.is_some() {
        return Ok(obstacle);
    }
    for quota in &permit.quotas {
        if !quotas::charge(connection, quota)? {
            return Ok(Some(PermitOutcome::QuotaExceeded {
                key: quota.key.clone(),
            }));
        }
    }
    Ok(None)
}

fn spend_one_time(
    connection: &Connection,
    permit: &PermitWrite,
    id: &str,
) -> Result<Option<PermitOutcome>, StoreError> {
    if challenges::spend(connection, id, &permit.intent.serial, permit.now)? {
        return Ok(None);
    }
    let found = challenges::find_by_id(connection, id)?;
    Ok(Some(match found.map(|row| (row.kind, row.state)) {
        Some((ChallengeKind::OneTime, ChallengeState::Open)) => PermitOutcome::ChallengeExpired,
        Some((ChallengeKind::OneTime, ChallengeState::Spent)) => PermitOutcome::ChallengeSpent,
        Some((ChallengeKind::OneTime, ChallengeState::Revoked)) => PermitOutcome::ChallengeRevoked,
        Some((ChallengeKind::Static, _)) | None => PermitOutcome::ChallengeUnknown,
    }))
}

fn take_name(
    connection: &Connection,
    permit: &PermitWrite,
    id: &str,
    name: &str,
) -> Result<Option<PermitOutcome>, StoreError> {
    let Some(challenge) = challenges::find_by_id(connection, id)?
        .filter(|challenge| challenge.kind == ChallengeKind::Static)
    else {
        return Ok(Some(PermitOutcome::ChallengeUnknown));
    };
    if challenge.state != ChallengeState::Open {
        return Ok(Some(PermitOutcome::ChallengeRevoked));
    }
    if challenge
        .expires_at
        .is_some_and(|expires_at| expires_at <= permit.now)
    {
        return Ok(Some(PermitOutcome::ChallengeExpired));
    }
    let profile = &permit.intent.profile;
    if inventory::take(connection, profile, name, &permit.intent.serial)? {
        return Ok(None);
    }
    let used = inventory::find(connection, profile, name)?.and_then(|row| row.serial);
    Ok(Some(match used {
        Some(serial) => PermitOutcome::InventoryUsed { serial },
        None => PermitOutcome::InventoryUnknown,
    }))
}

fn insert_intent(connection: &Connection, permit: &PermitWrite) -> Result<(), StoreError> {
    let intent = &permit.intent;
    let (challenge_id, inventory_name) = match &permit.consume {
        Consume::OneTime { id } => (id, None),
        Consume::Static { id, name } => (id, Some(name)),
    };
    connection.change(
        "INSERT INTO certificates (serial, state, ca_id, profile, subject, sans, not_before,
             not_after, policy_hash, signer_spki_sha256, transaction_id, request_digest,
             csr_digest, request, challenge_id, inventory_name, tbs, tbs_digest, created_at,
             expires_at)
         VALUES (?1, 'intent', ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15,
             ?16, ?17, ?18, ?19)",
        params![
            intent.serial,
            permit.transaction.ca_id,
            intent.profile,
            intent.subject,
            serde_json::to_string(&intent.sans)?,
            intent.not_before,
            intent.not_after,
            intent.policy_hash,
            permit.transaction.signer_spki_sha256,
            permit.transaction.transaction_id,
            permit.request_digest,
            permit.csr_digest,
            serde_json::to_string(&intent.request)?,
            challenge_id,
            inventory_name,
            intent.tbs,
            intent.tbs_digest,
            permit.now,
            intent.expires_at,
        ],
    )?;
    Ok(())
}
