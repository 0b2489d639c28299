use assay_audit::Draft;
use assay_types::{Hash, MAX_CRL_ENTRIES, Serial, Timestamp};
use rusqlite::{Row, params};

use crate::sql::{Connection, content};
use crate::{CrlReason, Store, StoreError, audit, tree};

/// Latest CRLs of a CA that are kept whole; of older ones the hash stays.
const KEPT_CRLS: i64 = 16;

/// A CRL to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCrl {
    /// The CA that signed it.
    pub ca_id: String,
    /// As by [`Store::next_crl_number`].
    pub number: u64,
    /// DER.
    pub der: Vec<u8>,
    /// thisUpdate.
    pub this_update: Timestamp,
    /// nextUpdate.
    pub next_update: Timestamp,
}

/// A CRL as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrlRow {
    /// CRL number of RFC 5280 section 5.2.3.
    pub number: u64,
    /// DER.
    pub der: Vec<u8>,
    /// SHA-256 of `der`.
    pub sha256: Hash,
    /// thisUpdate.
    pub this_update: Timestamp,
    /// nextUpdate.
    pub next_update: Timestamp,
}

/// Whether a CRL is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrlOutcome {
    /// On disk, and now the latest.
    Kept,
    /// Its number is not the next one: another CRL was faster. This one must not be handed out.
    Outrun {
        /// The next number.
        next: u64,
    },
}

/// One entry of a CRL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevokedEntry {
    /// Of the certificate.
    pub serial: Serial,
    /// When it was revoked.
    pub revoked_at: Timestamp,
    /// [`CrlReason::Unspecified`] for an intent that was given up.
    pub reason: CrlReason,
}

/// The entries of a CRL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevokedList {
    /// By serial.
    pub entries: Vec<RevokedEntry>,
    /// Sequence number of the newest audit record when they were read; 0 while there is none.
    pub covers: u64,
}

impl Store {
    /// The number of the CA's next CRL. To be asked before [`Store::revoked_entries`], so that no newer CRL can have older
    /// entries.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn next_crl_number(&self, ca_id: String) -> Result<u64, StoreError> {
        self.read(move |connection| next_number(connection, &ca_id))
            .await
    }

    /// The entries of the CA's next CRL: all that is revoked, on hold or given up and does not end before the thisUpdate of the latest
    /// CRL, so that what expired since then is listed once more (RFC 5280 section 3.3). Certificates that ended at `keep_since` or later stay as well.
    ///
    /// # Errors
    /// [`StoreError::CrlTooLong`] past [`MAX_CRL_ENTRIES`].
    pub async fn revoked_entries(
        &self,
        ca_id: String,
        keep_since: Option<Timestamp>,
    ) -> Result<RevokedList, StoreError> {
        self.read(move |connection| {
            // Nothing is committed while a reader is at work, so the two agree.
            let covers = tree::last_leaf(connection)?;
            let entries = connection.list(
                &format!(
                    "SELECT serial, revoked_at, revocation_reason FROM certificates
                     WHERE {LISTED} ORDER BY serial LIMIT ?3"
                ),
                params![
                    ca_id,
                    keep_since.unwrap_or(Timestamp::MAX),
                    MAX_CRL_ENTRIES + 1
                ],
                read_entry,
            )?;
            if entries.len() > MAX_CRL_ENTRIES as usize {
                return Err(StoreError::CrlTooLong { ca_id });
            }
            Ok(RevokedList { entries, covers })
        })
        .await
    }

    /// Keeps a CRL under the next number of its CA; only those that a backup lacked leave a gap. `audit` is appended only if that happened.
    ///
    /// # Errors
    /// Where it is not on disk; then it must not be handed out.
    pub async fn insert_crl(
        &self,
        crl: NewCrl,
        audit: Vec<Draft>,
    ) -> Result<CrlOutcome, StoreError> {
        self.write_urgently(move |connection| {
            let next = next_number(connection, &crl.ca_id)?;
            if next != crl.number {
                return Ok(CrlOutcome::Outrun { next });
            }
            let number = crl.number.cast_signed();
            connection.change(
                "INSERT INTO crls (ca_id, number, sha256, this_update, next_update)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
                params![
                    crl.ca_id,
                    number,
                    Hash::of(&crl.der),
                    crl.this_update,
                    crl.next_update
                ],
            )?;
            connection.insert_into_file(
                "INSERT OR REPLACE INTO file.crl_contents (ca_id, number, der) VALUES (?1, ?2, ?3)",
                params![crl.ca_id, number, crl.der],
            )?;
            connection.write_file(
                "DELETE FROM file.crl_contents WHERE ca_id = ?1 AND number <= ?2",
                params![crl.ca_id, number - KEPT_CRLS],
            )?;
            audit::append(connection, audit)?;
            Ok(CrlOutcome::Kept)
        })
        .await
    }

    /// The CA's latest CRL; `None` before the first, and after a recovery before the first that follows those that were lost.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn latest_crl(&self, ca_id: String) -> Result<Option<CrlRow>, StoreError> {
        self.read(move |connection| {
            connection.find(
                "SELECT crls.*, f.der FROM crls LEFT JOIN file.crl_contents f USING (ca_id, number)
                 WHERE crls.ca_id = ?1
                     AND crls.number > coalesce((SELECT number FROM crl_floors WHERE ca_id = ?1), 0)
                 ORDER BY crls.number DESC LIMIT 1",
                [ca_id],
                read,
            )
        })
        .await
    }
}

/// The condition for the certificates that the next CRL of the CA `?1` lists, which keeps those that ended at `?2` or later.
const LISTED: &str = "ca_id = ?1 AND revoked_at IS NOT NULL
    AND not_after >= min(?2, coalesce((
        SELECT this_update FROM (SELECT number, this_update FROM crls WHERE ca_id = ?1
                                 UNION ALL SELECT number, this_update FROM crl_floors WHERE ca_id = ?1)
        ORDER BY number DESC LIMIT 1), 0))";

/// Refuses one more revocation of the CA where its next CRL would be too long for it.
pub(crate) fn check_room(connection: &Connection, ca_id: &str) -> Result<(), StoreError> {
    // A list has no more than all certificates that there are, which SQLite need not count. Counting half a million entries
    // takes some 20 ms.
    let all = connection.find("SELECT max(position) FROM certificates", [], |row| {
        row.get::<_, Option<u32>>(0)
    })?;
    if all.flatten().unwrap_or_default() < MAX_CRL_ENTRIES {
        return Ok(());
    }
    let listed = connection.find(
        &format!("SELECT count(*) FROM certificates WHERE {LISTED}"),
        params![ca_id, Timestamp::MAX],
        |row| row.get::<_, u32>(0),
    )?;
    if listed.unwrap_or_default() >= MAX_CRL_ENTRIES {
        let ca_id = ca_id.to_owned();
        return Err(StoreError::CrlTooLong { ca_id });
    }
    Ok(())
}

fn next_number(connection: &Connection, ca_id: &str) -> Result<u64, StoreError> {
    let last = connection.find(
        "SELECT max(number) FROM (SELECT number FROM crls WHERE ca_id = ?1
             UNION ALL SELECT number FROM crl_floors WHERE ca_id = ?1)",
        [ca_id],
        |row| row.get::<_, Option<i64>>(0),
    )?;
    Ok(last.flatten().unwrap_or_default().cast_unsigned() + 1)
}

fn read(row: &Row<'_>) -> rusqlite::Result<CrlRow> {
    let number = row.get::<_, i64>("number")?.cast_unsigned();
    let sha256: Hash = row.get("sha256")?;
    let der = content(format_args!("CRL {number}"), Some(sha256), row.get("der")?)?;
    Ok(CrlRow {
        number,
        der: der.unwrap_or_default(),
        sha256,
        this_update: row.get("this_update")?,
        next_update: row.get("next_update")?,
    })
}

fn read_entry(row: &Row<'_>) -> rusqlite::Result<RevokedEntry> {
    Ok(RevokedEntry {
        serial: row.get("serial")?,
        revoked_at: row.get("revoked_at")?,
        reason: row
            .get::<_, Option<CrlReason>>("revocation_reason")?
            .unwrap_or(CrlReason::Unspecified),
    })
}
