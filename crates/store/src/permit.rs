use assay_audit::{Draft, Request};
use assay_types::{Hash, Serial, Timestamp};
use rusqlite::params;

use crate::certificates::{self, CertificateRow, CertificateState};

use crate::consume::{self, Consume, RenewalTerms, Used};
use crate::sql::{Connection, seconds};
use crate::writer::Verdict;
use crate::{
    PendingState, QuotaCharge, Store, StoreError, TransactionKey, audit, policies, quotas, stops,
    transactions,
};

/// Everything that must be true and durable before the CA key is used.
#[derive(Debug, Clone)]
pub struct PermitWrite {
    /// Bound by this permit.
    pub transaction: TransactionKey,
    /// SHA-256 of the pkiMessage.
    pub request_digest: Hash,
    /// SHA-256 of the CSR.
    pub csr_digest: Hash,
    /// What will be signed.
    pub intent: NewIntent,
    /// What authorises it, used up by this permit.
    pub consume: Consume,
    /// The profile's terms for a certificate that is renewed.
    pub renewal: RenewalTerms,
    /// Charged by this permit.
    pub quotas: Vec<QuotaCharge>,
    /// The present time.
    pub now: Timestamp,
    /// An equal CSR issued at this time or later is a retransmission.
    pub retransmit_since: Timestamp,
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
    pub tbs_digest: Hash,
    /// Profile that permitted it.
    pub profile: String,
    /// RFC 4514 text.
    pub subject: String,
    /// Typed subject alternative names.
    pub sans: Vec<String>,
    /// notBefore.
    pub not_before: Timestamp,
    /// notAfter.
    pub not_after: Timestamp,
    /// Model hash of the policy that permitted it.
    pub policy_hash: Hash,
    /// When recovery gives it up.
    pub expires_at: Timestamp,
    /// For the record that ends the request, should another run have to write it.
    pub request: Request,
}

/// Whether the intent, or the request that waits for an operator, is durable. Anything but `Recorded` left the store as it
/// was.
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
    /// An equal CSR of the same key waits for an operator: it is PENDING still.
    AlreadyQueued {
        /// Of that request.
        id: String,
    },
    /// The challenge, the name or the certificate to be renewed is kept for a request that waits.
    Reserved {
        /// Of that request.
        id: String,
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
    /// The certificate to be renewed was not issued here.
    OldUnknown,
    /// The certificate to be renewed is revoked or on hold.
    OldRevoked,
    /// The certificate to be renewed has expired.
    OldExpired,
    /// The certificate to be renewed was renewed before, and renews once.
    OldRenewed {
        /// The renewal.
        serial: Serial,
    },
    /// No request like this one waited under the id.
    PendingUnknown,
    /// The request is not approved, or not any more.
    NotApproved {
        /// How far it has come.
        state: PendingState,
    },
    /// The profile was stopped since the decision.
    Stopped,
    /// Another version of the policy came into force since the decision.
    PolicyChanged,
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
            let used = match use_up(connection, &permit)? {
                Ok(used) => used,
                Err(obstacle) => return Ok(Verdict::Undo(obstacle)),
            };
            insert_intent(connection, &permit, &used)?;
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

impl PermitOutcome {
    pub(crate) fn already(earlier: CertificateRow) -> Self {
        let serial = earlier.serial;
        match earlier.state {
            CertificateState::Intent => Self::InProgress { serial },
            CertificateState::Issued
            | CertificateState::Abandoned
            | CertificateState::Imported
            | CertificateState::Recovered => Self::AlreadyIssued { serial },
        }
    }
}

/// `Err` in the result is the obstacle; else all that the permit needs was there and is now used up.
fn use_up(
    connection: &Connection,
    permit: &PermitWrite,
) -> Result<Result<Used, PermitOutcome>, StoreError> {
    let earlier = certificates::find_equal_csr(
        connection,
        &permit.transaction.ca_id,
        &permit.transaction.signer_spki_sha256,
        &permit.csr_digest,
        permit.retransmit_since,
    )?;
    if let Some(earlier) = earlier {
        return Ok(Err(PermitOutcome::already(earlier)));
    }
    if stops::is_stopped(connection, &permit.intent.profile)? {
        return Ok(Err(PermitOutcome::Stopped));
    }
    if !policies::is_newest(connection, &permit.intent.policy_hash)? {
        return Ok(Err(PermitOutcome::PolicyChanged));
    }
    let used = consume::consume(connection, permit)?;
    if used.is_err() {
        return Ok(used);
    }
    for quota in &permit.quotas {
        if !quotas::charge(connection, quota)? {
            let key = quota.key.clone();
            return Ok(Err(PermitOutcome::QuotaExceeded { key }));
        }
    }
    Ok(used)
}

fn insert_intent(
    connection: &Connection,
    permit: &PermitWrite,
    used: &Used,
) -> Result<(), StoreError> {
    let intent = &permit.intent;
    connection.change(
        "INSERT INTO certificates (serial, state, ca_id, profile, subject, sans, not_before,
             not_after, policy_hash, signer_spki_sha256, transaction_id, request_digest,
             csr_digest, request, challenge_id, inventory_name, tbs, tbs_digest, created_at,
             expires_at, renewal_of, revoke_after, pending_id)
         VALUES (?1, 'intent', ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15,
             ?16, ?17, ?18, ?19, ?20, ?21, ?22)",
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
            used.columns.challenge_id,
            used.columns.inventory_name,
            intent.tbs,
            intent.tbs_digest,
            permit.now,
            intent.expires_at,
            used.columns.renewal_of,
            used.columns.revoke_after.map(seconds),
            used.pending_id,
        ],
    )?;
    Ok(())
}
