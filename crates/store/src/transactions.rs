use assay_audit::Draft;
use assay_types::{Hash, Serial, Timestamp};
use rusqlite::{Row, params};

use crate::sql::{Connection, content};
use crate::{CertificateState, Store, StoreError, audit};

/// What makes a transaction: an ID alone is the client's choice, and clients derive it from their key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TransactionKey {
    /// Names the CA, short and stable.
    pub ca_id: String,
    /// SHA-256 of the DER SubjectPublicKeyInfo of the pkiMessage's signer.
    pub signer_spki_sha256: Hash,
    /// RFC 8894 section 3.2.1.1.
    pub transaction_id: String,
}

/// A transaction as it is kept: the latest request permitted under its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionRow {
    /// SHA-256 of the pkiMessage.
    pub request_digest: Hash,
    /// SHA-256 of the CSR.
    pub csr_digest: Hash,
    /// How far it has come.
    pub state: CertificateState,
    /// Of its certificate or intent.
    pub serial: Serial,
    /// The CertRep sent, unless it was pruned or never sent.
    pub cert_rep: Option<Vec<u8>>,
    /// When the request came.
    pub created_at: Timestamp,
}

/// A CertRep as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Of the certificate in it.
    pub serial: Serial,
    /// DER.
    pub cert_rep: Vec<u8>,
}

impl Store {
    /// The CertRep that answered the byte-identical pkiMessage.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn find_reply(&self, request_digest: Hash) -> Result<Option<Reply>, StoreError> {
        self.read(move |connection| {
            let found = connection.find(
                "SELECT r.serial, r.digest, f.cert_rep FROM replies r
                 LEFT JOIN file.reply_contents f ON f.position = r.position
                 WHERE r.request_digest = ?1",
                [request_digest],
                |row| Ok((row.get(0)?, reply(row)?)),
            )?;
            Ok(found.and_then(|(serial, cert_rep)| {
                let cert_rep = cert_rep?;
                Some(Reply { serial, cert_rep })
            }))
        })
        .await
    }

    /// Keeps a CertRep made for a certificate issued before: after recovery, or for an equal CSR in another message. The
    /// first CertRep kept for a message stays.
    ///
    /// # Errors
    /// Where it is not on disk.
    pub async fn store_reply(
        &self,
        request_digest: Hash,
        reply: Reply,
        stored_at: Timestamp,
        audit: Vec<Draft>,
    ) -> Result<u64, StoreError> {
        self.write(move |connection| {
            keep_reply(
                connection,
                &request_digest,
                &reply.serial,
                &reply.cert_rep,
                stored_at,
            )?;
            audit::append(connection, audit)
        })
        .await
    }
}

/// The transaction under `key`.
pub(crate) fn find(
    connection: &Connection,
    key: &TransactionKey,
) -> Result<Option<TransactionRow>, StoreError> {
    connection.find(
        "SELECT t.*, c.state, r.digest, f.cert_rep FROM transactions t
         JOIN certificates c ON c.serial = t.serial
         LEFT JOIN replies r ON r.request_digest = t.request_digest
         LEFT JOIN file.reply_contents f ON f.position = r.position
         WHERE t.ca_id = ?1 AND t.signer_spki_sha256 = ?2 AND t.transaction_id = ?3",
        params![key.ca_id, key.signer_spki_sha256, key.transaction_id],
        read,
    )
}

/// Binds `key` to its latest request; one that was bound before is superseded.
pub(crate) fn bind(
    connection: &Connection,
    key: &TransactionKey,
    request_digest: &Hash,
    csr_digest: &Hash,
    serial: &Serial,
    now: Timestamp,
) -> Result<(), StoreError> {
    connection.change(
        "INSERT INTO transactions (ca_id, signer_spki_sha256, transaction_id,
                                   request_digest, csr_digest, serial, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT (ca_id, signer_spki_sha256, transaction_id) DO UPDATE SET
             request_digest = excluded.request_digest, csr_digest = excluded.csr_digest,
             serial = excluded.serial, created_at = excluded.created_at",
        params![
            key.ca_id,
            key.signer_spki_sha256,
            key.transaction_id,
            request_digest,
            csr_digest,
            serial,
            now
        ],
    )?;
    Ok(())
}

pub(crate) fn keep_reply(
    connection: &Connection,
    request_digest: &Hash,
    serial: &Serial,
    cert_rep: &[u8],
    stored_at: Timestamp,
) -> Result<(), StoreError> {
    let new = connection.change_one(
        "INSERT INTO replies (request_digest, serial, digest, stored_at)
         VALUES (?1, ?2, ?3, ?4) ON CONFLICT (request_digest) DO NOTHING",
        params![request_digest, serial, Hash::of(cert_rep), stored_at],
    )?;
    if new {
        connection.insert_into_file(
            "INSERT OR REPLACE INTO file.reply_contents (position, cert_rep) VALUES (?1, ?2)",
            params![connection.last_insert_rowid(), cert_rep],
        )?;
    }
    Ok(())
}

fn reply(row: &Row<'_>) -> rusqlite::Result<Option<Vec<u8>>> {
    content("a stored reply", row.get("digest")?, row.get("cert_rep")?)
}

fn read(row: &Row<'_>) -> rusqlite::Result<TransactionRow> {
    Ok(TransactionRow {
        request_digest: row.get("request_digest")?,
        csr_digest: row.get("csr_digest")?,
        state: row.get("state")?,
        serial: row.get("serial")?,
        cert_rep: reply(row)?,
        created_at: row.get("created_at")?,
    })
}
