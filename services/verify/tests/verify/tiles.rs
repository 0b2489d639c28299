//! Tiles of a tree, made here and compared with nothing of the verifier's own.

use assay_types::Hash;
use assay_verify::layout::records_in;
use sha2::{Digest, Sha256};

const WIDTH: usize = 256;

/// RFC 6962 section 2.1.
pub(crate) fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Hash::of(b""),
        [one] => *one,
        many => {
            let left = many.len().next_power_of_two() / 2;
            let (left, right) = (root(&many[..left]), root(&many[left..]));
            Sha256::new()
                .chain_update([1])
                .chain_update(left.as_bytes())
                .chain_update(right.as_bytes())
                .into()
        }
    }
}

/// C2SP tlog-tiles: every hash tile, and the entry bundles that are held.
pub(crate) fn all(leaves: &[Hash], records: &[Vec<u8>], bundles: &[u64]) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    let mut hashes = leaves.to_vec();
    for level in 0.. {
        if hashes.is_empty() {
            break;
        }
        for (n, tile) in hashes.chunks(WIDTH).enumerate() {
            let mut content = Vec::with_capacity(tile.len() * 32);
            for hash in tile {
                content.extend_from_slice(hash.as_bytes());
            }
            files.push((path(&level.to_string(), n, tile.len()), content));
        }
        hashes = hashes.chunks_exact(WIDTH).map(root).collect();
    }
    for &bundle in bundles {
        let size = records.len() as u64;
        let width = usize::try_from(records_in(bundle, size)).unwrap();
        let first = usize::try_from(bundle).unwrap() * WIDTH;
        let mut content = Vec::new();
        for record in &records[first..first + width] {
            let length = u16::try_from(record.len()).unwrap();
            content.extend_from_slice(&length.to_be_bytes());
            content.extend_from_slice(record);
        }
        let path = path("entries", usize::try_from(bundle).unwrap(), width);
        files.push((path, content));
    }
    files
}

fn path(level: &str, n: usize, width: usize) -> String {
    let mut path = format!("{:03}", n % 1000);
    let mut n = n / 1000;
    while n > 0 {
        path = format!("x{:03}/{path}", n % 1000);
        n /= 1000;
    }
    let partial = if width == WIDTH {
        String::new()
    } else {
        format!(".p/{width}")
    };
    format!("tile/{level}/{path}{partial}")
}
