//! The tree: hash tiles, the records' leaf hashes, and the checkpoint's root.

use std::collections::{BTreeMap, BTreeSet};

use assay_audit::tile::{Tile, Tiler, entries_path, read_entries, read_hashes, tile_path};
use assay_audit::tree::Frontier;
use assay_types::Hash;

use crate::layout::{BUNDLE, bundles_of, first_of, records_in};
use crate::report::{ANY, Finding, Findings, MAX_FINDINGS};
use crate::{Check, ExportFiles, export};

/// Octets of a hash tile at most.
pub(crate) const MAX_TILE: usize = 256 * 32;
/// Octets of an entry bundle at most: each entry has its length before it.
pub(crate) const MAX_ENTRIES: usize = 256 * (2 + 65_535);
/// Octets of a hash.
const HASH: usize = 32;

/// The paths of all tiles of a log of `size` records, and of the entry bundles that are held.
pub(crate) fn tiles(size: u64, bundles: &BTreeSet<u64>) -> impl Iterator<Item = String> {
    let mut paths = Vec::new();
    let mut hashes = size;
    let mut level = 0_u8;
    while hashes > 0 {
        for n in 0..bundles_of(hashes) {
            paths.push(tile_path(level, n, width(n, hashes)));
        }
        hashes /= BUNDLE;
        level = level.saturating_add(1);
    }
    let entries = bundles
        .iter()
        .map(move |bundle| entries_path(*bundle, width(*bundle, size)))
        .collect::<Vec<_>>();
    paths.into_iter().chain(entries)
}

/// Grows by a bundle at a time.
pub(crate) struct Tree<'a> {
    export: &'a dyn ExportFiles,
    size: u64,
    /// Of the tiles of level 0.
    tiles: Frontier,
    /// Of the records where they are held, else of the tiles.
    records: Frontier,
    /// What the tiles of level 0 make of those above.
    tiler: Tiler,
    /// Where tile and record differ: sequence number, hash in the tile, hash of the record.
    differ: Vec<(u64, Hash, Hash)>,
    /// Sizes at which the root is asked for, and the root there.
    earlier: Roots,
}

/// Sizes that were asked for, and the root at each that was reached.
pub(crate) type Roots = BTreeMap<u64, Option<Hash>>;

impl<'a> Tree<'a> {
    /// Of `size` records; the root at each of the sizes in `earlier` is kept.
    pub(crate) fn new(
        export: &'a dyn ExportFiles,
        size: u64,
        earlier: impl Iterator<Item = u64>,
    ) -> Self {
        Self {
            export,
            size,
            tiles: Frontier::new(),
            records: Frontier::new(),
            tiler: Tiler::new(),
            differ: Vec::new(),
            earlier: earlier.map(|size| (size, None)).collect(),
        }
    }

    /// The leaf hashes of a bundle, by its tile.
    pub(crate) fn hashes(&self, bundle: u64) -> Vec<Hash> {
        let path = tile_path(0, bundle, width(bundle, self.size));
        let bytes = export::read(self.export, &path, MAX_TILE).ok().flatten();
        read_hashes(&bytes.unwrap_or_default()).unwrap_or_default()
    }

    /// The records of a bundle, of which those that a recovery lost are empty; `None` where they cannot be read.
    pub(crate) fn entries(&self, bundle: u64, findings: &mut Findings) -> Option<Vec<Vec<u8>>> {
        let width = width(bundle, self.size);
        let path = entries_path(bundle, width);
        let bytes = read(self.export, &path, MAX_ENTRIES, findings)?;
        match read_entries(&bytes) {
            Ok(list) if list.len() == width => Some(list.into_iter().map(<[u8]>::to_vec).collect()),
            Ok(list) => {
                self.gone(bundle, &list, findings);
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

    /// Names the first record that is missing from a bundle, by the hash in its tile.
    fn gone(&self, bundle: u64, list: &[&[u8]], findings: &mut Findings) {
        let hashes = self.hashes(bundle);
        let mut places = (first_of(bundle)..).zip(&hashes).enumerate();
        let differs = |place: usize, hash: &Hash| {
            // Of an empty one, which a recovery lost, there is the hash alone.
            let leaf = list.get(place);
            leaf.is_none_or(|record| !record.is_empty() && Hash::of_leaf(record) != *hash)
        };
        let found = places.find(|(place, (_, hash))| differs(*place, hash));
        if list.len() < hashes.len()
            && let Some((_, (sequence, hash))) = found
        {
            let wanted = format!("the record whose leaf hash is {hash}, as the tree has it");
            let (held, all) = (list.len(), hashes.len());
            let got = format!("none: the bundle has {held} of its {all} records");
            let finding = Finding::new(Check::Leaves, sequence, "record", wanted, got);
            findings.bad(finding.lacks(&[ANY]));
        }
    }

    /// The next bundle, with its records where they are held.
    pub(crate) fn take(
        &mut self,
        bundle: u64,
        records: Option<&[Vec<u8>]>,
        findings: &mut Findings,
    ) {
        let width = width(bundle, self.size);
        let path = tile_path(0, bundle, width);
        let tile = hash_tile(self.export, &path, width, findings);
        // A record that a recovery lost is empty: of it there is the hash in the tile alone.
        let of = |(place, record): (usize, &Vec<u8>)| match record.is_empty() {
            true => tile.as_ref().and_then(|tile| tile.get(place)).copied(),
            false => Some(Hash::of_leaf(record)),
        };
        let own: Option<Vec<Hash>> =
            records.and_then(|records| records.iter().enumerate().map(of).collect());
        let (Some(tile), Some(own)) = (
            tile.as_ref().or(own.as_ref()),
            own.as_ref().or(tile.as_ref()),
        ) else {
            return;
        };
        let mut above = Vec::new();
        for (sequence, (wanted, got)) in (first_of(bundle)..).zip(tile.iter().zip(own)) {
            above.extend(self.tiler.push(*wanted));
            if records.is_some() {
                findings.made(Check::Leaves);
            }
            if wanted != got && self.differ.len() < MAX_FINDINGS {
                self.differ.push((sequence, *wanted, *got));
            }
            self.tiles.append(*wanted);
            self.records.append(*got);
            if let Some(root) = self.earlier.get_mut(&self.records.size()) {
                *root = Some(self.records.root());
            }
        }
        for tile in above {
            same(self.export, &tile, findings);
        }
    }

    /// What the tiles of level 0 give so far.
    pub(crate) fn frontier(&self) -> &Frontier {
        &self.tiles
    }

    /// After the last bundle: whose hashes come to the root of the checkpoint says what is wrong where they differ.
    pub(crate) fn finish(self, wanted: Option<Hash>, findings: &mut Findings) -> Roots {
        for tile in self.tiler.finish() {
            same(self.export, &tile, findings);
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
                let path = tile_path(0, bundle, width(bundle, self.size));
                let member = format!("hash of record {sequence}");
                findings.bad(Finding::new(Check::Tree, path, member, record, tile));
            } else {
                let member = "record (leaf hash)";
                findings.bad(Finding::new(Check::Leaves, sequence, member, tile, record));
            }
        }
        self.earlier
    }
}

/// A tile above level 0 is made of those below it.
fn same(export: &dyn ExportFiles, wanted: &Tile, findings: &mut Findings) {
    if wanted.level == 0 {
        return;
    }
    let path = wanted.path();
    if let Some(got) = hash_tile(export, &path, wanted.hashes.len(), findings) {
        let mut pairs = wanted.hashes.iter().zip(&got);
        findings.made(Check::Tree);
        if let Some((wanted, got)) = pairs.find(|(wanted, got)| wanted != got) {
            findings.bad(Finding::new(Check::Tree, path, "hash", wanted, got));
        }
    }
}

/// Records of a bundle, or hashes of the tile over them.
fn width(n: u64, size: u64) -> usize {
    usize::try_from(records_in(n, size)).unwrap_or_default()
}

fn hash_tile(
    export: &dyn ExportFiles,
    path: &str,
    width: usize,
    findings: &mut Findings,
) -> Option<Vec<Hash>> {
    let bytes = read(export, path, MAX_TILE, findings)?;
    let list = read_hashes(&bytes).ok().filter(|list| list.len() == width);
    let wanted = format!("{} octets", width.saturating_mul(HASH));
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

fn read(
    export: &dyn ExportFiles,
    path: &str,
    most: usize,
    findings: &mut Findings,
) -> Option<Vec<u8>> {
    let text = match export::read(export, path, most) {
        Ok(Some(bytes)) => return Some(bytes),
        Ok(None) => "no such file".to_owned(),
        Err(error) => error.to_string(),
    };
    findings.hold(false, Check::Tree, path, "file", "a tile", text);
    None
}
