use assay_audit::Draft;
use assay_types::{Hash, Serial, Timestamp};
use rusqlite::params;

use crate::{CrlReason, Store, StoreError, audit, certificates, crls};

/// A certificate that only the journal of the HSM service knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewImport {
    /// Its serial.
    pub serial: Serial,
    /// The CA that signed it.
    pub ca_id: String,
    /// RFC 4514 text.
    pub subject: String,
    /// Typed subject alternative names.
    pub sans: Vec<String>,
    /// notBefore.
    pub not_before: Timestamp,
    /// notAfter.
    pub not_after: Timestamp,
    /// SHA-256 of its TBSCertificate.
    pub tbs_digest: Hash,
    /// DER.
    pub der: Vec<u8>,
}

/// The outcome of an import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImportOutcome {
    /// Now in the index, and revoked.
    Imported,
    /// The index has this serial already; nothing changed.
    Known {
        /// The CA of the entry that has it.
        ca_id: String,
    },
}

impl Store {
    /// Enters a certificate into the index and revokes it for good at `at`, in one transaction. `audit` is appended only if
    /// that happened.
    ///
    /// # Errors
    /// Where it is not on disk, and [`StoreError::CrlTooLong`] where no CRL could list it. With [`CrlReason::CertificateHold`] it
    /// never is.
    pub async fn import_revoked(
        &self,
        new: NewImport,
        reason: CrlReason,
        at: Timestamp,
        audit: Vec<Draft>,
    ) -> Result<ImportOutcome, StoreError> {
        self.write_urgently(move |connection| {
            if let Some(row) = certificates::find(connection, &new.serial)? {
                return Ok(ImportOutcome::Known { ca_id: row.ca_id });
            }
            crls::check_room(connection, &new.ca_id)?;
            connection.change(
                "INSERT INTO certificates (serial, state, ca_id, subject, sans, not_before, not_after, tbs_digest,
                     created_at, closed_at, sha256, revoked_at, revocation_reason)
                 VALUES (?1, 'imported', ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8, ?9, ?8, ?10)",
                params![
                    new.serial,
                    new.ca_id,
                    new.subject,
                    serde_json::to_string(&new.sans)?,
                    new.not_before,
                    new.not_after,
                    new.tbs_digest,
                    at,
                    Hash::of(&new.der),
                    reason,
                ],
            )?;
            certificates::keep(connection, &new.serial, &new.der)?;
            audit::append(connection, audit)?;
            Ok(ImportOutcome::Imported)
        })
        .await
    }
}
