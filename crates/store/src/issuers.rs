use assay_types::{Hash, Timestamp};
use rusqlite::{Row, params};

use crate::sql::{Connection, MAX_ROWS};
use crate::{Store, StoreError};

/// A CA that issues here, or did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerRow {
    /// SHA-256 of its SubjectPublicKeyInfo, hex, as certificates name their CA.
    pub ca_id: String,
    /// DER: the CA certificate, then those above it.
    pub certificates: Vec<Vec<u8>>,
    /// When it was first kept.
    pub since: Timestamp,
}

impl Store {
    /// Keeps a CA for good. One whose certificate is kept already stays in its place, with the certificates above it as they
    /// are given now; a renewed certificate of the same key is one of its own. Returns whether it was new. Without a
    /// certificate nothing is kept.
    ///
    /// # Errors
    /// Where it is not on disk; then nothing must be issued under it.
    pub async fn keep_issuer(&self, issuer: IssuerRow) -> Result<bool, StoreError> {
        let Some(certificate) = issuer.certificates.first() else {
            return Ok(false);
        };
        let sha256 = Hash::of(certificate);
        self.write(move |connection| {
            let new = connection.change(
                "INSERT INTO issuers (sha256, ca_id, since) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
                params![sha256, issuer.ca_id, issuer.since],
            )?;
            connection.change(
                "DELETE FROM issuer_certificates WHERE issuer = ?1",
                params![sha256],
            )?;
            for (place, certificate) in (0_i64..).zip(&issuer.certificates) {
                connection.change(
                    "INSERT INTO issuer_certificates (issuer, place, certificate) VALUES (?1, ?2, ?3)",
                    params![sha256, place, certificate],
                )?;
            }
            Ok(new == 1)
        })
        .await
    }

    /// Every CA, in the order in which they were kept; at most [`MAX_ROWS`].
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn issuers(&self) -> Result<Vec<IssuerRow>, StoreError> {
        self.read(|connection| {
            let list = format!("SELECT * FROM issuers ORDER BY position LIMIT {MAX_ROWS}");
            let rows = connection.list(&list, [], read)?;
            rows.into_iter()
                .map(|(sha256, row)| whole(connection, sha256, row))
                .collect()
        })
        .await
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<(Hash, IssuerRow)> {
    let issuer = IssuerRow {
        ca_id: row.get("ca_id")?,
        certificates: Vec::new(),
        since: row.get("since")?,
    };
    Ok((row.get("sha256")?, issuer))
}

fn whole(connection: &Connection, sha256: Hash, row: IssuerRow) -> Result<IssuerRow, StoreError> {
    let certificates = connection.list(
        "SELECT certificate FROM issuer_certificates WHERE issuer = ?1 ORDER BY place",
        [sha256],
        |row| row.get(0),
    )?;
    Ok(IssuerRow {
        certificates,
        ..row
    })
}
