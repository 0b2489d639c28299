use assay_types::{CertIdHash, Hash, Serial, Timestamp};
use rusqlite::{Row, params};

use crate::sql::{Connection, content};
use crate::{CrlReason, PRUNE_BATCH, Store, StoreError};

/// Certificates that one step of [`Store::seed_ocsp`] looks at, so that no enrolment waits long for it.
const SEED_BATCH: u32 = 2_000;

/// As the schema's trigger writes it into `refresh_at`.
const CHANGED: Timestamp = Timestamp::from_seconds(0);

/// A certificate whose response is to be signed now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueResponse {
    /// Of the certificate.
    pub serial: Serial,
    /// Of the status, for [`SignedResponse`].
    pub version: i64,
    /// Whether somebody waits for it: its status changed since the last one.
    pub changed: bool,
    /// Time and reason, where it is revoked, on hold or given up.
    pub revoked: Option<(Timestamp, CrlReason)>,
}

/// A response to be kept: a BasicOCSPResponse (RFC 6960 section 4.2.1) without certificates, for each hash algorithm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedResponse {
    /// Of the certificate.
    pub serial: Serial,
    /// As in [`DueResponse`].
    pub version: i64,
    /// DER, for a CertID of SHA-1.
    pub sha1: Vec<u8>,
    /// DER, for a CertID of SHA-256; `None` where none is signed.
    pub sha256: Option<Vec<u8>>,
    /// thisUpdate.
    pub this_update: Timestamp,
    /// nextUpdate.
    pub next_update: Timestamp,
    /// When it is due again.
    pub refresh_at: Timestamp,
}

/// What is known of a serial to whoever asks for its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OcspFound {
    /// No unexpired certificate of this CA, or no response for this hash algorithm.
    Unknown,
    /// Its response is not signed yet, or its status changed and the new one is not.
    Waiting,
    /// The response.
    Signed(OcspRow),
}

/// A response as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OcspRow {
    /// DER BasicOCSPResponse without certificates.
    pub response: Vec<u8>,
    /// DER of the responder that signed it.
    pub certificate: Vec<u8>,
    /// thisUpdate.
    pub this_update: Timestamp,
    /// nextUpdate.
    pub next_update: Timestamp,
}

/// How the responses of a CA stand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OcspCounts {
    /// Unexpired certificates with a response or a wish for one.
    pub all: u64,
    /// Of them those without a response: never signed, or signed for a status that changed.
    pub waiting: u64,
    /// Of them those that are to be signed by now, the waiting ones included.
    pub due: u64,
    /// nextUpdate of the response that is due the longest; `None` where none is signed.
    pub next_update: Option<Timestamp>,
}

impl Store {
    /// Notes the responder of a CA by its certificate and SHA-256; certificates issued from now on wait for a response.
    ///
    /// # Errors
    /// Where it is not on disk.
    pub async fn enable_ocsp(
        &self,
        ca_id: String,
        sha256: Hash,
        certificate: Vec<u8>,
    ) -> Result<(), StoreError> {
        self.write(move |connection| {
            connection.change(
                "INSERT OR IGNORE INTO ocsp_responders (sha256, ca_id, certificate) VALUES (?1, ?2, ?3)",
                params![sha256, ca_id, certificate],
            )?;
            Ok(())
        })
        .await
    }

    /// Forgets all responses and responders.
    ///
    /// # Errors
    /// Where it is not on disk.
    pub async fn disable_ocsp(&self) -> Result<(), StoreError> {
        self.write(|connection| {
            connection.change("DELETE FROM ocsp_responses", &[])?;
            connection.change("DELETE FROM ocsp_responders", &[])?;
            connection.write_file("DELETE FROM file.ocsp_contents", [])?;
            Ok(())
        })
        .await
    }

    /// Has the CA's certificates of before wait for a response, some after the position `after` (0 for the first) at a
    /// time; those that do already are left. Returns the position to continue after, `None` past the last.
    ///
    /// # Errors
    /// Where it is not on disk.
    pub async fn seed_ocsp(
        &self,
        ca_id: String,
        after: i64,
        now: Timestamp,
    ) -> Result<Option<i64>, StoreError> {
        self.write(move |connection| {
            let last = connection.find(
                "SELECT max(position) FROM (SELECT position FROM certificates WHERE position > ?1
                                            ORDER BY position LIMIT ?2)",
                params![after, SEED_BATCH],
                |row| row.get::<_, Option<i64>>(0),
            )?;
            let Some(last) = last.flatten() else {
                return Ok(None);
            };
            connection.change(
                "INSERT OR IGNORE INTO ocsp_responses (serial, ca_id, not_after, refresh_at)
                 SELECT serial, ca_id, not_after, 1 FROM certificates
                 WHERE position > ?1 AND position <= ?2 AND ca_id = ?3 AND not_after >= ?4
                     AND (state IN ('issued', 'recovered') OR revoked_at IS NOT NULL)",
                params![after, last, ca_id, now],
            )?;
            Ok(Some(last))
        })
        .await
    }

    /// The CA's responses that are to be signed now, at most `limit`: those whose status changed, those never signed, then
    /// the longest due.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn due_ocsp(
        &self,
        ca_id: String,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<DueResponse>, StoreError> {
        self.read(move |connection| {
            connection.list(
                "SELECT o.serial, o.version, o.refresh_at, c.revoked_at, c.revocation_reason
                 FROM ocsp_responses o JOIN certificates c ON c.serial = o.serial
                 WHERE o.ca_id = ?1 AND o.refresh_at <= ?2 AND o.not_after >= ?2
                 ORDER BY o.refresh_at LIMIT ?3",
                params![ca_id, now, limit],
                read_due,
            )
        })
        .await
    }

    /// One of them, due or not; `None` where the serial waits for no response.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn due_ocsp_of(&self, serial: Serial) -> Result<Option<DueResponse>, StoreError> {
        self.read(move |connection| {
            connection.find(
                "SELECT o.serial, o.version, o.refresh_at, c.revoked_at, c.revocation_reason
                 FROM ocsp_responses o JOIN certificates c ON c.serial = o.serial
                 WHERE o.serial = ?1",
                [serial],
                read_due,
            )
        })
        .await
    }

    /// Keeps responses of one responder, but for those whose status changed since they were due. Returns how many it kept.
    ///
    /// # Errors
    /// Where they are not on disk; then none of them must be handed out.
    pub async fn keep_ocsp(
        &self,
        responder: Hash,
        signed: Vec<SignedResponse>,
    ) -> Result<usize, StoreError> {
        self.write_urgently(move |connection| {
            let mut kept = 0;
            for one in signed {
                let is_kept = connection.change_one(
                    "UPDATE ocsp_responses SET responder = ?3, sha1 = ?4, sha256 = ?5, this_update = ?6,
                         next_update = ?7, refresh_at = ?8
                     WHERE serial = ?1 AND version = ?2",
                    params![
                        one.serial,
                        one.version,
                        responder,
                        Hash::of(&one.sha1),
                        one.sha256.as_deref().map(Hash::of),
                        one.this_update,
                        one.next_update,
                        one.refresh_at
                    ],
                )?;
                if is_kept {
                    kept += 1;
                    connection.insert_into_file(
                        "INSERT OR REPLACE INTO file.ocsp_contents (serial, sha1, sha256)
                         VALUES (?1, ?2, ?3)",
                        params![one.serial, one.sha1, one.sha256],
                    )?;
                }
            }
            Ok(kept)
        })
        .await
    }

    /// Puts off to `until` what cannot be signed now, unless its status changed since it was due.
    ///
    /// # Errors
    /// Where it is not on disk.
    pub async fn defer_ocsp(&self, due: DueResponse, until: Timestamp) -> Result<(), StoreError> {
        self.write(move |connection| {
            connection.change(
                "UPDATE ocsp_responses SET refresh_at = ?3 WHERE serial = ?1 AND version = ?2",
                params![due.serial, due.version, until],
            )?;
            Ok(())
        })
        .await
    }

    /// The response for a certificate of the CA that has not expired at `now`.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn find_ocsp(
        &self,
        ca_id: String,
        serial: Serial,
        hash: CertIdHash,
        now: Timestamp,
    ) -> Result<OcspFound, StoreError> {
        self.read(move |connection| {
            let found = connection.find(
                "SELECT o.sha1, o.sha256, o.this_update, o.next_update, r.certificate,
                     f.sha1 AS by_sha1, f.sha256 AS by_sha256
                 FROM ocsp_responses o LEFT JOIN ocsp_responders r ON r.sha256 = o.responder
                 LEFT JOIN file.ocsp_contents f ON f.serial = o.serial
                 WHERE o.serial = ?1 AND o.ca_id = ?2 AND o.not_after >= ?3",
                params![&serial, &ca_id, now],
                |row| read_found(row, hash, now),
            )?;
            match found {
                Some(found) => Ok(found),
                None => without_row(connection, &serial, &ca_id, now),
            }
        })
        .await
    }

    /// How the responses of the CA stand at `now`.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn count_ocsp(
        &self,
        ca_id: String,
        now: Timestamp,
    ) -> Result<OcspCounts, StoreError> {
        self.read(move |connection| {
            let all = count(connection, &ca_id, Timestamp::MAX)?;
            let due = count(connection, &ca_id, now)?;
            let waiting = connection.find(
                "SELECT count(*) FROM ocsp_responses WHERE ca_id = ?1 AND sha1 IS NULL",
                [&ca_id],
                |row| row.get::<_, i64>(0),
            )?;
            let next_update = connection.find(
                "SELECT next_update FROM ocsp_responses WHERE ca_id = ?1 AND sha1 IS NOT NULL
                 ORDER BY refresh_at LIMIT 1",
                [&ca_id],
                |row| row.get(0),
            )?;
            Ok(OcspCounts {
                all,
                waiting: waiting.unwrap_or_default().cast_unsigned(),
                due,
                next_update: next_update.flatten(),
            })
        })
        .await
    }

    /// Removes responses for certificates that expired before `now`, at most [`PRUNE_BATCH`]; returns how
    /// many.
    ///
    /// # Errors
    /// Where it is not on disk.
    pub async fn prune_ocsp(&self, now: Timestamp) -> Result<usize, StoreError> {
        self.write(move |connection| {
            let batch = params![now, PRUNE_BATCH];
            connection.write_file(
                "DELETE FROM file.ocsp_contents WHERE serial IN
                     (SELECT serial FROM ocsp_responses WHERE not_after < ?1 ORDER BY not_after LIMIT ?2)",
                batch,
            )?;
            connection.change(
                "DELETE FROM ocsp_responses WHERE serial IN
                     (SELECT serial FROM ocsp_responses WHERE not_after < ?1 ORDER BY not_after LIMIT ?2)",
                batch,
            )
        })
        .await
    }
}

/// Those to be signed again by `until`.
fn count(connection: &Connection, ca_id: &str, until: Timestamp) -> Result<u64, StoreError> {
    let found = connection.find(
        "SELECT count(*) FROM ocsp_responses WHERE ca_id = ?1 AND refresh_at <= ?2",
        params![ca_id, until],
        |row| row.get::<_, i64>(0),
    )?;
    Ok(found.unwrap_or_default().cast_unsigned())
}

fn read_due(row: &Row<'_>) -> rusqlite::Result<DueResponse> {
    let reason = row.get::<_, Option<CrlReason>>("revocation_reason")?;
    Ok(DueResponse {
        serial: row.get("serial")?,
        version: row.get("version")?,
        changed: row.get::<_, Timestamp>("refresh_at")? == CHANGED,
        revoked: row
            .get::<_, Option<Timestamp>>("revoked_at")?
            .map(|at| (at, reason.unwrap_or(CrlReason::Unspecified))),
    })
}

/// A certificate whose turn in [`Store::seed_ocsp`] is yet to come is known all the same: its response waits.
fn without_row(
    connection: &Connection,
    serial: &Serial,
    ca_id: &str,
    now: Timestamp,
) -> Result<OcspFound, StoreError> {
    let known = connection.find(
        "SELECT 1 FROM certificates
         WHERE serial = ?1 AND ca_id = ?2 AND not_after >= ?3
             AND (state IN ('issued', 'recovered') OR revoked_at IS NOT NULL)
             AND EXISTS (SELECT 1 FROM ocsp_responders WHERE ca_id = ?2)",
        params![serial, ca_id, now],
        |_| Ok(()),
    )?;
    Ok(known.map_or(OcspFound::Unknown, |()| OcspFound::Waiting))
}

fn read_found(row: &Row<'_>, hash: CertIdHash, now: Timestamp) -> rusqlite::Result<OcspFound> {
    let signed_at: Option<Timestamp> = row.get("this_update")?;
    let next_update: Option<Timestamp> = row.get("next_update")?;
    let (digest, found) = match hash {
        CertIdHash::Sha1 => ("sha1", "by_sha1"),
        CertIdHash::Sha256 => ("sha256", "by_sha256"),
    };
    let response = content("an OCSP response", row.get(digest)?, row.get(found)?)?;
    Ok(match (signed_at, next_update, response) {
        // Signed, but not for CertIDs of this hash algorithm.
        (Some(_), _, None) => OcspFound::Unknown,
        (Some(this_update), Some(next_update), Some(response)) if next_update > now => {
            OcspFound::Signed(OcspRow {
                response,
                certificate: row.get("certificate")?,
                this_update,
                next_update,
            })
        }
        _ => OcspFound::Waiting,
    })
}
