//! The tree: hash tiles, the records' leaf hashes, and the checkpoint's root.

use std::collections::BTreeSet;

use assay_audit::Hash;

use crate::layout::{BUNDLE, bundles_of, first_of, records_in};
use crate::report::{Finding, Findings, MAX_FINDINGS};
use crate::tlog::{Frontier, entries, hashes, subtree, tile_path};
use crate::{Check, Source, source};

/// Octets of a hash tile at most.
const MAX_TILE: usize = 256 * 32;
/// Octets of an entry bundle at most: each entry has its length before it.
const MAX_ENTRIES: usize = 256 * (2 + 65_535);
/// Octets of a hash.
const HASH: usize = 32;

/// The paths of all tiles of a log of `size` records, and of the entry bundles that are held.
pub(crate) fn tiles(size: u64, bundles: &BTreeSet<u64>) -> impl Iterator<Item = String> {
    let mut paths = Vec::new();
    let mut hashes = size;
    let mut level = 0_u8;
    while hashes > 0 {
        for n in 0..bundles_of(hashes) {
            paths.push(tile_path(Some(level), n, records_in(n, hashes)));
        }
        hashes /= BUNDLE;
        level = level.saturating_add(1);
    }
    let entries = bundles
        .iter()
        .map(move |bundle| tile_path(None, *bundle, records_in(*bundle, size)))
        .collect::<Vec<_>>();
    paths.into_iter().chain(entries)
}

/// Grows by a bundle at a time.
pub(crate) struct Tree<'a> {
    source: &'a dyn Source,
    size: u64,
    /// Of the tiles of level 0.
    tiles: Frontier,
    /// Of the records where they are held, else of the tiles.
    records: Frontier,
    /// Hashes of the last tile of each level above 0, and the number of that tile.
    above: Vec<(u64, Vec<Hash>)>,
    /// Where tile and record differ: sequence number, hash in the tile, hash of the record.
    differ: Vec<(u64, Hash, Hash)>,
    /// Sizes at which the root is asked for, and the root there.
    earlier: Roots,
}

/// Sizes that were asked for, and the root at each that was reached.
pub(crate) type Roots = Vec<(u64, Option<Hash>)>;

impl<'a> Tree<'a> {
    /// Of `size` records; the root at each of the sizes in `earlier` is kept.
    pub(crate) fn new(source: &'a dyn Source, size: u64, earlier: Vec<u64>) -> Self {
        Self {
            source,
            size,
            tiles: Frontier::default(),
            records: Frontier::default(),
            above: Vec::new(),
            differ: Vec::new(),
            earlier: earlier.into_iter().map(|size| (size, None)).collect(),
        }
    }

    /// The records of a bundle; `None` where they cannot be read.
    pub(crate) fn entries(&self, bundle: u64, findings: &mut Findings) -> Option<Vec<Vec<u8>>> {
        let width = records_in(bundle, self.size);
        let path = tile_path(None, bundle, width);
        let bytes = read(self.source, &path, MAX_ENTRIES, findings)?;
        match entries(&bytes) {
            Ok(list) if list.len() as u64 == width => Some(list),
            Ok(list) => {
                let wanted = format!("{width} entries");
                findings.hold(false, Check::Tree, path, "entries", wanted, list.len());
                None
            }
            Err(error) => {
                let wanted = format!("{width} entries, each with its length");
                findings.hold(false, Check::Tree, path, "entries", wanted, error);
                None
            }
        }
    }

    /// The next bundle, with its records where they are held.
    pub(crate) fn take(
        &mut self,
        bundle: u64,
        records: Option<&[Vec<u8>]>,
        findings: &mut Findings,
    ) {
        let width = records_in(bundle, self.size);
        let path = tile_path(Some(0), bundle, width);
        let tile = hash_tile(self.source, &path, width, findings);
        let own: Option<Vec<Hash>> =
            records.map(|records| records.iter().map(|it| Hash::of_leaf(it)).collect());
        let (Some(tile), Some(own)) = (
            tile.as_ref().or(own.as_ref()),
            own.as_ref().or(tile.as_ref()),
        ) else {
            return;
        };
        for (sequence, (wanted, got)) in (first_of(bundle)..).zip(tile.iter().zip(own)) {
            if records.is_some() {
                findings.made(Check::Leaves);
            }
            if wanted != got && self.differ.len() < MAX_FINDINGS {
                self.differ.push((sequence, *wanted, *got));
            }
            self.tiles.append(*wanted);
            self.records.append(*got);
            for (size, root) in &mut self.earlier {
                if *size == self.records.size() {
                    *root = Some(self.records.root());
                }
            }
        }
        if width == BUNDLE {
            let (node, above) = (subtree(tile), 0);
            self.climb(node, above, findings);
        }
    }

    /// After the last bundle: whose hashes come to the root of the checkpoint says what is wrong where they differ.
    pub(crate) fn finish(mut self, wanted: Option<Hash>, findings: &mut Findings) -> Roots {
        for (level, (n, last)) in (1_u8..).zip(std::mem::take(&mut self.above)) {
            if !last.is_empty() {
                let path = tile_path(Some(level), n, last.len() as u64);
                same(self.source, &path, &last, findings);
            }
        }
        let complete = self.records.size() == self.size;
        let (tiles, records) = (self.tiles.root(), self.records.root());
        let at = "checkpoint";
        if let Some(wanted) = wanted {
            let right = complete && (wanted == tiles || wanted == records);
            findings.hold(right, Check::Tree, at, "root", wanted, records);
        }
        let records_are_right = wanted == Some(records);
        for (sequence, tile, record) in self.differ {
            if records_are_right {
                let bundle = (sequence - 1) / BUNDLE;
                let path = tile_path(Some(0), bundle, records_in(bundle, self.size));
                let member = format!("hash of record {sequence}");
                findings.bad(Finding::new(Check::Tree, path, member, record, tile));
            } else {
                let member = "record (leaf hash)";
                findings.bad(Finding::new(Check::Leaves, sequence, member, tile, record));
            }
        }
        self.earlier
    }

    /// Adds the hash of a full tile to the level above it.
    fn climb(&mut self, node: Hash, below: usize, findings: &mut Findings) {
        if self.above.len() <= below {
            self.above.push((0, Vec::new()));
        }
        let Some((n, hashes)) = self.above.get_mut(below) else {
            return;
        };
        hashes.push(node);
        if hashes.len() as u64 == BUNDLE {
            let (tile, full) = (*n, std::mem::take(hashes));
            *n += 1;
            let level = u8::try_from(below + 1).unwrap_or(u8::MAX);
            same(
                self.source,
                &tile_path(Some(level), tile, BUNDLE),
                &full,
                findings,
            );
            self.climb(subtree(&full), below + 1, findings);
        }
    }
}

/// A tile above level 0 is made of those below it.
fn same(source: &dyn Source, path: &str, wanted: &[Hash], findings: &mut Findings) {
    let width = wanted.len() as u64;
    if let Some(got) = hash_tile(source, path, width, findings) {
        let first = wanted.iter().zip(&got).find(|(wanted, got)| wanted != got);
        findings.made(Check::Tree);
        if let Some((wanted, got)) = first {
            findings.bad(Finding::new(Check::Tree, path, "hash", wanted, got));
        }
    }
}

fn hash_tile(
    source: &dyn Source,
    path: &str,
    width: u64,
    findings: &mut Findings,
) -> Option<Vec<Hash>> {
    let bytes = read(source, path, MAX_TILE, findings)?;
    let list = hashes(&bytes)
        .ok()
        .filter(|list| list.len() as u64 == width);
    let wanted = format!("{} octets", width.saturating_mul(HASH as u64));
    findings.hold(
        list.is_some(),
        Check::Tree,
        path,
        "length",
        wanted,
        bytes.len(),
    );
    list
}

fn read(source: &dyn Source, path: &str, most: usize, findings: &mut Findings) -> Option<Vec<u8>> {
    let text = match source::read(source, path, most) {
        Ok(Some(bytes)) => return Some(bytes),
        Ok(None) => "no such file".to_owned(),
        Err(error) => error.to_string(),
    };
    findings.hold(false, Check::Tree, path, "file", "a tile", text);
    None
}
