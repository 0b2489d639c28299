use assay_types::{Hash, Serial, Timestamp};
use rusqlite::{Row, params};

use crate::audit::AuditRow;
use crate::sql::Connection;
use crate::{Store, StoreError, audit, tree};

/// Checkpoints without a cosignature that are kept for a witness that is on its way.
const KEPT: u32 = 600;
/// Rows that one new checkpoint removes at most.
const REMOVED: u32 = 8;
/// Witnesses of a checkpoint at most.
const MAX_COSIGNATURES: u32 = 64;

/// A signed head of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCheckpoint {
    /// Records.
    pub size: u64,
    /// Root hash over their leaf hashes.
    pub root: Hash,
    /// Of that tree, as [`assay_audit::tree::Frontier::to_bytes`] writes it.
    pub frontier: Vec<u8>,
    /// The signed note with the log's own signature.
    pub note: String,
    /// When it was signed.
    pub signed_at: Timestamp,
}

/// A checkpoint with what witnesses said to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointRow {
    /// The text that was signed.
    pub checkpoint: NewCheckpoint,
    /// Signature lines of the witnesses, without line ends, by the witnesses' names.
    pub cosignatures: Vec<String>,
}

impl Store {
    /// Keeps a checkpoint, or a new signature over the same tree. Old ones that no witness cosigned go.
    ///
    /// # Errors
    /// Where it is not on disk.
    pub async fn store_checkpoint(&self, checkpoint: NewCheckpoint) -> Result<(), StoreError> {
        self.write_urgently(move |connection| {
            let NewCheckpoint {
                size,
                root,
                frontier,
                note,
                signed_at,
            } = checkpoint;
            connection.change(
                "INSERT INTO checkpoints (size, root, frontier, note, signed_at)
                 VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (size) DO UPDATE SET note = excluded.note, signed_at = excluded.signed_at
                     WHERE root = excluded.root",
                params![
                    size.cast_signed(),
                    root.as_bytes(),
                    frontier,
                    note,
                    signed_at
                ],
            )?;
            connection.change(
                "DELETE FROM checkpoints WHERE size IN
                     (SELECT size FROM checkpoints ORDER BY size DESC LIMIT ?1 OFFSET ?2)
                 AND NOT EXISTS (SELECT 1 FROM cosignatures
                                 WHERE cosignatures.size = checkpoints.size)",
                params![REMOVED, KEPT],
            )?;
            Ok(())
        })
        .await
    }

    /// The newest checkpoint; `None` before the first.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn latest_checkpoint(&self) -> Result<Option<CheckpointRow>, StoreError> {
        self.read(latest).await
    }

    /// The newest checkpoint of at least `size` records that a witness cosigned.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn latest_cosigned_checkpoint(
        &self,
        size: u64,
    ) -> Result<Option<CheckpointRow>, StoreError> {
        self.read(move |connection| {
            let newest = "SELECT * FROM checkpoints
                 WHERE size = (SELECT max(size) FROM cosignatures) AND size >= ?1";
            one(connection, newest, size)
        })
        .await
    }

    /// The checkpoint of exactly `size` records.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn checkpoint(&self, size: u64) -> Result<Option<CheckpointRow>, StoreError> {
        self.read(move |connection| {
            one(
                connection,
                "SELECT * FROM checkpoints WHERE size = ?1",
                size,
            )
        })
        .await
    }

    /// Sizes of the nearest checkpoints of less than `size` records and of more.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn checkpoints_around(
        &self,
        size: u64,
    ) -> Result<(Option<u64>, Option<u64>), StoreError> {
        self.read(move |connection| {
            let around = "SELECT (SELECT max(size) FROM checkpoints WHERE size < ?1),
                                 (SELECT min(size) FROM checkpoints WHERE size > ?1)";
            let sizes = connection.find(around, [size.cast_signed()], |row| {
                let (below, above): (Option<i64>, Option<i64>) = (row.get(0)?, row.get(1)?);
                Ok((below.map(i64::cast_unsigned), above.map(i64::cast_unsigned)))
            })?;
            Ok(sizes.unwrap_or_default())
        })
        .await
    }

    /// Keeps a witness's signature line of the checkpoint of `size` records, in place of one that this witness gave before;
    /// returns how many the checkpoint has now, `None` where it is not kept (any more).
    ///
    /// # Errors
    /// Where it is not on disk.
    pub async fn add_cosignature(
        &self,
        size: u64,
        witness: String,
        line: String,
    ) -> Result<Option<u32>, StoreError> {
        self.write(move |connection| {
            let size = size.cast_signed();
            let added = connection.change_one(
                "INSERT INTO cosignatures (size, witness, line)
                 SELECT size, ?2, ?3 FROM checkpoints WHERE size = ?1
                 ON CONFLICT (size, witness) DO UPDATE SET line = excluded.line",
                params![size, witness, line],
            )?;
            if !added {
                return Ok(None);
            }
            connection.find(
                "SELECT count(*) FROM cosignatures WHERE size = ?1",
                [size],
                |row| row.get(0),
            )
        })
        .await
    }

    /// The `request.issued` record of a certificate.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn issued_record(&self, serial: &Serial) -> Result<Option<AuditRow>, StoreError> {
        let serial = serial.to_string();
        self.read(move |connection| {
            let found = connection.find(
                "SELECT sequence, record FROM file.audit
                 WHERE kind = 'request.issued'
                 AND json_extract(CAST(record AS TEXT), '$.serial') = ?1",
                [serial],
                audit::read,
            )?;
            if let Some(row) = &found {
                tree::hold_one(connection, row.sequence, &row.leaf_hash)?;
            }
            Ok(found)
        })
        .await
    }
}

pub(crate) fn latest(connection: &Connection) -> Result<Option<CheckpointRow>, StoreError> {
    let newest = "SELECT * FROM checkpoints WHERE size >= ?1 ORDER BY size DESC LIMIT 1";
    one(connection, newest, 0)
}

fn one(
    connection: &Connection,
    query: &str,
    size: u64,
) -> Result<Option<CheckpointRow>, StoreError> {
    let checkpoint = connection.find(query, [size.cast_signed()], read)?;
    checkpoint
        .map(|checkpoint| {
            let cosignatures = connection.list(
                "SELECT line FROM cosignatures WHERE size = ?1 ORDER BY witness LIMIT ?2",
                params![checkpoint.size.cast_signed(), MAX_COSIGNATURES],
                |row| row.get(0),
            )?;
            Ok(CheckpointRow {
                checkpoint,
                cosignatures,
            })
        })
        .transpose()
}

fn read(row: &Row<'_>) -> rusqlite::Result<NewCheckpoint> {
    Ok(NewCheckpoint {
        size: row.get::<_, i64>("size")?.cast_unsigned(),
        root: row.get("root")?,
        frontier: row.get("frontier")?,
        note: row.get("note")?,
        signed_at: row.get("signed_at")?,
    })
}
