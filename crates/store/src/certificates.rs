use assay_types::{Hash, Serial, Timestamp};
use rusqlite::{Row, params};

use crate::page::{before, page};
use crate::sql::{Connection, Texts, content, text_column};
use crate::{CrlReason, Page, Span, Store, StoreError};

/// How far a serial has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateState {
    /// Permitted, not known to be signed.
    Intent,
    /// Signed.
    Issued,
    /// Given up; counts as issued and revoked.
    Abandoned,
    /// Signed, and known from the journal of the HSM service alone; revoked for good.
    Imported,
    /// Signed, or asked for, and taken up from the journal of the HSM service when the state was recovered from a backup.
    Recovered,
}

text_column!(CertificateState {
    Intent = "intent",
    Issued = "issued",
    Abandoned = "abandoned",
    Imported = "imported",
    Recovered = "recovered",
});

/// The state of a certificate, as relying parties see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateStatus {
    /// Permitted, not known to be signed.
    Intent,
    /// Signed, and not revoked.
    Issued,
    /// Revoked until it is released.
    Held,
    /// Revoked for good.
    Revoked,
    /// Given up; counts as issued and revoked.
    Abandoned,
    /// Signed, and known from the journal of the HSM service alone; revoked for good.
    Imported,
    /// Signed, taken up when the state was recovered from a backup, and not revoked.
    Recovered,
}

text_column!(CertificateStatus {
    Intent = "intent",
    Issued = "issued",
    Held = "held",
    Revoked = "revoked",
    Abandoned = "abandoned",
    Imported = "imported",
    Recovered = "recovered",
});

/// [`CertificateRow::status`] in SQL; `revocation_reason` 6 is certificateHold.
const STATUS: &str = "CASE WHEN state NOT IN ('issued', 'recovered') THEN state WHEN revocation_reason = 6 THEN 'held'
     WHEN revoked_at IS NOT NULL THEN 'revoked' ELSE state END";

/// Which certificates are listed. What is not set filters nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CertificateQuery {
    /// Profile that permitted it.
    pub profile: Option<String>,
    /// Its status; without it intents are left out.
    pub status: Option<CertificateStatus>,
    /// RFC 4514 text.
    pub subject: Option<String>,
    /// One of its typed subject alternative names.
    pub san: Option<String>,
    /// Its serial.
    pub serial: Option<Serial>,
    /// transactionID of the pkiMessage.
    pub transaction_id: Option<String>,
    /// When it was issued or given up.
    pub closed: Span,
    /// Only those before this position.
    pub before: Option<u64>,
    /// Rows of the page; at most [`crate::MAX_ROWS`], and 0 for as many.
    pub rows: u32,
}

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
    /// Profile that permitted it; empty if it was imported or recovered.
    pub profile: String,
    /// RFC 4514 text.
    pub subject: String,
    /// Typed subject alternative names.
    pub sans: Vec<String>,
    /// notBefore.
    pub not_before: Timestamp,
    /// notAfter.
    pub not_after: Timestamp,
    /// When it was issued, given up, imported or recovered; `None` while its intent is open.
    pub closed_at: Option<Timestamp>,
    /// DER; `None` unless issued or imported, or recovered with its signature.
    pub der: Option<Vec<u8>>,
    /// SHA-256 of `der`.
    pub sha256: Option<Hash>,
    /// transactionID of the pkiMessage; empty if it was imported or recovered.
    pub transaction_id: String,
    /// Model hash of the policy that permitted it; `None` if it was imported or recovered.
    pub policy_hash: Option<Hash>,
    /// Since when it is revoked or on hold.
    pub revoked_at: Option<Timestamp>,
    /// Why; `None` also for an intent that was given up.
    pub revocation_reason: Option<CrlReason>,
    /// When it is to be revoked.
    pub revoke_at: Option<Timestamp>,
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

    /// The CA of a certificate. Unlike [`Store::find_certificate`], this reads nothing that is on disk alone.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn ca_of(&self, serial: Serial) -> Result<Option<String>, StoreError> {
        let ca = "SELECT ca_id FROM certificates WHERE serial = ?1";
        self.read(move |connection| connection.find(ca, [serial], |row| row.get(0)))
            .await
    }

    /// A page of the issued index, newest first. Serial, transaction, subject and profile go by an index each.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn list_certificates(
        &self,
        query: CertificateQuery,
    ) -> Result<Page<CertificateRow>, StoreError> {
        self.read(move |connection| list(connection, query)).await
    }
}

impl Store {
    /// Which of these certificates, each a serial number and the digest of a TBSCertificate, no permit was ever recorded for.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn without_permit(
        &self,
        certificates: Vec<(Serial, Hash)>,
    ) -> Result<Vec<Serial>, StoreError> {
        const PERMITTED: &str = "SELECT 1 FROM certificates WHERE serial = ?1 AND tbs_digest = ?2";
        self.read(move |connection| {
            let mut unknown = Vec::new();
            for (serial, tbs) in certificates {
                let found = connection.find(PERMITTED, params![serial, tbs], |_| Ok(()))?;
                if found.is_none() {
                    unknown.push(serial);
                }
            }
            Ok(unknown)
        })
        .await
    }
}

impl CertificateRow {
    /// State and revocation in one.
    pub fn status(&self) -> CertificateStatus {
        match (self.state, self.revocation_reason) {
            (CertificateState::Intent, _) => CertificateStatus::Intent,
            (CertificateState::Abandoned, _) => CertificateStatus::Abandoned,
            (CertificateState::Imported, _) => CertificateStatus::Imported,
            (
                CertificateState::Issued | CertificateState::Recovered,
                Some(CrlReason::CertificateHold),
            ) => CertificateStatus::Held,
            (CertificateState::Issued | CertificateState::Recovered, _)
                if self.revoked_at.is_some() =>
            {
                CertificateStatus::Revoked
            }
            (CertificateState::Issued, _) => CertificateStatus::Issued,
            (CertificateState::Recovered, _) => CertificateStatus::Recovered,
        }
    }
}

fn list(
    connection: &Connection,
    query: CertificateQuery,
) -> Result<Page<CertificateRow>, StoreError> {
    let sql = list_sql(&query);
    let CertificateQuery {
        profile,
        status,
        subject,
        san,
        serial,
        transaction_id,
        closed: Span { from, to },
        before: end,
        rows,
    } = query;
    let end = before(end);
    let params = params![
        profile,
        status,
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
}

/// By the index of the filter that leaves the fewest rows.
fn list_sql(query: &CertificateQuery) -> String {
    let index = if query.serial.is_some() {
        "serial = ?5"
    } else if query.transaction_id.is_some() {
        "transaction_id = ?6"
    } else if query.subject.is_some() {
        "subject = ?3"
    } else if query.profile.is_some() {
        "profile = ?1"
    } else {
        "true"
    };
    format!(
        "SELECT {COLUMNS},
             (?1 IS NULL OR profile = ?1)
             AND iif(?2 IS NULL, state <> 'intent', {STATUS} = ?2)
             AND (?3 IS NULL OR subject = ?3)
             AND (?4 IS NULL OR EXISTS (SELECT 1 FROM main.json_each(sans) WHERE value = ?4))
             AND (?5 IS NULL OR serial = ?5)
             AND (?6 IS NULL OR transaction_id = ?6)
             AND (?7 IS NULL OR coalesce(closed_at >= ?7, false))
             AND (?8 IS NULL OR coalesce(closed_at < ?8, false)) AS hit
         FROM certificates WHERE {index} AND position < ?9 ORDER BY position DESC"
    )
}

/// The certificates that a CA has issued and answers for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Census {
    /// Certificates that are neither expired nor revoked.
    pub in_force: u64,
    /// When the last of them ends; `None` where there is none.
    pub last_not_after: Option<Timestamp>,
}

impl Store {
    /// Counts the CA's certificates in force at `now`. Looks at all of them.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn census(&self, ca_id: String, now: Timestamp) -> Result<Census, StoreError> {
        self.read(move |connection| {
            let found = connection.find(
                "SELECT count(*), max(not_after) FROM certificates
                 WHERE ca_id = ?1 AND state IN ('issued', 'recovered') AND revoked_at IS NULL AND not_after >= ?2",
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

/// Keeps the DER of a certificate, whose digest is in its row.
pub(crate) fn keep(connection: &Connection, serial: &Serial, der: &[u8]) -> Result<(), StoreError> {
    connection.insert_into_file(
        "INSERT OR REPLACE INTO file.certificate_contents (position, der)
         SELECT position, ?2 FROM certificates WHERE serial = ?1",
        params![serial, der],
    )?;
    Ok(())
}

/// The columns that [`read`] reads.
pub(crate) const COLUMNS: &str = "certificates.*, (SELECT f.der FROM file.certificate_contents f
     WHERE f.position = certificates.position) AS der";

pub(crate) fn find(
    connection: &Connection,
    serial: &Serial,
) -> Result<Option<CertificateRow>, StoreError> {
    connection.find(
        &format!("SELECT {COLUMNS} FROM certificates WHERE serial = ?1"),
        [serial],
        read,
    )
}

pub(crate) fn find_equal_csr(
    connection: &Connection,
    ca_id: &str,
    signer_spki_sha256: &Hash,
    csr_digest: &Hash,
    since: Timestamp,
) -> Result<Option<CertificateRow>, StoreError> {
    connection.find(
        &format!(
            "SELECT {COLUMNS} FROM certificates
             WHERE csr_digest = ?1 AND ca_id = ?2 AND signer_spki_sha256 = ?3 AND revoked_at IS NULL
                 AND (state = 'intent' OR (state = 'issued' AND closed_at >= ?4))
             ORDER BY position DESC LIMIT 1"
        ),
        params![csr_digest, ca_id, signer_spki_sha256, since],
        read,
    )
}

pub(crate) fn read(row: &Row<'_>) -> rusqlite::Result<CertificateRow> {
    let serial: Serial = row.get("serial")?;
    let sha256: Option<Hash> = row.get("sha256")?;
    let what = format_args!("the certificate {serial}");
    let der = content(what, sha256, row.get("der")?)?;
    Ok(CertificateRow {
        position: row.get::<_, i64>("position")?.cast_unsigned(),
        serial,
        state: row.get("state")?,
        ca_id: row.get("ca_id")?,
        profile: row.get::<_, Option<_>>("profile")?.unwrap_or_default(),
        subject: row.get("subject")?,
        sans: row.get::<_, Texts>("sans")?.0,
        not_before: row.get("not_before")?,
        not_after: row.get("not_after")?,
        closed_at: row.get("closed_at")?,
        der,
        sha256,
        transaction_id: row
            .get::<_, Option<_>>("transaction_id")?
            .unwrap_or_default(),
        policy_hash: row.get("policy_hash")?,
        revoked_at: row.get("revoked_at")?,
        revocation_reason: row.get("revocation_reason")?,
        revoke_at: row.get("revoke_at")?,
        renewal_of: row.get("renewal_of")?,
        superseded_by: row.get("superseded_by")?,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

    use super::*;

    #[test]
    fn a_list_goes_by_the_index_of_its_narrowest_filter_and_sorts_nothing() {
        let connection = crate::store::scratch();
        let mut query = CertificateQuery::default();
        let mut plan = |change: &dyn Fn(&mut CertificateQuery)| {
            change(&mut query);
            let sql = format!("EXPLAIN QUERY PLAN {}", list_sql(&query));
            let mut statement = connection.prepare(&sql).unwrap();
            let values: [Option<i64>; 9] = [None; 9];
            let params = rusqlite::params_from_iter(values);
            let lines = statement.query_map(params, |row| row.get::<_, String>("detail"));
            let lines: Vec<_> = lines.unwrap().map(Result::unwrap).collect();
            assert!(
                lines.iter().all(|line| !line.contains("TEMP B-TREE")),
                "{lines:?}"
            );
            lines.first().unwrap().clone()
        };
        for (found, index) in [
            (plan(&|_| {}), "INTEGER PRIMARY KEY"),
            (
                plan(&|query| query.profile = Some("devices".to_owned())),
                "certificates_of_profile ",
            ),
            (
                plan(&|query| query.subject = Some("CN=a".to_owned())),
                "certificates_of_subject ",
            ),
            (
                plan(&|query| query.transaction_id = Some("t".to_owned())),
                "certificates_of_transaction ",
            ),
            (
                plan(&|query| query.serial = "01".parse().ok()),
                "sqlite_autoindex_certificates_1 ",
            ),
        ] {
            assert!(format!("{found} ").contains(index), "{index}: {found}");
        }
    }
}
