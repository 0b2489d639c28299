use std::time::Duration;

use assay_audit::{Draft, Request};
use assay_types::{Hash, Serial, Timestamp};
use rusqlite::{Row, params};

use crate::sql::{Connection, Json, MAX_ROWS, Texts, duration};
use crate::writer::Verdict;
use crate::{
    Store, StoreError, TransactionKey, audit, certificates, challenges, inventory, lineage, quirks,
    reserve, revocations, transactions, tree,
};

/// The result of an intent.
#[derive(Debug, Clone)]
pub struct Completion {
    /// Of the intent.
    pub serial: Serial,
    /// DER certificate.
    pub certificate: Vec<u8>,
    /// The CertRep for the intent's pkiMessage; `None` where recovery has nobody to answer.
    pub cert_rep: Option<Vec<u8>>,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// The record that ends the request.
    pub audit: Vec<Draft>,
}

/// What may have been signed, or not, before a crash.
#[derive(Debug, Clone)]
pub struct OpenIntent {
    /// Of the certificate to be.
    pub serial: Serial,
    /// Its transaction.
    pub transaction: TransactionKey,
    /// SHA-256 of the pkiMessage.
    pub request_digest: Hash,
    /// SHA-256 of the CSR.
    pub csr_digest: Hash,
    /// Exactly what is to be signed.
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
    /// When the request came.
    pub created_at: Timestamp,
    /// When it is given up.
    pub expires_at: Timestamp,
    /// For the record that ends the request.
    pub request: Request,
    /// The certificate that it renews.
    pub renewal_of: Option<Serial>,
    /// From its issue to the revocation of that one; `None` keeps it.
    pub revoke_after: Option<Duration>,
    /// The request that waited for it.
    pub pending_id: Option<String>,
}

/// The record of a permit, with the evidence beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenedRecord {
    /// Canonical JSON of the `intent.opened`.
    pub record: Vec<u8>,
    /// Salt and content of its evidence; `None` where it was pruned.
    pub evidence: Option<([u8; 32], Vec<u8>)>,
}

/// Whether a certificate came into force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Completed {
    /// On disk, and so is its record.
    Issued {
        /// Of the last record appended.
        sequence: u64,
    },
    /// The certificate that it renews was revoked or held meanwhile. The intent is open still and must be given up: nothing of it may
    /// be sent.
    OldRevoked {
        /// Serial of the one that it renews.
        old: Serial,
    },
}

impl Store {
    /// The record with which the intent of this serial was opened.
    ///
    /// # Errors
    /// Where the store cannot be read, or the record is not what was written.
    pub async fn opened_record(&self, serial: Serial) -> Result<Option<OpenedRecord>, StoreError> {
        self.read(move |connection| {
            let found = connection.find(
                "SELECT audit.sequence, audit.record, evidence.salt, evidence.content FROM file.audit
                 LEFT JOIN file.evidence ON evidence.sequence = audit.sequence
                 WHERE audit.kind = 'intent.opened'
                     AND json_extract(CAST(audit.record AS TEXT), '$.serial') = ?1
                 LIMIT 1",
                [serial.to_string()],
                |row| {
                    let salt: Option<[u8; 32]> = row.get("salt")?;
                    let content: Option<Vec<u8>> = row.get("content")?;
                    let row = audit::read(row)?;
                    Ok((row, salt.zip(content)))
                },
            )?;
            let Some((row, evidence)) = found else {
                return Ok(None);
            };
            tree::hold_one(connection, row.sequence, &row.leaf_hash)?;
            Ok(Some(OpenedRecord {
                record: row.record,
                evidence,
            }))
        })
        .await
    }

    /// Closes an intent with its certificate, notes it as the successor of the one that it renews, counts the exceptions
    /// that its request needed, and keeps the CertRep for byte-identical retransmissions: on disk before it returns, so
    /// before any of it is sent.
    ///
    /// # Errors
    /// [`StoreError::NoOpenIntent`] where the intent is closed; then nothing may be sent.
    pub async fn complete(&self, completion: Completion) -> Result<Completed, StoreError> {
        self.write_urgently_if(move |connection| {
            let serial = &completion.serial;
            let closed = connection.find(OPEN, [serial], read_closed)?;
            let closed = closed.ok_or_else(|| StoreError::NoOpenIntent(serial.clone()))?;
            let old = closed.renewal_of.as_ref();
            if let Some(old) = lineage::revoked_predecessor(connection, old)? {
                return Ok(Verdict::Undo(Completed::OldRevoked { old }));
            }
            connection.change(
                "UPDATE certificates SET state = 'issued', sha256 = ?2, closed_at = ?3, tbs = NULL,
                     request = NULL
                 WHERE serial = ?1",
                params![
                    serial,
                    Hash::of(&completion.certificate),
                    completion.issued_at
                ],
            )?;
            certificates::keep(connection, serial, &completion.certificate)?;
            if let Some(old) = &closed.renewal_of {
                let revoke_at = closed
                    .revoke_after
                    .map(|after| completion.issued_at + after);
                revocations::supersede(connection, old, serial, revoke_at)?;
            }
            quirks::count(
                connection,
                &closed.profile,
                &closed.subject,
                &closed.request.quirks,
                completion.issued_at,
            )?;
            if let Some(cert_rep) = &completion.cert_rep {
                transactions::keep_reply(
                    connection,
                    &closed.request_digest,
                    serial,
                    cert_rep,
                    completion.issued_at,
                )?;
            }
            let sequence = audit::append(connection, completion.audit)?;
            Ok(Verdict::Keep(Completed::Issued { sequence }))
        })
        .await
    }

    /// Gives an intent up. If the HSM service may have signed it, its serial counts as issued and revoked, since nobody can know
    /// whether a signature left the token. The source that authorised it may be used again, once in its life.
    ///
    /// # Errors
    /// [`StoreError::NoOpenIntent`] where the intent is closed.
    pub async fn fail_intent(
        &self,
        serial: Serial,
        now: Timestamp,
        may_be_signed: bool,
        audit: Vec<Draft>,
    ) -> Result<u64, StoreError> {
        self.write(move |connection| {
            let used = abandon(connection, &serial, now, may_be_signed)?
                .ok_or_else(|| StoreError::NoOpenIntent(serial.clone()))?;
            match (used.pending_id, used.inventory_name, used.challenge_id) {
                (Some(id), _, _) => reserve::restore(connection, &id, &serial)?,
                (None, Some(name), _) => {
                    inventory::free(connection, &serial, &used.profile, &name)?
                }
                (None, None, Some(id)) => challenges::free(connection, &serial, &id)?,
                (None, None, None) => false,
            };
            audit::append(connection, audit)
        })
        .await
    }

    /// Intents without a result that were opened before `created_before` (`None` for all), oldest first; at
    /// most [`MAX_ROWS`].
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn open_intents(
        &self,
        created_before: Option<Timestamp>,
    ) -> Result<Vec<OpenIntent>, StoreError> {
        let before = created_before.unwrap_or(Timestamp::MAX);
        self.read(move |connection| {
            connection.list(
                "SELECT * FROM certificates WHERE state = 'intent' AND created_at < ?1
                 ORDER BY created_at LIMIT ?2",
                params![before, MAX_ROWS],
                read,
            )
        })
        .await
    }
}

impl Store {
    /// Serial numbers of all open intents.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn open_serials(&self) -> Result<Vec<Serial>, StoreError> {
        let open = "SELECT serial FROM certificates WHERE state = 'intent'";
        self.read(|connection| connection.list(open, [], |row| row.get(0)))
            .await
    }
}

/// Every open intent, for a time when none is opened.
pub(crate) fn all_open(connection: &Connection) -> Result<Vec<OpenIntent>, StoreError> {
    let open = "SELECT * FROM certificates WHERE state = 'intent' ORDER BY created_at";
    connection.list(open, [], read)
}

struct Closed {
    request_digest: Hash,
    renewal_of: Option<Serial>,
    revoke_after: Option<Duration>,
    profile: String,
    subject: String,
    request: Request,
}

pub(crate) struct Abandoned {
    profile: String,
    challenge_id: Option<String>,
    inventory_name: Option<String>,
    pending_id: Option<String>,
}

pub(crate) fn abandon(
    connection: &Connection,
    serial: &Serial,
    now: Timestamp,
    may_be_signed: bool,
) -> Result<Option<Abandoned>, StoreError> {
    let open = connection.find(OPEN, [serial], |row| {
        Ok(Abandoned {
            profile: row.get("profile")?,
            challenge_id: row.get("challenge_id")?,
            inventory_name: row.get("inventory_name")?,
            pending_id: row.get("pending_id")?,
        })
    })?;
    connection.change(
        "UPDATE certificates SET state = 'abandoned', closed_at = ?2, revoked_at = ?3, request = NULL
         WHERE serial = ?1 AND state = 'intent'",
        params![serial, now, may_be_signed.then_some(now)],
    )?;
    Ok(open)
}

const OPEN: &str = "SELECT * FROM certificates WHERE serial = ?1 AND state = 'intent'";

fn read_closed(row: &Row<'_>) -> rusqlite::Result<Closed> {
    Ok(Closed {
        request_digest: row.get("request_digest")?,
        renewal_of: row.get("renewal_of")?,
        revoke_after: duration(row, "revoke_after")?,
        profile: row.get("profile")?,
        subject: row.get("subject")?,
        request: row.get::<_, Json<Request>>("request")?.0,
    })
}

fn read(row: &Row<'_>) -> rusqlite::Result<OpenIntent> {
    Ok(OpenIntent {
        serial: row.get("serial")?,
        transaction: TransactionKey {
            ca_id: row.get("ca_id")?,
            signer_spki_sha256: row.get("signer_spki_sha256")?,
            transaction_id: row.get("transaction_id")?,
        },
        request_digest: row.get("request_digest")?,
        csr_digest: row.get("csr_digest")?,
        tbs: row.get("tbs")?,
        tbs_digest: row.get("tbs_digest")?,
        profile: row.get("profile")?,
        subject: row.get("subject")?,
        sans: row.get::<_, Texts>("sans")?.0,
        not_before: row.get("not_before")?,
        not_after: row.get("not_after")?,
        policy_hash: row.get("policy_hash")?,
        created_at: row.get("created_at")?,
        expires_at: row.get("expires_at")?,
        request: row.get::<_, Json<Request>>("request")?.0,
        renewal_of: row.get("renewal_of")?,
        revoke_after: duration(row, "revoke_after")?,
        pending_id: row.get("pending_id")?,
    })
}
