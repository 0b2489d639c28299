use rusqlite::{Connection, Row, params};

use crate::sql::{Sql, Texts, limit, text_column};
use crate::{CrlReason, Serial, Store, StoreError};

/// How far a serial has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateState {
    /// Permitted, not known to be signed.
    Intent,
    /// Signed.
    Issued,
    /// Given up; counts as issued and revoked.
    Abandoned,
}

text_column!(CertificateState { Intent = "intent", Issued = "issued", Abandoned = "abandoned" });

/// An entry of the issued index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateRow {
    /// Order of the permits, from 1.
    pub position: u64,
    /// Unique for the CA.
    pub serial: Serial,
    /// How far it has come.
    pub state: CertificateState,
    /// The CA.
    pub ca_id: String,
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
    /// Unix seconds at which it was issued or given up; `None` while its intent is open.
    pub closed_at: Option<i64>,
    /// DER; `None` unless issued.
    pub der: Option<Vec<u8>>,
    /// SHA-256 of `der`.
    pub sha256: Option<[u8; 32]>,
    /// SHA-256 of the SubjectPublicKeyInfo that signed the pkiMessage.
    pub signer_spki_sha256: [u8; 32],
    /// transactionID of the pkiMessage.
    pub transaction_id: String,
    /// Model hash of the policy that permitted it.
    pub policy_hash: [u8; 32],
    /// Unix seconds since which it is revoked or on hold.
    pub revoked_at: Option<i64>,
    /// Why; `None` also for an intent that was given up.
    pub revocation_reason: Option<CrlReason>,
    /// Unix seconds at which it is to be revoked.
    pub revoke_at: Option<i64>,
    /// The certificate that it renews.
    pub renewal_of: Option<Serial>,
    /// The latest certificate that renewed it.
    pub superseded_by: Option<Serial>,
}

impl Store {
    /// The entry with this serial.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn find_certificate(
        &self,
        serial: Serial,
    ) -> Result<Option<CertificateRow>, StoreError> {
        self.read(move |connection| find(connection, &serial)).await
    }

    /// Issued and abandoned ones before position `before` (0 for all), newest first, of one profile if asked; at most
    /// [`crate::MAX_ROWS`].
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn list_certificates(
        &self,
        profile: Option<String>,
        before: u64,
        asked: u32,
    ) -> Result<Vec<CertificateRow>, StoreError> {
        const ALL: &str = "SELECT * FROM certificates
             WHERE position < ?1 AND state <> 'intent' ORDER BY position DESC LIMIT ?2";
        const OF_PROFILE: &str = "SELECT * FROM certificates
             WHERE position < ?1 AND state <> 'intent' AND profile = ?3
             ORDER BY position DESC LIMIT ?2";
        let before = i64::try_from(before)
            .ok()
            .filter(|before| *before > 0)
            .unwrap_or(i64::MAX);
        let limit = limit(asked);
        self.read(move |connection| match profile {
            None => connection.list(ALL, params![before, limit], read),
            Some(profile) => connection.list(OF_PROFILE, params![before, limit, profile], read),
        })
        .await
    }
}

/// What a CA has issued and answers for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Census {
    /// Certificates that are neither expired nor revoked.
    pub in_force: u64,
    /// Unix seconds at which the last of them ends; `None` where there is none.
    pub last_not_after: Option<i64>,
}

impl Store {
    /// Counts the CA's certificates in force at `now` (Unix seconds). Looks at all of them.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn census(&self, ca_id: String, now: i64) -> Result<Census, StoreError> {
        self.read(move |connection| {
            let found = connection.find(
                "SELECT count(*), max(not_after) FROM certificates
                 WHERE ca_id = ?1 AND state = 'issued' AND revoked_at IS NULL AND not_after >= ?2",
                params![ca_id, now],
                |row| {
                    Ok(Census {
                        in_force: row.get::<_, i64>(0)?.cast_unsigned(),
                        last_not_after: row.get(1)?,
                    })
                },
            )?;
            Ok(found.unwrap_or_default())
        })
        .await
    }
}

pub(crate) fn find(
    connection: &Connection,
    serial: &Serial,
) -> Result<Option<CertificateRow>, StoreError> {
    connection.find(
        "SELECT * FROM certificates WHERE serial = ?1",
        [serial],
        read,
    )
}

pub(crate) fn find_equal_csr(
    connection: &Connection,
    ca_id: &str,
    signer_spki_sha256: &[u8; 32],
    csr_digest: &[u8; 32],
    since: i64,
) -> Result<Option<CertificateRow>, StoreError> {
    connection.find(
        "SELECT * FROM certificates
         WHERE csr_digest = ?1 AND ca_id = ?2 AND signer_spki_sha256 = ?3 AND revoked_at IS NULL
             AND (state = 'intent' OR closed_at >= ?4)
         ORDER BY position DESC LIMIT 1",
        params![csr_digest, ca_id, signer_spki_sha256, since],
        read,
    )
}

pub(crate) fn read(row: &Row<'_>) -> rusqlite::Result<CertificateRow> {
    Ok(CertificateRow {
        position: row.get::<_, i64>("position")?.cast_unsigned(),
        serial: row.get("serial")?,
        state: row.get("state")?,
        ca_id: row.get("ca_id")?,
        profile: row.get("profile")?,
        subject: row.get("subject")?,
        sans: row.get::<_, Texts>("sans")?.0,
        not_before: row.get("not_before")?,
        not_after: row.get("not_after")?,
        closed_at: row.get("closed_at")?,
        der: row.get("der")?,
        sha256: row.get("sha256")?,
        signer_spki_sha256: row.get("signer_spki_sha256")?,
        transaction_id: row.get("transaction_id")?,
        policy_hash: row.get("policy_hash")?,
        revoked_at: row.get("revoked_at")?,
        revocation_reason: row.get("revocation_reason")?,
        revoke_at: row.get("revoke_at")?,
        renewal_of: row.get("renewal_of")?,
        superseded_by: row.get("superseded_by")?,
    })
}
