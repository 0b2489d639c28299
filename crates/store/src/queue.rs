use assay_audit::{Draft, Request};
use assay_types::{Hash, Timestamp};
use rusqlite::params;

use crate::consume::RenewalTerms;
use crate::sql::{Connection, seconds};
use crate::writer::Verdict;
use crate::{
    PermitOutcome, Reserve, Store, StoreError, TransactionKey, audit, certificates, pending,
    reserve,
};

/// A request that policy permits and an operator has to approve.
#[derive(Debug, Clone)]
pub struct PendingWrite {
    /// Drawn for it, unique.
    pub id: String,
    /// Bound by it.
    pub transaction: TransactionKey,
    /// SHA-256 of the pkiMessage.
    pub request_digest: Hash,
    /// SHA-256 of the whole CSR, as it came.
    pub csr_digest: Hash,
    /// DER, without its challengePassword.
    pub csr: Vec<u8>,
    /// DER certificate of the pkiMessage's signer, to which the reply will be enveloped.
    pub signer_certificate: Vec<u8>,
    /// Hash algorithm of the pkiMessage's signature, as the caller names it.
    pub message_hash: String,
    /// Hash algorithm of the CSR's signature, as the caller names it.
    pub csr_hash: String,
    /// Profile that it is for.
    pub profile: String,
    /// RFC 4514 text.
    pub subject: String,
    /// Typed subject alternative names.
    pub sans: Vec<String>,
    /// Type and size of the key, for people.
    pub key_info: String,
    /// What the decision rested on, JSON as the caller writes it.
    pub evidence: String,
    /// What authorises it, kept for it until it is issued, denied or expired.
    pub reserve: Reserve,
    /// As [`crate::PermitWrite::renewal`].
    pub renewal: RenewalTerms,
    /// For the records that tell of it.
    pub request: Request,
    /// The PENDING for its pkiMessage, for byte-identical retransmissions.
    pub cert_rep: Option<Vec<u8>>,
    /// When the request came.
    pub created_at: Timestamp,
    /// When it is denied by time.
    pub expires_at: Timestamp,
    /// An equal CSR issued at this time or later is a retransmission.
    pub retransmit_since: Timestamp,
    /// Appended with it.
    pub audit: Vec<Draft>,
}

impl Store {
    /// Binds the transaction, reserves the authorisation and queues the request: all or nothing, and on disk before it
    /// returns. Of any number of requests on one authorisation one is `Recorded`.
    ///
    /// # Errors
    /// Where nothing could be decided; then nothing may be answered.
    pub async fn queue(&self, request: PendingWrite) -> Result<PermitOutcome, StoreError> {
        self.write_if(move |connection| {
            if let Some(obstacle) = obstacle(connection, &request)? {
                return Ok(Verdict::Undo(obstacle));
            }
            insert(connection, &request)?;
            let sequence = audit::append(connection, request.audit)?;
            Ok(Verdict::Keep(PermitOutcome::Recorded { sequence }))
        })
        .await
    }
}

/// `None` if all that the request needs was there and is now reserved.
fn obstacle(
    connection: &Connection,
    request: &PendingWrite,
) -> Result<Option<PermitOutcome>, StoreError> {
    let key = &request.transaction;
    let issued = certificates::find_equal_csr(
        connection,
        &key.ca_id,
        &key.signer_spki_sha256,
        &request.csr_digest,
        request.retransmit_since,
    )?;
    if let Some(issued) = issued {
        return Ok(Some(PermitOutcome::already(issued)));
    }
    let queued = pending::find_equal_csr(
        connection,
        &key.ca_id,
        &key.signer_spki_sha256,
        &request.csr_digest,
    )?;
    if let Some(queued) = queued {
        return Ok(Some(PermitOutcome::AlreadyQueued { id: queued.id }));
    }
    reserve::reserve(connection, request)
}

fn insert(connection: &Connection, request: &PendingWrite) -> Result<(), StoreError> {
    let reserve = request.reserve.columns();
    connection.change(
        "INSERT INTO pending (id, ca_id, signer_spki_sha256, transaction_id, request_digest,
             csr_digest, csr, signer_certificate, message_hash, csr_hash, profile, subject, sans,
             key_info, evidence, request, challenge_id, inventory_name, renewal_of, revoke_after,
             cert_rep, created_at, expires_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18,
             ?19, ?20, ?21, ?22, ?23)",
        params![
            request.id,
            request.transaction.ca_id,
            request.transaction.signer_spki_sha256,
            request.transaction.transaction_id,
            request.request_digest,
            request.csr_digest,
            request.csr,
            request.signer_certificate,
            request.message_hash,
            request.csr_hash,
            request.profile,
            request.subject,
            serde_json::to_string(&request.sans)?,
            request.key_info,
            request.evidence,
            serde_json::to_string(&request.request)?,
            reserve.challenge_id,
            reserve.inventory_name,
            reserve.renewal_of,
            reserve.revoke_after.map(seconds),
            request.cert_rep,
            request.created_at,
            request.expires_at,
        ],
    )?;
    Ok(())
}
