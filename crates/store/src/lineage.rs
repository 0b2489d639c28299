//! Renewals as a tree: a certificate has one predecessor at most and any number of successors, as its holder may renew it more
//! than once. A revocation that is to reach all of them is one transaction.

use assay_audit::Draft;
use assay_types::{Serial, Timestamp};
use rusqlite::{Row, params};

use crate::certificates::{self, COLUMNS};
use crate::page::page;
use crate::revocations::{change, refused};
use crate::sql::Connection;
use crate::writer::Verdict;
use crate::{CertificateRow, CrlReason, MAX_ROWS, Page, RevokeOutcome, Store, StoreError};

/// Predecessors that are looked up: the nearest ones.
pub const MAX_ANCESTORS: u32 = 100;
/// Descendants that one call looks through, generation by generation; the quota of a name keeps a holder far below it.
const MAX_DESCENDANTS: u32 = 100_000;
/// Predecessors that a renewal after the end of a certificate looks through.
const MAX_LINE: u32 = 10_000;
/// Descendants that one transaction revokes, the oldest first: each has a record of its own. A further call takes the next.
pub const MAX_SUCCESSORS: u32 = MAX_ROWS;

/// A revocation or a hold that reaches the descendants of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineageRevocation {
    /// Of the certificate itself.
    pub serial: Serial,
    /// [`CrlReason::CertificateHold`] holds.
    pub reason: CrlReason,
    /// When: what has expired by then is left out.
    pub at: Timestamp,
}

/// The outcome for a certificate and for its descendants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineageRevoked {
    /// Of the certificate itself.
    pub outcome: RevokeOutcome,
    /// The descendants that were revoked or held with it.
    pub successors: Successors,
}

/// Descendants of a certificate that a revocation or a hold can change, in the order of their permits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Successors {
    /// Serial and CA of each; at most [`MAX_SUCCESSORS`].
    pub certificates: Vec<(Serial, String)>,
    /// There are more of them.
    pub more: bool,
}

/// The descendants of certificate `?1` and itself, by the index over `renewal_of`. Each row has one predecessor, so none comes twice.
const LINEAGE: &str = "WITH RECURSIVE lineage (serial, position) AS (
         SELECT serial, position FROM certificates WHERE serial = ?1
         UNION ALL
         SELECT next.serial, next.position FROM lineage
         JOIN certificates next INDEXED BY certificates_of_renewal ON next.renewal_of = lineage.serial
         LIMIT ?2
     )";

impl Store {
    /// The certificates that this one descends from by renewal, the nearest first; at most [`MAX_ANCESTORS`].
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn ancestors(&self, serial: Serial) -> Result<Vec<CertificateRow>, StoreError> {
        self.read(move |connection| {
            connection.list(
                &format!(
                    "WITH RECURSIVE line (serial, depth) AS (
                         SELECT renewal_of, 1 FROM certificates WHERE serial = ?1 AND renewal_of IS NOT NULL
                         UNION ALL
                         SELECT old.renewal_of, depth + 1 FROM line
                         JOIN certificates old ON old.serial = line.serial
                         WHERE old.renewal_of IS NOT NULL
                         LIMIT ?2
                     )
                     SELECT {COLUMNS} FROM line JOIN certificates USING (serial) ORDER BY depth"
                ),
                params![serial, MAX_ANCESTORS],
                certificates::read,
            )
        })
        .await
    }

    /// A page of the certificates that descend from this one by renewal, and of the intents that are open for such, in the order of
    /// their permits: a certificate comes after the one that it renews.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn list_descendants(
        &self,
        serial: Serial,
        after: Option<u64>,
        rows: u32,
    ) -> Result<Page<CertificateRow>, StoreError> {
        self.read(move |connection| {
            let sql = format!(
                "{LINEAGE} SELECT {COLUMNS}, true AS hit FROM lineage JOIN certificates USING (position)
                 WHERE certificates.serial <> ?1 AND certificates.position > ?3 ORDER BY certificates.position"
            );
            let after = after.unwrap_or_default().cast_signed();
            let params = params![serial, walked(), after];
            let cursor = |row: &Row<'_>| Ok(row.get::<_, i64>("position")?.cast_unsigned());
            page(connection, &sql, params, rows, cursor, certificates::read)
        })
        .await
    }

    /// The descendants that [`Store::revoke_lineage`] would change.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn live_successors(
        &self,
        revocation: LineageRevocation,
    ) -> Result<Successors, StoreError> {
        self.read(move |connection| live(connection, &revocation))
            .await
    }

    /// Revokes or holds a certificate with all that descends from it, in one transaction: those of them that are neither expired nor
    /// revoked for good. A renewal at work meanwhile finds its predecessor revoked, at its permit or at its end, and issues
    /// nothing. `draft` makes the record of each certificate that changed; its second argument says whether that is a descendant.
    ///
    /// # Errors
    /// Where it is not on disk.
    pub async fn revoke_lineage(
        &self,
        revocation: LineageRevocation,
        draft: impl Fn(&Serial, bool) -> Draft + Send + 'static,
    ) -> Result<LineageRevoked, StoreError> {
        self.write_urgently_if(move |connection| {
            let LineageRevocation { serial, reason, .. } = &revocation;
            // The record of each says the date that the CRL has.
            let change = |serial, is_successor| {
                let draft = draft(serial, is_successor);
                let at = draft.moment.wall_ms.seconds();
                change(connection, serial, *reason, at, vec![draft])
            };
            let outcome = if change(serial, false)? {
                RevokeOutcome::Revoked
            } else {
                refused(connection, serial)?
            };
            let nothing = |outcome| {
                let successors = Successors::default();
                Verdict::Undo(LineageRevoked {
                    outcome,
                    successors,
                })
            };
            match outcome {
                RevokeOutcome::Revoked | RevokeOutcome::AlreadyRevoked => {}
                RevokeOutcome::NotFound | RevokeOutcome::NotIssued => return Ok(nothing(outcome)),
            }
            let successors = live(connection, &revocation)?;
            for (successor, _) in &successors.certificates {
                change(successor, true)?;
            }
            Ok(Verdict::Keep(LineageRevoked {
                outcome,
                successors,
            }))
        })
        .await
    }
}

fn live(connection: &Connection, revocation: &LineageRevocation) -> Result<Successors, StoreError> {
    let LineageRevocation { serial, reason, at } = revocation;
    let is_final = *reason != CrlReason::CertificateHold;
    let mut certificates = connection.list(
        &format!(
            "{LINEAGE} SELECT certificates.serial, ca_id FROM lineage JOIN certificates USING (position)
             WHERE certificates.serial <> ?1 AND state = 'issued' AND not_after >= ?3
                 AND (revoked_at IS NULL OR (?4 AND revocation_reason = ?5))
             ORDER BY certificates.position LIMIT ?6"
        ),
        params![
            serial,
            walked(),
            at,
            is_final,
            CrlReason::CertificateHold,
            MAX_SUCCESSORS + 1
        ],
        |row| Ok((row.get("serial")?, row.get("ca_id")?)),
    )?;
    let more = certificates.len() > MAX_SUCCESSORS as usize;
    certificates.truncate(MAX_SUCCESSORS as usize);
    Ok(Successors { certificates, more })
}

/// Rows of the walk: the certificate itself is one of them.
fn walked() -> u32 {
    MAX_DESCENDANTS + 1
}

/// The one that `new` renews, if that one is revoked or on hold now: then `new` must not come into force.
pub(crate) fn revoked_predecessor(
    connection: &Connection,
    old: Option<&Serial>,
) -> Result<Option<Serial>, StoreError> {
    let Some(old) = old else { return Ok(None) };
    connection.find(
        "SELECT serial FROM certificates WHERE serial = ?1 AND revoked_at IS NOT NULL",
        [old],
        |row| row.get(0),
    )
}

/// The one that `serial` is or descends from and that is on hold or revoked for another reason than being superseded. A
/// certificate within the grace after its end is not live, so that a revocation of its line does not reach it: it renews only
/// where there is no such revocation. A line of more than [`MAX_LINE`] certificates counts as revoked.
pub(crate) fn revoked_ancestor(
    connection: &Connection,
    serial: &Serial,
) -> Result<Option<Serial>, StoreError> {
    connection.find(
        "WITH RECURSIVE line (serial, renewal_of, steps) AS (
             SELECT serial, renewal_of, 1 FROM certificates WHERE serial = ?1
             UNION ALL
             SELECT before.serial, before.renewal_of, steps + 1 FROM line
             JOIN certificates before ON before.serial = line.renewal_of
             LIMIT ?2
         )
         SELECT serial FROM line JOIN certificates USING (serial)
         WHERE steps = ?2 OR (revoked_at IS NOT NULL AND revocation_reason <> ?3) LIMIT 1",
        params![serial, MAX_LINE, CrlReason::Superseded],
        |row| row.get(0),
    )
}

/// The first renewal of `old`, or the one at work: an issued certificate, whatever became of it, or an open intent.
pub(crate) fn successor(
    connection: &Connection,
    old: &Serial,
) -> Result<Option<Serial>, StoreError> {
    connection.find(
        "SELECT serial FROM certificates INDEXED BY certificates_of_renewal
         WHERE renewal_of = ?1 AND state IN ('intent', 'issued') ORDER BY position LIMIT 1",
        [old],
        |row| row.get(0),
    )
}
