use assay_audit::tile::{TILE_WIDTH, perfect_root};
use assay_audit::tree::Frontier;
use assay_types::Hash;
use rusqlite::Connection;

use crate::{CheckpointRow, Store, StoreError, checkpoints, tree};

/// The log as it was found to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogState {
    /// The newest checkpoint, where there is one.
    pub checkpoint: Option<CheckpointRow>,
    /// Of the tree of that checkpoint; empty without one.
    pub frontier: Frontier,
    /// Records, those after the checkpoint included.
    pub records: u64,
}

/// Where the log is not what was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogFault {
    /// A record is gone from the middle or the beginning.
    #[error("the audit log was altered: record {0} is missing")]
    Missing(u64),
    /// A record does not have its leaf hash.
    #[error("the audit log was altered: record {0} is not what was written, its hash differs")]
    Record(u64),
    /// A record and its leaf hash were exchanged: the tree has another hash for it.
    #[error("the audit log was altered: record {0} is not the one that the log's tree holds")]
    Tree(u64),
    /// Records are gone from the end.
    #[error(
        "the audit log was cut: it has {records} records, its tree and checkpoints tell of {size}"
    )]
    Cut {
        /// Of the newest checkpoint, or of the tree where that tells of more.
        size: u64,
        /// That are there.
        records: u64,
    },
    /// The tree above the leaves is not that of the records.
    #[error(
        "the audit log's tree was altered: its node over records {first} to {last} is not theirs"
    )]
    Node {
        /// First record below the node.
        first: u64,
        /// Last record below it.
        last: u64,
    },
    /// The records do not add up to what was signed, and the tree does not tell which of them it is.
    #[error(
        "the audit log was altered: its records up to {size} do not have the root of the checkpoint of size {size}; the first altered one is after {sound}"
    )]
    Root {
        /// Of the checkpoint.
        size: u64,
        /// Records that the tree confirms.
        sound: u64,
    },
}

impl Store {
    /// Reads every record of the log and holds it to its hash, to the tree and to the newest checkpoint. It takes a while
    /// on a long log: for the start, when nobody waits for a reader.
    ///
    /// # Errors
    /// Where the store cannot be read; the inner error names the first fault.
    pub async fn check_log(&self) -> Result<Result<LogState, LogFault>, StoreError> {
        self.read(check).await
    }
}

fn check(connection: &Connection) -> Result<Result<LogState, LogFault>, StoreError> {
    let checkpoint = checkpoints::latest(connection)?;
    let size = checkpoint
        .as_ref()
        .map_or(0, |newest| newest.checkpoint.size);
    let mut tile = TileAt::new(tree::full_tiles(connection)?);
    let mut frontier = Frontier::new();
    let mut signed = Frontier::new();
    let mut statement =
        connection.prepare("SELECT sequence, record, leaf_hash FROM audit ORDER BY sequence")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let sequence = frontier.size() + 1;
        if row.get::<_, i64>(0)?.cast_unsigned() != sequence {
            return Ok(Err(LogFault::Missing(sequence)));
        }
        let leaf = Hash::of_leaf(row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?);
        if leaf != row.get::<_, Hash>(2)? {
            return Ok(Err(LogFault::Record(sequence)));
        }
        if !tile.holds(connection, frontier.size(), &leaf)? {
            return Ok(Err(LogFault::Tree(sequence)));
        }
        frontier.append(leaf);
        if let Some(fault) = tile.above(connection, frontier.size())? {
            return Ok(Err(fault));
        }
        if frontier.size() == size {
            signed = frontier.clone();
        }
    }
    let records = frontier.size();
    let in_tiles = tile.tiles.saturating_mul(TILE_WIDTH.into());
    let fault = match &checkpoint {
        _ if records < size.max(in_tiles) => Some(LogFault::Cut {
            size: size.max(in_tiles),
            records,
        }),
        Some(newest) if signed.root() != newest.checkpoint.root => Some(LogFault::Root {
            size,
            sound: size.min(in_tiles),
        }),
        Some(_) | None => None,
    };
    Ok(match fault {
        Some(fault) => Err(fault),
        None => Ok(LogState {
            checkpoint,
            frontier: signed,
            records,
        }),
    })
}

/// The level-0 tile around the record that is looked at.
struct TileAt {
    tiles: u64,
    position: Option<u64>,
    hashes: Vec<Hash>,
}

impl TileAt {
    fn new(tiles: u64) -> Self {
        Self {
            tiles,
            position: None,
            hashes: Vec::new(),
        }
    }

    /// Whether the tree has this hash at `index`, where it has come so far.
    fn holds(
        &mut self,
        connection: &Connection,
        index: u64,
        leaf: &Hash,
    ) -> Result<bool, StoreError> {
        let position = index / u64::from(TILE_WIDTH);
        if position >= self.tiles {
            return Ok(true);
        }
        if self.position != Some(position) {
            self.position = Some(position);
            self.hashes = tree::read_tile(connection, (0, position))?.unwrap_or_default();
        }
        let within = usize::try_from(index % u64::from(TILE_WIDTH)).unwrap_or(usize::MAX);
        Ok(self.hashes.get(within) == Some(leaf))
    }

    /// Once the last record of a tile was looked at: holds the nodes that the tile completes to what is below them.
    fn above(&self, connection: &Connection, size: u64) -> Result<Option<LogFault>, StoreError> {
        let width = u64::from(TILE_WIDTH);
        if !size.is_multiple_of(width) || size / width > self.tiles {
            return Ok(None);
        }
        let (mut root, mut at, mut records) = (perfect_root(&self.hashes), size / width - 1, width);
        for level in 1.. {
            let tile = tree::read_tile(connection, (level, at / width))?.unwrap_or_default();
            let within = usize::try_from(at % width).unwrap_or(usize::MAX);
            if tile.get(within) != Some(&root) {
                let first = at * records + 1;
                let last = (at + 1) * records;
                return Ok(Some(LogFault::Node { first, last }));
            }
            if at % width != width - 1 {
                break;
            }
            root = perfect_root(&tile);
            at /= width;
            records *= width;
        }
        Ok(None)
    }
}
