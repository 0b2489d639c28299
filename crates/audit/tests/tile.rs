//! Tiles and bundles: where they lie, what is in them, and that the tree comes out of them again.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "helpers of tests may panic as tests may"
)]

use assay_audit::tile::{
    TILE_WIDTH, TileError, Tiler, entries_path, perfect_root, read_entries, read_hashes, tile_path,
    write_entries,
};
use assay_audit::tree::Frontier;
use assay_types::Hash;

#[test]
fn paths_are_those_of_the_specification() {
    // The example of C2SP tlog-tiles is index 1234067.
    assert_eq!(tile_path(0, 1_234_067, 256), "tile/0/x001/x234/067");
    assert_eq!(tile_path(2, 5, 256), "tile/2/005");
    assert_eq!(tile_path(0, 273, 112), "tile/0/273.p/112");
    assert_eq!(entries_path(1_000, 1), "tile/entries/x001/000.p/1");
}

#[test]
fn tiles_of_a_large_tree_hold_every_level_and_its_root() {
    let size = 3 * 65_536 + 2 * 256 + 7;
    let mut tiler = Tiler::new();
    let mut tree = Frontier::new();
    let mut tiles = Vec::new();
    for n in 0..size {
        let leaf = Hash::of_leaf(&u32::to_be_bytes(n));
        tree.append(leaf);
        tiles.extend(tiler.push(leaf));
    }
    tiles.extend(tiler.finish());
    let count = |level| {
        tiles
            .iter()
            .filter(|tile| tile.level == level)
            .map(|tile| tile.hashes.len())
            .sum::<usize>()
    };
    assert_eq!(count(0), usize::try_from(size).unwrap());
    assert_eq!(count(1), 3 * 256 + 2);
    assert_eq!(count(2), 3);
    assert_eq!(count(3), 0);
    // Each hash of a level is the root of the full tile below it.
    for tile in tiles.iter().filter(|tile| tile.level > 0) {
        for (at, hash) in tile.hashes.iter().enumerate() {
            let index = tile.index * 256 + at as u64;
            let below = tiles
                .iter()
                .find(|below| below.level == tile.level - 1 && below.index == index)
                .unwrap();
            assert_eq!(perfect_root(&below.hashes), *hash);
        }
    }
    // The right edge of each level, cut into perfect subtrees, is the tree's frontier.
    let edge: Vec<u8> = [2, 1, 0]
        .into_iter()
        .filter_map(|level| tiles.iter().rfind(|tile| tile.level == level))
        .flat_map(|tile| {
            let mut part = Frontier::new();
            tile.hashes.iter().for_each(|hash| part.append(*hash));
            part.to_bytes()
        })
        .collect();
    assert_eq!(edge, tree.to_bytes());
    for tile in &tiles {
        assert_eq!(read_hashes(&tile.to_bytes()).as_ref(), Ok(&tile.hashes));
        let full = tile.hashes.len() == usize::from(TILE_WIDTH);
        assert_eq!(tile.path().contains(".p/"), !full);
    }
}

#[test]
fn bundles_come_back_and_damaged_ones_are_named() {
    let entries: [&[u8]; 3] = [b"one", b"", b"three"];
    let bytes = write_entries(entries).unwrap();
    assert_eq!(bytes, b"\0\x03one\0\0\0\x05three");
    assert_eq!(read_entries(&bytes).unwrap(), entries);
    assert_eq!(
        read_entries(&bytes[..bytes.len() - 1]),
        Err(TileError::Cut(2))
    );
    assert_eq!(read_entries(&bytes[..6]), Err(TileError::Cut(1)));
    assert_eq!(read_entries(b""), Err(TileError::Bundle));
    assert_eq!(read_entries(&[0; 514]), Err(TileError::Bundle));
    assert_eq!(write_entries(Vec::<Vec<u8>>::new()), Err(TileError::Bundle));
    assert_eq!(write_entries(vec![[]; 257]), Err(TileError::Bundle));
    assert_eq!(write_entries([vec![0; 65_536]]), Err(TileError::TooLong(0)));
    for length in [0, 31, 33, 257 * 32] {
        assert_eq!(read_hashes(&vec![0; length]), Err(TileError::Tile));
    }
}
