use assay_audit::Request;
use assay_types::{Hash, Serial, Timestamp};
use rusqlite::{Row, params};

use crate::page::{before, page};
use crate::sql::{Connection, Json, Texts, text_column};
use crate::{Page, Reserve, Span, Store, StoreError, TransactionKey};

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
    pub request_digest: Hash,
    /// SHA-256 of the whole CSR, as it came.
    pub csr_digest: Hash,
    /// DER, without its challengePassword.
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
    /// When the request came.
    pub created_at: Timestamp,
    /// When it expires.
    pub expires_at: Timestamp,
    /// When it was approved, denied or expired.
    pub decided_at: Option<Timestamp>,
    /// Identities of the operators who approved it so far, sorted.
    pub approvals: Vec<String>,
    /// Of its certificate or intent.
    pub serial: Option<Serial>,
}

/// Which requests are listed. What is not set filters nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PendingQuery {
    /// Profile that it is for.
    pub profile: Option<String>,
    /// How far it has come.
    pub state: Option<PendingState>,
    /// RFC 4514 text.
    pub subject: Option<String>,
    /// One of its typed subject alternative names.
    pub san: Option<String>,
    /// Of its certificate or intent.
    pub serial: Option<Serial>,
    /// Its transactionID.
    pub transaction_id: Option<String>,
    /// When it was queued.
    pub created: Span,
    /// Only those before this position.
    pub before: Option<u64>,
    /// Rows of the page; at most [`crate::MAX_ROWS`], and 0 for as many.
    pub rows: u32,
}

impl Store {
    /// The request that this very pkiMessage queued.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn find_pending_by_request(
        &self,
        request_digest: Hash,
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

    /// A page of the requests, newest first. A filter by state goes by an index.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn list_pending(&self, query: PendingQuery) -> Result<Page<PendingRow>, StoreError> {
        self.read(move |connection| {
            let PendingQuery {
                profile,
                state,
                subject,
                san,
                serial,
                transaction_id,
                created: Span { from, to },
                before: end,
                rows,
            } = query;
            let of_state = if state.is_some() {
                "state = ?2"
            } else {
                "?2 IS NULL"
            };
            let sql = format!(
                "SELECT *, {APPROVALS},
                     (?1 IS NULL OR profile = ?1)
                     AND (?3 IS NULL OR subject = ?3)
                     AND (?4 IS NULL OR EXISTS (SELECT 1 FROM main.json_each(sans) WHERE value = ?4))
                     AND (?5 IS NULL OR coalesce(serial = ?5, false))
                     AND (?6 IS NULL OR transaction_id = ?6)
                     AND (?7 IS NULL OR created_at >= ?7) AND (?8 IS NULL OR created_at < ?8) AS hit
                 FROM pending WHERE {of_state} AND position < ?9 ORDER BY position DESC"
            );
            let end = before(end);
            let params = params![
                profile,
                state,
                subject,
                san,
                serial,
                transaction_id,
                from,
                to,
                end
            ];
            let cursor = |row: &Row<'_>| Ok(row.get::<_, i64>("position")?.cast_unsigned());
            page(connection, &sql, params, rows, cursor, read)
        })
        .await
    }
}

pub(crate) fn find(connection: &Connection, id: &str) -> Result<Option<PendingRow>, StoreError> {
    connection.find(&select("id = ?1"), [id], read)
}

/// The latest request queued under `key`, whatever became of it.
pub(crate) fn find_latest(
    connection: &Connection,
    key: &TransactionKey,
) -> Result<Option<PendingRow>, StoreError> {
    connection.find(
        &select(
            "ca_id = ?1 AND signer_spki_sha256 = ?2 AND transaction_id = ?3
             ORDER BY position DESC LIMIT 1",
        ),
        params![key.ca_id, key.signer_spki_sha256, key.transaction_id],
        read,
    )
}

/// The request of the same key for an equal CSR that waits or was approved.
pub(crate) fn find_equal_csr(
    connection: &Connection,
    ca_id: &str,
    signer_spki_sha256: &Hash,
    csr_digest: &Hash,
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
    connection.change_one(
        "UPDATE pending SET state = 'issued', serial = ?2 WHERE id = ?1 AND state = 'approved'",
        params![id, serial],
    )
}

/// Gives an approval back that was taken for `serial`, once in its life.
pub(crate) fn give_back(
    connection: &Connection,
    id: &str,
    serial: &Serial,
) -> Result<bool, StoreError> {
    connection.change_one(
        "UPDATE pending SET state = 'approved', serial = NULL, freed = 1
         WHERE id = ?1 AND serial = ?2 AND state = 'issued' AND freed = 0",
        params![id, serial],
    )
}

/// All rows of one `condition`, which is text of this crate.
pub(crate) fn select(condition: &str) -> String {
    format!("SELECT *, {APPROVALS} FROM pending WHERE {condition}")
}

const APPROVALS: &str = "(SELECT json_group_array(approver ORDER BY approver) FROM approvals
     WHERE pending_id = pending.id AND verdict = 'approve') AS approvals";

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
        approvals: row.get::<_, Texts>("approvals")?.0,
        serial: row.get("serial")?,
    })
}
