use assay_types::Hash;
use rusqlite::{Row, params};

use crate::audit::cursor;
use crate::sql::{content, limit};
use crate::{Store, StoreError, tree};

/// A record of the log with what is kept beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportRow {
    /// Position, from 1, without gaps.
    pub sequence: u64,
    /// Canonical JSON; `None` for a record that a backup lacked.
    pub record: Option<Vec<u8>>,
    /// RFC 6962 leaf hash.
    pub leaf_hash: Hash,
    /// Salt and content of its evidence, where there is any and it was not pruned.
    pub evidence: Option<([u8; 32], Vec<u8>)>,
    /// DER of the certificate that a `request.issued`, a `certificate.imported` or a `certificate.recovered` is about.
    pub certificate: Option<Vec<u8>>,
}

/// One change of a profile's inventory, as it is chained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InventoryChangeRow {
    /// From 1.
    pub sequence: u64,
    /// JSON, byte for byte as it was hashed.
    pub content: String,
    /// Head of the chain with this change.
    pub hash: Hash,
}

/// How far the versions and inventories go that the first records of the log tell of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExportExtent {
    /// Number of the newest policy; 0 where none was activated.
    pub policy: u64,
    /// Changes of each inventory, by profile.
    pub inventories: Vec<(String, u64)>,
}

impl Store {
    /// The log after `after` up to `last`, oldest first; at most [`crate::MAX_ROWS`].
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn export_rows(
        &self,
        after: u64,
        last: u64,
        asked: u32,
    ) -> Result<Vec<ExportRow>, StoreError> {
        let limit = limit(asked)?;
        self.read(move |connection| {
            let last = last.min(after.saturating_add(limit.into()));
            let rows = connection.list(
                "SELECT audit.sequence, audit.record, evidence.salt, evidence.content, certificates.sha256, f.der
                 FROM file.audit
                 LEFT JOIN file.evidence ON evidence.sequence = audit.sequence
                 LEFT JOIN certificates ON audit.kind IN ('request.issued', 'certificate.imported', 'certificate.recovered')
                     AND certificates.serial = unhex(json_extract(CAST(audit.record AS TEXT), '$.serial'))
                 LEFT JOIN file.certificate_contents f ON f.position = certificates.position
                 WHERE audit.sequence > ?1 AND audit.sequence <= ?2
                 ORDER BY audit.sequence",
                params![cursor(after), cursor(last)],
                row,
            )?;
            let leaf = |row: &ExportRow| (row.sequence, row.leaf_hash);
            tree::hold(connection, after, last, rows.iter().map(leaf))?;
            let mut held = rows.into_iter().peekable();
            let own = tree::leaves(connection, after, last.saturating_sub(after))?;
            let all = (after.saturating_add(1)..).zip(own);
            Ok(all
                .map(|(sequence, leaf_hash)| {
                    held.next_if(|row| row.sequence == sequence)
                        .unwrap_or(ExportRow {
                            sequence,
                            record: None,
                            leaf_hash,
                            evidence: None,
                            certificate: None,
                        })
                })
                .collect())
        })
        .await
    }

    /// Changes after `after` up to `last` of a profile's inventory, oldest first; at most `asked`, which is to be small:
    /// one change may have megabytes.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn inventory_changes(
        &self,
        profile: String,
        after: u64,
        last: u64,
        asked: u32,
    ) -> Result<Vec<InventoryChangeRow>, StoreError> {
        let limit = limit(asked)?;
        self.read(move |connection| {
            connection.list(
                "SELECT sequence, content, hash FROM inventory_changes
                 WHERE profile = ?1 AND sequence > ?2 AND sequence <= ?3 ORDER BY sequence LIMIT ?4",
                params![profile, cursor(after), cursor(last), limit],
                |row| {
                    Ok(InventoryChangeRow {
                        sequence: row.get::<_, i64>(0)?.cast_unsigned(),
                        content: row.get(1)?,
                        hash: row.get(2)?,
                    })
                },
            )
        })
        .await
    }

    /// What the first `size` records tell of versions and inventories: a change made after them is not theirs to tell.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn export_extent(&self, size: u64) -> Result<ExportExtent, StoreError> {
        self.read(move |connection| {
            let policy = connection.find(
                "SELECT max(json_extract(CAST(record AS TEXT), '$.number')) FROM file.audit
                 WHERE kind = 'policy.activated' AND sequence <= ?1",
                [cursor(size)],
                |row| row.get::<_, Option<i64>>(0),
            )?;
            let inventories = connection.list(
                "SELECT json_extract(CAST(record AS TEXT), '$.profile') AS profile,
                        max(json_extract(CAST(record AS TEXT), '$.inventory_sequence'))
                 FROM file.audit WHERE kind = 'inventory.changed' AND sequence <= ?1
                 GROUP BY profile ORDER BY profile",
                [cursor(size)],
                |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.cast_unsigned())),
            )?;
            Ok(ExportExtent {
                policy: policy.flatten().unwrap_or_default().cast_unsigned(),
                inventories,
            })
        })
        .await
    }
}

fn row(row: &Row<'_>) -> rusqlite::Result<ExportRow> {
    let salt: Option<[u8; 32]> = row.get(2)?;
    let evidence: Option<Vec<u8>> = row.get(3)?;
    let record: Vec<u8> = row.get(1)?;
    Ok(ExportRow {
        sequence: row.get::<_, i64>(0)?.cast_unsigned(),
        leaf_hash: Hash::of_leaf(&record),
        record: Some(record),
        evidence: salt.zip(evidence),
        certificate: content("a certificate", row.get(4)?, row.get(5)?)?,
    })
}
