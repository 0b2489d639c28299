use assay_audit::{Draft, Request};
use rusqlite::{Connection, Row, params};

use crate::sql::{Json, Sql, Texts, limit, text_column};
use crate::writer::Verdict;
use crate::{
    PermitOutcome, Reserve, Serial, Store, StoreError, TransactionKey, audit, certificates, reserve,
};

/// How far a request that was answered with PENDING has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PendingState {
    /// No operator decided yet, or not enough of them.
    Waiting,
    /// May be permitted.
    Approved,
    /// Permitted: the rest is told by its certificate's state.
    Issued,
    /// Refused by an operator.
    Denied,
    /// Nothing came of it in its time.
    Expired,
}

text_column!(PendingState {
    Waiting = "waiting",
    Approved = "approved",
    Issued = "issued",
    Denied = "denied",
    Expired = "expired",
});

/// A request that policy permits and an operator has to approve.
#[derive(Debug, Clone)]
pub struct PendingWrite {
    /// Drawn for it, unique.
    pub id: String,
    /// Bound by it.
    pub transaction: TransactionKey,
    /// SHA-256 of the pkiMessage.
    pub request_digest: [u8; 32],
    /// SHA-256 of `csr`.
    pub csr_digest: [u8; 32],
    /// DER.
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
    /// For the records that tell of it.
    pub request: Request,
    /// The PENDING for its pkiMessage, for byte-identical retransmissions.
    pub cert_rep: Option<Vec<u8>>,
    /// Unix seconds.
    pub created_at: i64,
    /// Unix seconds at which it is denied by time.
    pub expires_at: i64,
    /// An equal CSR issued at this time (Unix seconds) or later is a retransmission.
    pub retransmit_since: i64,
    /// Appended with it.
    pub audit: Vec<Draft>,
}

/// A request that was answered with PENDING, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingRow {
    /// Unique.
    pub id: String,
    /// How far it has come.
    pub state: PendingState,
    /// Its transaction.
    pub transaction: TransactionKey,
    /// SHA-256 of the pkiMessage.
    pub request_digest: [u8; 32],
    /// SHA-256 of `csr`.
    pub csr_digest: [u8; 32],
    /// DER.
    pub csr: Vec<u8>,
    /// DER certificate of the pkiMessage's signer.
    pub signer_certificate: Vec<u8>,
    /// Hash algorithm of the pkiMessage's signature.
    pub message_hash: String,
    /// Hash algorithm of the CSR's signature.
    pub csr_hash: String,
    /// Profile that it is for.
    pub profile: String,
    /// RFC 4514 text.
    pub subject: String,
    /// Typed subject alternative names.
    pub sans: Vec<String>,
    /// Type and size of the key.
    pub key_info: String,
    /// As it was given.
    pub evidence: String,
    /// What is kept for it.
    pub reserve: Reserve,
    /// For the records that tell of it.
    pub request: Request,
    /// The PENDING that was sent.
    pub cert_rep: Option<Vec<u8>>,
    /// Unix seconds.
    pub created_at: i64,
    /// Unix seconds.
    pub expires_at: i64,
    /// Unix seconds at which it was approved, denied or expired.
    pub decided_at: Option<i64>,
    /// Operators who approved it so far.
    pub approvals: u32,
    /// Of its certificate or intent.
    pub serial: Option<Serial>,
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

    /// The latest request queued under `key`, whatever became of it: what a CertPoll asks for.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn find_pending(
        &self,
        key: TransactionKey,
    ) -> Result<Option<PendingRow>, StoreError> {
        self.read(move |connection| {
            connection.find(
                &select(
                    "ca_id = ?1 AND signer_spki_sha256 = ?2 AND transaction_id = ?3
                     ORDER BY position DESC LIMIT 1",
                ),
                params![key.ca_id, key.signer_spki_sha256, key.transaction_id],
                read,
            )
        })
        .await
    }

    /// The request that this very pkiMessage queued.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn find_pending_by_request(
        &self,
        request_digest: [u8; 32],
    ) -> Result<Option<PendingRow>, StoreError> {
        self.read(move |connection| {
            connection.find(
                &select("request_digest = ?1 ORDER BY position DESC LIMIT 1"),
                [request_digest],
                read,
            )
        })
        .await
    }

    /// The request with this id.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn find_pending_by_id(&self, id: String) -> Result<Option<PendingRow>, StoreError> {
        self.read(move |connection| find(connection, &id)).await
    }

    /// Newest first, of one state if asked; at most [`crate::MAX_ROWS`].
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn list_pending(
        &self,
        state: Option<PendingState>,
        asked: u32,
    ) -> Result<Vec<PendingRow>, StoreError> {
        let limit = limit(asked);
        self.read(move |connection| match state {
            None => connection.list(
                &select("true ORDER BY position DESC LIMIT ?1"),
                [limit],
                read,
            ),
            Some(state) => connection.list(
                &select("state = ?2 ORDER BY position DESC LIMIT ?1"),
                params![limit, state],
                read,
            ),
        })
        .await
    }
}

pub(crate) fn find(connection: &Connection, id: &str) -> Result<Option<PendingRow>, StoreError> {
    connection.find(&select("id = ?1"), [id], read)
}

/// The request of the same key for an equal CSR that waits or was approved.
pub(crate) fn find_equal_csr(
    connection: &Connection,
    ca_id: &str,
    signer_spki_sha256: &[u8; 32],
    csr_digest: &[u8; 32],
) -> Result<Option<PendingRow>, StoreError> {
    connection.find(
        &select(
            "csr_digest = ?1 AND ca_id = ?2 AND signer_spki_sha256 = ?3
             AND state IN ('waiting', 'approved') ORDER BY position DESC LIMIT 1",
        ),
        params![csr_digest, ca_id, signer_spki_sha256],
        read,
    )
}

/// Takes the approval of `id` for `serial`; `false` if it is not there to be taken.
pub(crate) fn take(connection: &Connection, id: &str, serial: &Serial) -> Result<bool, StoreError> {
    let taken = connection.change(
        "UPDATE pending SET state = 'issued', serial = ?2 WHERE id = ?1 AND state = 'approved'",
        params![id, serial],
    )?;
    Ok(taken == 1)
}

/// Gives an approval back that was taken for `serial`, once in its life.
pub(crate) fn give_back(
    connection: &Connection,
    id: &str,
    serial: &Serial,
) -> Result<bool, StoreError> {
    let given = connection.change(
        "UPDATE pending SET state = 'approved', serial = NULL, freed = 1
         WHERE id = ?1 AND serial = ?2 AND state = 'issued' AND freed = 0",
        params![id, serial],
    )?;
    Ok(given == 1)
}

/// All rows of one `condition`, which is text of this crate.
pub(crate) fn select(condition: &str) -> String {
    format!(
        "SELECT *, (SELECT count(*) FROM approvals
                    WHERE pending_id = pending.id AND verdict = 'approve') AS approvals
         FROM pending WHERE {condition}"
    )
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
    let queued = find_equal_csr(
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
            reserve.revoke_after,
            request.cert_rep,
            request.created_at,
            request.expires_at,
        ],
    )?;
    Ok(())
}

pub(crate) fn read(row: &Row<'_>) -> rusqlite::Result<PendingRow> {
    Ok(PendingRow {
        id: row.get("id")?,
        state: row.get("state")?,
        transaction: TransactionKey {
            ca_id: row.get("ca_id")?,
            signer_spki_sha256: row.get("signer_spki_sha256")?,
            transaction_id: row.get("transaction_id")?,
        },
        request_digest: row.get("request_digest")?,
        csr_digest: row.get("csr_digest")?,
        csr: row.get("csr")?,
        signer_certificate: row.get("signer_certificate")?,
        message_hash: row.get("message_hash")?,
        csr_hash: row.get("csr_hash")?,
        profile: row.get("profile")?,
        subject: row.get("subject")?,
        sans: row.get::<_, Texts>("sans")?.0,
        key_info: row.get("key_info")?,
        evidence: row.get("evidence")?,
        reserve: Reserve::read(row)?,
        request: row.get::<_, Json<Request>>("request")?.0,
        cert_rep: row.get("cert_rep")?,
        created_at: row.get("created_at")?,
        expires_at: row.get("expires_at")?,
        decided_at: row.get("decided_at")?,
        approvals: row.get("approvals")?,
        serial: row.get("serial")?,
    })
}
