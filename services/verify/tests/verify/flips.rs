//! One byte of an export is another: found, with the manifest as it was and with the manifest made right again.

use std::sync::Arc;

use assay_verify::{Check, Options, Verdict, Where, signed_tree};

use crate::dice::Dice;
use crate::export::{Export, Parts};
use crate::keys::keys;
use crate::rollover::rolled;
use crate::scenes::{large, small};
use crate::tier;

/// Files and signatures are looked at before anything that a record says, so that is enough here.
fn quick() -> Options {
    Options {
        tree_only: true,
        threads: 1,
        ..Options::default()
    }
}

fn flipped(export: &Export, path: &str, at: usize, bit: u8) -> Export {
    let mut export = export.clone();
    let file = export.0.get_mut(path).unwrap();
    Arc::make_mut(file)[at] ^= 1 << bit;
    export
}

/// Each byte of the files of which `which` says so, or every nth (see `tier`).
fn each_byte(which: impl Fn(usize) -> bool) {
    let (export, trust, options) = (small().export(), keys().trust(), quick());
    let files = export.0.iter().enumerate();
    for (_, (path, content)) in files.filter(|(n, _)| which(*n)) {
        for at in (0..content.len()).step_by(tier::size("flipped bytes: stride")) {
            let bit = u8::try_from(at % 8).unwrap();
            let report = flipped(&export, path, at, bit).verify_with(Some(&trust), &options);
            assert_eq!(report.verdict, Verdict::Bad, "{path}, byte {at}");
            let named = report
                .bad
                .iter()
                .any(|finding| finding.at == Where::File(path.clone()));
            // A manifest that lists another file, or another hash of it, is at odds with that file.
            assert!(named || path == "manifest.json", "{path}, byte {at}");
        }
    }
}

#[test]
fn every_byte_of_every_second_file_is_found_and_its_file_named() {
    each_byte(|n| n % 2 == 0);
}

#[test]
fn every_byte_of_all_the_other_files_is_found_and_its_file_named() {
    each_byte(|n| n % 2 == 1);
}

/// What only the manifest would tell is told by a signature, the tree, an equality or the decision made again.
fn with_the_manifest_made_right(parts: &Parts, seed: u64) {
    let flips = tier::size("flips with a right manifest");
    let (export, trust) = (parts.export(), keys().trust());
    let options = Options {
        threads: 1,
        ..Options::default()
    };
    let files: Vec<(&String, usize)> = export
        .0
        .iter()
        .map(|(path, content)| (path, content.len()))
        .filter(|(path, _)| *path != "manifest.json")
        .collect();
    let octets: usize = files.iter().map(|(_, octets)| octets).sum();
    let mut dice = Dice(seed);
    for _ in 0..flips {
        let mut at = dice.below(octets);
        let mut all = files.iter();
        let path = loop {
            let (path, octets) = all.next().unwrap();
            if at < *octets {
                break *path;
            }
            at -= octets;
        };
        let bit = u8::try_from(dice.below(8)).unwrap();
        let mut export = flipped(&export, path, at, bit);
        export.relist();
        let report = export.verify_with(Some(&trust), &options);
        assert_ne!(
            report.verdict,
            Verdict::Proven,
            "{path}, byte {at}, bit {bit}"
        );
        let manifest = |finding: &assay_verify::Finding| finding.check == Check::Manifest;
        assert!(!report.bad.iter().any(manifest), "{path}, byte {at}");
    }
}

#[test]
fn flips_are_found_without_the_help_of_the_manifest() {
    with_the_manifest_made_right(small(), 1);
}

#[test]
fn more_flips_are_found_without_the_help_of_the_manifest() {
    with_the_manifest_made_right(small(), 2);
}

#[test]
fn flips_are_found_where_there_are_two_cas() {
    with_the_manifest_made_right(rolled(), 3);
}

#[test]
fn a_flipped_record_is_named_by_its_sequence_number() {
    let export = small().export();
    let path = &format!("tile/entries/000.p/{}", small().records.len());
    let mut at = 0;
    for sequence in 1_u64.. {
        let Some(length) = export.get(path).get(at..at + 2) else {
            break;
        };
        let length = usize::from(u16::from_be_bytes(length.try_into().unwrap()));
        let mut export = flipped(&export, path, at + 2 + length / 2, 0);
        export.relist();
        let report = export.verify();
        assert_eq!(
            report.bad[0].at,
            Where::Record(sequence),
            "{}",
            report.bad[0]
        );
        at += 2 + length;
    }
    assert_eq!(at, export.get(path).len());
}

#[test]
fn a_flipped_hash_is_told_from_a_flipped_record() {
    let export = small().export();
    let path = &format!("tile/0/000.p/{}", small().records.len());
    let mut export = flipped(&export, path, 32 * 9, 0);
    export.relist();
    let report = export.verify();
    assert_eq!(report.verdict, Verdict::Bad);
    assert_eq!(report.bad[0].at, Where::File(path.to_owned()));
    assert!(
        report.bad[0].member.contains("record 10"),
        "{}",
        report.bad[0]
    );
}

#[test]
fn the_tree_of_an_export_is_that_of_its_checkpoint_or_there_is_none() {
    let (export, trust) = (large().export(), keys().trust());
    let tree = signed_tree(&export, &quick()).unwrap();
    let checkpoint = tree.verify(&trust.log_key, &[]).unwrap();
    let size = checkpoint.size;
    let report = export.verify_with(Some(&trust), &quick());
    assert_eq!(size, report.size);
    let tiles = export.0.keys().filter(|path| {
        let is_tile = path.starts_with("tile/") && !path.starts_with("tile/entries");
        is_tile || *path == "checkpoint"
    });
    for path in tiles {
        let mut export = flipped(&export, path, 0, 0);
        signed_tree(&export, &quick()).unwrap_err();
        export.relist();
        let finding = signed_tree(&export, &quick()).unwrap_err();
        let wanted = [Check::Tree, Check::Checkpoint];
        assert!(wanted.contains(&finding.check), "{path}: {finding}");
    }
}
