//! Records are taken out, doubled, moved or changed by somebody who makes tree, tiles and manifest right again but does
//! not have the log's key; and by somebody who has it.

use std::sync::Arc;

use assay_audit::tile::{Tiler, entries_path};
use assay_types::Hash;
use assay_verify::layout::{BUNDLE, bundles_of, records_in};
use assay_verify::{Check, Options, Verdict};

use crate::dice::Dice;
use crate::export::{Export, Hashes, Parts, note};
use crate::honest::assert_verdict;
use crate::keys::{NoteKey, keys};
use crate::scenes::{large, small};
use crate::tier;

/// A record and its leaf hash.
type Leaf = (Hash, Arc<Vec<u8>>);

/// One thing done to the records; what it was.
fn rewrite(records: &mut Vec<Leaf>, dice: &mut Dice) -> String {
    let at = dice.below(records.len());
    match dice.below(6) {
        0 => {
            records.remove(at);
            format!("record {} deleted", at + 1)
        }
        1 => {
            let record = records[at].clone();
            records.insert(dice.below(records.len()), record);
            format!("record {} doubled", at + 1)
        }
        2 => {
            let to = dice.below(records.len() - 1);
            let record = records.remove(at);
            let to = if to == at { records.len() } else { to };
            records.insert(to, record);
            format!("record {} moved to {}", at + 1, to + 1)
        }
        3 => {
            records.truncate(at.max(1));
            format!("cut after {}", at.max(1))
        }
        4 => {
            let most = records.len().div_ceil(40);
            let until = (at + 1 + dice.below(most)).min(records.len());
            records.drain(at..until);
            format!("records {} to {until} deleted", at + 1)
        }
        _ => {
            let mut record = records[at].1.to_vec();
            let byte = dice.below(record.len());
            record[byte] ^= 1;
            records[at] = (Hash::of_leaf(&record), Arc::new(record));
            format!("byte {byte} of record {} flipped", at + 1)
        }
    }
}

/// The export with these records in it: entries, hash tiles and manifest as they must be, and the checkpoint that there is.
fn rewritten(base: &Export, hashes: &Hashes, before: &[Leaf], records: &[Leaf]) -> Export {
    let pairs = before.iter().zip(records);
    let same = pairs.take_while(|(before, now)| before.0 == now.0).count();
    let size = records.len() as u64;
    let bundles: Vec<u64> = (0..bundles_of(size)).collect();
    let mut export = base.clone();
    let kept = |n: u64| before.len() >= records.len() || (n + 1) * BUNDLE <= before.len() as u64;
    let is_kept = |n: u64| (n + 1) * BUNDLE <= same as u64 && kept(n);
    export.0.retain(|path, _| {
        let full = ["tile/0/", "tile/entries/"].iter();
        let mut number = full.filter_map(|folder| path.strip_prefix(folder)?.parse().ok());
        match number.next() {
            Some(n) => is_kept(n),
            _ => !path.starts_with("tile/") && export_has(path, &bundles),
        }
    });
    let mut tiler = Tiler::new();
    let mut tiles = Vec::new();
    for (hash, _) in records {
        tiles.extend(tiler.push(*hash));
    }
    tiles.extend(tiler.finish());
    for tile in tiles {
        if tile.level > 0 || !is_kept(tile.index) {
            export.put(tile.path(), tile.to_bytes());
        }
    }
    for bundle in (0..bundles_of(size)).filter(|n| !is_kept(*n)) {
        let first = usize::try_from(bundle * BUNDLE).unwrap();
        let width = usize::try_from(records_in(bundle, size)).unwrap();
        let mut content = Vec::new();
        for (_, record) in &records[first..first + width] {
            content.extend_from_slice(&u16::try_from(record.len()).unwrap().to_be_bytes());
            content.extend_from_slice(record);
        }
        export.put(entries_path(bundle, width), content);
    }
    export.list_with(size, bundles, hashes);
    export
}

/// `times` rewrites of a log, each looked at as deeply as `options` say.
fn rewrites(parts: &Parts, times: usize, seed: u64, options: &Options) {
    let trust = keys().trust();
    let mut base = parts.export();
    if options.tree_only {
        // What is not looked at need not be written.
        base.0
            .retain(|path, _| !path.starts_with("evidence/") && !path.starts_with("cert"));
    }
    let hashes = base.hashes();
    let leaf = |record: &Vec<u8>| (Hash::of_leaf(record), Arc::new(record.clone()));
    let before: Vec<Leaf> = parts.records.iter().map(leaf).collect();
    let mut dice = Dice(seed);
    for _ in 0..times {
        let mut records = before.clone();
        let what = rewrite(&mut records, &mut dice);
        if records == before {
            continue;
        }
        let export = rewritten(&base, &hashes, &before, &records);
        let report = export.verify_with(Some(&trust), options);
        assert_eq!(report.verdict, Verdict::Bad, "{what}");
        let found = |check| report.bad.iter().any(|finding| finding.check == check);
        assert!(!found(Check::Manifest), "{what}: {}", report.bad[0]);
        assert!(found(Check::Tree) || found(Check::Checkpoint), "{what}");
    }
}

/// Evidence and certificates of bundles that are gone are gone too.
fn export_has(path: &str, bundles: &[u64]) -> bool {
    let number = path
        .strip_prefix("evidence/")
        .or_else(|| path.strip_prefix("certificates/"))
        .and_then(|name| name.split('.').next()?.parse::<u64>().ok());
    number.is_none_or(|bundle| bundles.contains(&bundle))
}

/// The tree alone shows it: the contents of records are not verified. A thousand in all, in four tests that run at once, of
/// which `make test` runs the first.
fn rewrites_of_the_large_log(seed: u64) {
    let options = Options {
        tree_only: true,
        threads: 1,
        ..Options::default()
    };
    let times = tier::size("rewrites of a large log");
    rewrites(large(), times, seed, &options);
}

#[test]
fn without_the_log_key_no_rewrite_of_a_large_log_passes() {
    rewrites_of_the_large_log(3);
}

#[test]
fn without_the_log_key_no_rewrite_of_a_large_log_passes_in_a_second_try() {
    rewrites_of_the_large_log(4);
}

#[test]
fn without_the_log_key_no_rewrite_of_a_large_log_passes_in_a_third_try() {
    rewrites_of_the_large_log(5);
}

#[test]
fn without_the_log_key_no_rewrite_of_a_large_log_passes_in_a_fourth_try() {
    rewrites_of_the_large_log(6);
}

#[test]
fn without_the_log_key_no_rewrite_passes_the_whole_verification() {
    rewrites(small(), 60, 5, &Options::default());
}

fn cut(parts: &Parts, size: usize) -> Parts {
    let mut parts = parts.clone();
    parts.records.truncate(size);
    parts.evidence.split_off(&(size as u64 + 1));
    parts.certificates.split_off(&(size as u64 + 1));
    parts
}

/// The log's key signs a shorter log; the witness, which saw the longer one, does not.
#[test]
fn a_cut_tail_is_found_by_the_witness_and_by_an_earlier_checkpoint() {
    let whole = small();
    let keys = keys();
    let earlier = note(&whole.checkpoint_text(), &[&keys.log, &keys.witness]);
    let earlier = String::from_utf8(earlier).unwrap();
    let size = whole.records.len() - 5;
    let cut = cut(whole, size);
    let text = cut.checkpoint_text();

    let export = cut.with_checkpoint(note(&text, &[&keys.log]));
    let report = export.verify();
    assert_verdict(&report, Verdict::Incomplete);
    assert!(
        report
            .open
            .iter()
            .any(|finding| finding.check == Check::Witnesses)
    );

    let mut trust = keys.trust();
    trust.earlier = Some(earlier.clone());
    let report = export.verify_with(Some(&trust), &Options::default());
    assert_verdict(&report, Verdict::Bad);
    assert!(
        report
            .bad
            .iter()
            .any(|finding| finding.check == Check::Earlier)
    );

    let options = Options {
        earlier: Some(earlier),
        ..Options::default()
    };
    let report = export.verify_with(Some(&keys.trust()), &options);
    assert!(
        report
            .bad
            .iter()
            .any(|finding| finding.check == Check::Earlier)
    );
}

/// History is written anew under the log's key, and continues from there.
#[test]
fn another_history_is_found_by_an_earlier_checkpoint() {
    let keys = keys();
    let before = cut(small(), 20);
    let earlier = note(&before.checkpoint_text(), &[&keys.log]);
    let mut trust = keys.trust();
    trust.earlier = Some(String::from_utf8(earlier).unwrap());
    let honest = small().export();
    let report = honest.verify_with(Some(&trust), &Options::default());
    assert_verdict(&report, Verdict::Proven);

    let mut other = small().clone();
    let record = String::from_utf8(other.records[1].clone()).unwrap();
    other.records[1] = record.replace("7a6f", "7a70").into_bytes();
    let report = other
        .export()
        .verify_with(Some(&trust), &Options::default());
    assert_verdict(&report, Verdict::Bad);
    assert_eq!(report.bad.last().unwrap().check, Check::Earlier);
}

#[test]
fn a_checkpoint_of_another_key_proves_nothing() {
    let parts = small();
    let other = NoteKey::new("log.example.org/assay", 1);
    let export = parts.with_checkpoint(note(&parts.checkpoint_text(), &[&other]));
    let report = export.verify();
    assert_verdict(&report, Verdict::Bad);
    assert_eq!(report.bad[0].check, Check::Checkpoint);
}
