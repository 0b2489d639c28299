//! The Merkle tree over the log as tiles (C2SP tlog-tiles), so that a proof reads a few rows.
//!
//! A tile holds 256 hashes of neighbouring perfect subtrees; those between its levels are computed. The last records, which
//! fill no tile yet, are read where they stand.

use std::collections::BTreeMap;

use assay_audit::tile::{TILE_HEIGHT, TILE_WIDTH, perfect_root};
use assay_audit::tree::{NoSuchProof, Nodes, consistency_proof, inclusion_proof};
use assay_types::Hash;
use rusqlite::params;

use crate::audit::cursor;
use crate::recovery::Lost;
use crate::sql::Connection;
use crate::{Store, StoreError};

/// Level-0 tiles written in one commit at most, 16384 records: no enrolment waits long for it.
const TILES_A_COMMIT: u64 = 64;
/// Leaf hashes of one answer at most.
pub const MAX_LEAVES: u32 = 16_384;

/// Level and position.
type Place = (u32, u64);
type Tiles = BTreeMap<Place, Vec<Hash>>;

impl Store {
    /// Leaf hashes of the records after `after`, at most `asked` and [`MAX_LEAVES`].
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn leaf_hashes(&self, after: u64, asked: u32) -> Result<Vec<Hash>, StoreError> {
        let asked = asked.min(MAX_LEAVES);
        self.read(move |connection| leaves(connection, after, asked.into()))
            .await
    }

    /// Writes the tiles that the first `size` records fill and that are not written yet.
    ///
    /// # Errors
    /// Where they are not on disk, or there are not so many records.
    pub async fn extend_tree(&self, size: u64) -> Result<(), StoreError> {
        loop {
            let tiles = self
                .read(move |connection| next_tiles(connection, size))
                .await?;
            if tiles.is_empty() {
                return Ok(());
            }
            self.write_urgently(move |connection| write_tiles(connection, &tiles))
                .await?;
        }
    }

    /// The proof that record `index`, counted from 0, is in the tree of `size` records (RFC 6962, section 2.1.1). The
    /// tree must have been extended to `size`.
    ///
    /// # Errors
    /// [`StoreError::NotInTree`], or where the store cannot be read.
    pub async fn inclusion_proof(&self, index: u64, size: u64) -> Result<Vec<Hash>, StoreError> {
        self.read(move |connection| {
            inclusion_proof(&mut Tree::new(connection), index, size).map_err(no_proof)
        })
        .await
    }

    /// The proof that the tree of `to` records begins with that of `from` (RFC 6962, section 2.1.2). The tree must have
    /// been extended to `to`.
    ///
    /// # Errors
    /// As [`Store::inclusion_proof`].
    pub async fn consistency_proof(&self, from: u64, to: u64) -> Result<Vec<Hash>, StoreError> {
        self.read(move |connection| {
            consistency_proof(&mut Tree::new(connection), from, to).map_err(no_proof)
        })
        .await
    }
}

/// The tree as far as one proof needs it: each tile is read once.
struct Tree<'a> {
    connection: &'a Connection,
    tiles: Tiles,
}

impl<'a> Tree<'a> {
    fn new(connection: &'a Connection) -> Self {
        Self {
            connection,
            tiles: Tiles::new(),
        }
    }

    fn tile(&mut self, place: Place) -> Result<&[Hash], StoreError> {
        if !self.tiles.contains_key(&place) {
            let hashes = match (read_tile(self.connection, place)?, place) {
                (Some(hashes), _) => hashes,
                (None, (0, position)) => {
                    let first = position.saturating_mul(TILE_WIDTH.into());
                    leaves(self.connection, first, TILE_WIDTH.into())?
                }
                (None, _) => Vec::new(),
            };
            self.tiles.insert(place, hashes);
        }
        Ok(self.tiles.get(&place).map_or(&[], Vec::as_slice))
    }
}

impl Nodes for Tree<'_> {
    type Error = StoreError;

    fn node(&mut self, level: u32, index: u64) -> Result<Hash, StoreError> {
        let (tile_level, within) = (level / TILE_HEIGHT, level % TILE_HEIGHT);
        let first = index << within;
        let position = first / u64::from(TILE_WIDTH);
        let begin = usize::try_from(first % u64::from(TILE_WIDTH)).unwrap_or(usize::MAX);
        self.tile((tile_level, position))?
            .get(begin..begin.saturating_add(1 << within))
            .map(perfect_root)
            .ok_or(StoreError::NotInTree)
    }
}

fn no_proof(error: NoSuchProof<StoreError>) -> StoreError {
    match error {
        NoSuchProof::Node(error) => error,
        NoSuchProof::Leaf { .. } | NoSuchProof::Sizes { .. } => StoreError::NotInTree,
    }
}

/// Leaf hashes after the first `after`, in order: from tiles that are full, then those that are in none yet.
pub(crate) fn leaves(
    connection: &Connection,
    after: u64,
    limit: u64,
) -> Result<Vec<Hash>, StoreError> {
    let width = u64::from(TILE_WIDTH);
    let mut found = Vec::new();
    let mut next = after;
    while let Some(tile) = read_tile(connection, (0, next / width))? {
        let wanted = limit - found.len() as u64;
        let within = usize::try_from(next % width).unwrap_or(usize::MAX);
        let rest = tile.get(within..).unwrap_or_default();
        let taken = rest
            .len()
            .min(usize::try_from(wanted).unwrap_or(usize::MAX));
        found.extend(rest.iter().take(taken));
        next += taken as u64;
        if taken < rest.len() || rest.is_empty() || found.len() as u64 == limit {
            return Ok(found);
        }
    }
    let wanted = limit - found.len() as u64;
    found.extend(connection.list(
        "SELECT hash FROM leaves WHERE sequence > ?1 ORDER BY sequence LIMIT ?2",
        params![cursor(next), cursor(wanted)],
        |row| row.get::<_, Hash>(0),
    )?);
    Ok(found)
}

/// Sequence number of the newest record; 0 while the log is empty.
pub(crate) fn last_leaf(connection: &Connection) -> Result<u64, StoreError> {
    let last = connection.find("SELECT max(sequence) FROM leaves", [], |row| {
        row.get::<_, Option<i64>>(0)
    })?;
    match last.flatten() {
        Some(last) => Ok(last.cast_unsigned()),
        None => Ok(full_tiles(connection)?.saturating_mul(TILE_WIDTH.into())),
    }
}

/// Adds the leaf of the next record.
pub(crate) fn add_leaf(
    connection: &Connection,
    sequence: u64,
    leaf: &Hash,
) -> Result<(), StoreError> {
    connection.change(
        "INSERT INTO leaves (sequence, hash) VALUES (?1, ?2)",
        params![sequence.cast_signed(), leaf],
    )?;
    Ok(())
}

/// Compares a record of the file with the log's tree.
pub(crate) fn hold_one(
    connection: &Connection,
    sequence: u64,
    leaf: &Hash,
) -> Result<(), StoreError> {
    let own = leaves(connection, sequence.saturating_sub(1), 1)?;
    match own.first() {
        Some(own) if own == leaf => Ok(()),
        _ => Err(StoreError::Altered(format!("audit record {sequence}"))),
    }
}

/// Compares records of the file, in order, with the leaves of the log's tree after `after` up to `last`: all of them have to be
/// there but those that a backup lacked, and no others.
pub(crate) fn hold(
    connection: &Connection,
    after: u64,
    last: u64,
    found: impl Iterator<Item = (u64, Hash)>,
) -> Result<(), StoreError> {
    let own = leaves(connection, after, last.saturating_sub(after))?;
    let lost = Lost::read(connection)?;
    let own = (after.saturating_add(1)..).zip(own);
    let own = own.filter(|(sequence, _)| !lost.has(*sequence));
    let mut found = found.fuse();
    for (sequence, leaf) in own {
        if found.next() != Some((sequence, leaf)) {
            return Err(StoreError::Altered(format!("audit record {sequence}")));
        }
    }
    match found.next() {
        None => Ok(()),
        Some((sequence, _)) => Err(StoreError::Altered(format!("audit record {sequence}"))),
    }
}

fn read_tile(
    connection: &Connection,
    (level, position): Place,
) -> Result<Option<Vec<Hash>>, StoreError> {
    connection.find(
        "SELECT hashes FROM log_tiles WHERE level = ?1 AND position = ?2",
        params![level, position.cast_signed()],
        |row| {
            let (hashes, _) = row.get_ref(0)?.as_blob()?.as_chunks::<32>();
            Ok(hashes.iter().copied().map(Hash::from).collect())
        },
    )
}

/// Tiles of level 0, all of them full.
fn full_tiles(connection: &Connection) -> Result<u64, StoreError> {
    let last = connection.find(
        "SELECT max(position) FROM log_tiles WHERE level = 0",
        [],
        |row| row.get::<_, Option<i64>>(0),
    )?;
    Ok(last
        .flatten()
        .map_or(0, |last| last.cast_unsigned().saturating_add(1)))
}

/// The next tiles that are full with the first `size` records, and those above them that they change.
fn next_tiles(connection: &Connection, size: u64) -> Result<Tiles, StoreError> {
    let width = u64::from(TILE_WIDTH);
    let begin = full_tiles(connection)?;
    let end = (size / width).min(begin.saturating_add(TILES_A_COMMIT));
    let mut tiles = Tiles::new();
    for position in begin..end {
        let hashes = leaves(connection, position * width, width)?;
        if hashes.len() != usize::from(TILE_WIDTH) {
            return Err(StoreError::NotInTree);
        }
        put(connection, &mut tiles, position, hashes)?;
    }
    Ok(tiles)
}

/// Puts a full tile of level 0 at its place, and its root, where it belongs, into those above.
fn put(
    connection: &Connection,
    tiles: &mut Tiles,
    position: u64,
    hashes: Vec<Hash>,
) -> Result<(), StoreError> {
    let mut root = perfect_root(&hashes);
    let mut at = position;
    tiles.insert((0, position), hashes);
    for level in 1.. {
        let place = (level, at / u64::from(TILE_WIDTH));
        let within = usize::try_from(at % u64::from(TILE_WIDTH)).unwrap_or(usize::MAX);
        let tile = match tiles.entry(place) {
            std::collections::btree_map::Entry::Occupied(tile) => tile.into_mut(),
            std::collections::btree_map::Entry::Vacant(tile) => {
                tile.insert(read_tile(connection, place)?.unwrap_or_default())
            }
        };
        if tile.len() != within {
            return Err(StoreError::NotInTree);
        }
        tile.push(root);
        if tile.len() < usize::from(TILE_WIDTH) {
            break;
        }
        root = perfect_root(tile);
        at = place.1;
    }
    Ok(())
}

fn write_tiles(connection: &Connection, tiles: &Tiles) -> Result<(), StoreError> {
    for ((level, position), hashes) in tiles {
        let hashes: Vec<u8> = hashes.iter().flat_map(|hash| *hash.as_bytes()).collect();
        connection.change(
            "INSERT INTO log_tiles (level, position, hashes) VALUES (?1, ?2, ?3)
             ON CONFLICT (level, position) DO UPDATE SET hashes = excluded.hashes",
            params![level, position.cast_signed(), hashes],
        )?;
        if *level == 0 {
            let last = (position + 1).saturating_mul(TILE_WIDTH.into());
            connection.change(
                "DELETE FROM leaves WHERE sequence <= ?1",
                params![last.cast_signed()],
            )?;
        }
    }
    Ok(())
}
