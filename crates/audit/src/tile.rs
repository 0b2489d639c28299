//! Tiles (C2SP tlog-tiles): the tree and the records as files that never change once they are full.

use assay_types::Hash;

/// Hashes of a full tile, and records of a full bundle.
pub const TILE_WIDTH: u16 = 256;
/// Levels of the tree that a tile spans: 2^8 = 256.
pub const TILE_HEIGHT: u32 = 8;
/// Octets of a record in a bundle at most: its length is told in two.
pub const MAX_ENTRY: usize = u16::MAX as usize;

/// A tile of hashes: those of neighbouring perfect subtrees of 256^`level` leaves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tile {
    /// From 0, where the hashes are those of leaves.
    pub level: u8,
    /// Place in its level, from 0.
    pub index: u64,
    /// 1 to [`TILE_WIDTH`].
    pub hashes: Vec<Hash>,
}

/// Why octets are no tile or bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TileError {
    /// Not a number of hashes that a tile has.
    #[error("a tile is 1 to {TILE_WIDTH} hashes of 32 octets")]
    Tile,
    /// An entry ends past the bundle.
    #[error("entry {0} of the bundle is cut off")]
    Cut(usize),
    /// More than [`TILE_WIDTH`] entries, or none.
    #[error("a bundle is 1 to {TILE_WIDTH} entries")]
    Bundle,
    /// An entry is longer than its length can tell.
    #[error("entry {0} of the bundle is longer than {MAX_ENTRY} octets")]
    TooLong(usize),
}

impl Tile {
    /// Where it lies below the log's folder.
    pub fn path(&self) -> String {
        tile_path(self.level, self.index, self.hashes.len())
    }

    /// The file: the hashes one after the other.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.hashes
            .iter()
            .flat_map(|hash| *hash.as_bytes())
            .collect()
    }
}

/// Where the tile of so many hashes lies: `tile/LEVEL/INDEX`, with `.p/WIDTH` where it is not full.
pub fn tile_path(level: u8, index: u64, width: usize) -> String {
    format!("tile/{level}/{}", place(index, width))
}

/// Where the bundle of so many records lies: as for the tile of their leaf hashes.
pub fn entries_path(index: u64, width: usize) -> String {
    format!("tile/entries/{}", place(index, width))
}

/// The index in groups of three digits, all but the last with an x before it.
fn place(index: u64, width: usize) -> String {
    let mut path = format!("{:03}", index % 1000);
    let mut rest = index / 1000;
    while rest > 0 {
        path = format!("x{:03}/{path}", rest % 1000);
        rest /= 1000;
    }
    if width < usize::from(TILE_WIDTH) {
        path.push_str(&format!(".p/{width}"));
    }
    path
}

/// Reads a tile's file.
///
/// # Errors
/// [`TileError::Tile`].
pub fn read_hashes(bytes: &[u8]) -> Result<Vec<Hash>, TileError> {
    let (hashes, rest) = bytes.as_chunks::<32>();
    if !rest.is_empty() || !(1..=usize::from(TILE_WIDTH)).contains(&hashes.len()) {
        return Err(TileError::Tile);
    }
    Ok(hashes.iter().copied().map(Hash::from).collect())
}

/// A bundle's file: each record after its length in two octets, big-endian.
///
/// # Errors
/// Where it would not be a bundle.
pub fn write_entries<T: AsRef<[u8]>>(
    entries: impl IntoIterator<Item = T>,
) -> Result<Vec<u8>, TileError> {
    let mut bytes = Vec::new();
    let mut count = 0;
    for entry in entries {
        let entry = entry.as_ref();
        let length = u16::try_from(entry.len()).map_err(|_| TileError::TooLong(count))?;
        bytes.extend(length.to_be_bytes());
        bytes.extend(entry);
        count += 1;
    }
    if !(1..=usize::from(TILE_WIDTH)).contains(&count) {
        return Err(TileError::Bundle);
    }
    Ok(bytes)
}

/// The records of a bundle's file.
///
/// # Errors
/// Where it is none.
pub fn read_entries(bytes: &[u8]) -> Result<Vec<&[u8]>, TileError> {
    let mut entries = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let cut = TileError::Cut(entries.len());
        let (length, after) = rest.split_first_chunk().ok_or(cut)?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (entry, after) = after.split_at_checked(length).ok_or(cut)?;
        entries.push(entry);
        rest = after;
        if entries.len() > usize::from(TILE_WIDTH) {
            return Err(TileError::Bundle);
        }
    }
    if entries.is_empty() {
        return Err(TileError::Bundle);
    }
    Ok(entries)
}

/// Cuts a tree into its tiles, leaf by leaf, with one unfinished tile a level in memory.
#[derive(Debug, Default)]
pub struct Tiler {
    levels: Vec<Tile>,
}

impl Tiler {
    /// Of the empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next leaf hash; returns the tiles that it filled, lowest level first.
    pub fn push(&mut self, leaf: Hash) -> Vec<Tile> {
        let mut full = Vec::new();
        let mut hash = leaf;
        for level in 0.. {
            let at = usize::from(level);
            if self.levels.len() == at {
                self.levels.push(Tile {
                    level,
                    index: 0,
                    hashes: Vec::new(),
                });
            }
            let Some(tile) = self.levels.get_mut(at) else {
                break;
            };
            tile.hashes.push(hash);
            if tile.hashes.len() < usize::from(TILE_WIDTH) {
                break;
            }
            let next = Tile {
                level,
                index: tile.index + 1,
                hashes: Vec::new(),
            };
            let done = std::mem::replace(tile, next);
            hash = perfect_root(&done.hashes);
            full.push(done);
        }
        full
    }

    /// The tiles at the tree's right edge that are not full.
    pub fn finish(self) -> Vec<Tile> {
        let mut partial = self.levels;
        partial.retain(|tile| !tile.hashes.is_empty());
        partial
    }
}

/// The root of a perfect subtree from the hashes at one of its levels, a power of two of them.
pub fn perfect_root(hashes: &[Hash]) -> Hash {
    let mut tree = crate::tree::Frontier::new();
    for hash in hashes {
        tree.append(*hash);
    }
    tree.root()
}
