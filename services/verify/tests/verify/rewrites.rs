//! Records are taken out, doubled, moved or changed by somebody who makes tree, tiles and manifest right again but does
//! not have the log's key; and by somebody who has it.

use std::thread;

use assay_audit::Hash;
use assay_verify::{Check, Options, Verdict};

use crate::dice::Dice;
use crate::export::{Parts, note};
use crate::honest::assert_verdict;
use crate::keys::{NoteKey, keys};
use crate::scenes::{large, small};
use crate::tiles;

/// One thing done to the records; what it was.
fn rewrite(records: &mut Vec<Vec<u8>>, dice: &mut Dice) -> String {
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
            let until = (at + 1 + dice.below(500)).min(records.len());
            records.drain(at..until);
            format!("records {} to {until} deleted", at + 1)
        }
        _ => {
            let byte = dice.below(records[at].len());
            records[at][byte] ^= 1;
            format!("byte {byte} of record {} flipped", at + 1)
        }
    }
}

/// `times` rewrites of the large log, each looked at as deeply as `options` say.
fn rewrites(times: usize, seed: u64, options: &Options) {
    let (parts, trust) = (large(), keys().trust());
    let mut base = parts.export();
    if options.tree_only {
        // What is not looked at need not be written.
        base.0
            .retain(|path, _| !path.starts_with("evidence/") && !path.starts_with("cert"));
    }
    let hashes = base.hashes();
    let mut dice = Dice(seed);
    for _ in 0..times {
        let mut records = parts.records.clone();
        let what = rewrite(&mut records, &mut dice);
        if records == parts.records {
            continue;
        }
        let leaves: Vec<Hash> = records.iter().map(|record| Hash::of_leaf(record)).collect();
        let size = records.len() as u64;
        let bundles: Vec<u64> = (0..assay_verify::layout::bundles_of(size)).collect();
        let mut export = base.clone();
        export
            .0
            .retain(|path, _| !path.starts_with("tile/") && export_has(path, &bundles));
        for (path, tile) in tiles::all(&leaves, &records, &bundles) {
            export.put(path, tile);
        }
        export.list_with(size, bundles, &hashes);
        let report = export.verify_with(Some(&trust), options);
        assert_eq!(report.verdict, Verdict::Bad, "{what}");
        let found = |check| report.bad.iter().any(|finding| finding.check == check);
        assert!(!found(Check::Manifest), "{what}");
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

fn tree_only() -> Options {
    Options {
        tree_only: true,
        threads: 1,
        ..Options::default()
    }
}

/// The tree alone tells it: what records say is not looked at, but for two of them.
#[test]
fn without_the_log_key_no_rewrite_passes() {
    large();
    thread::scope(|scope| {
        for seed in [3, 4] {
            scope.spawn(move || rewrites(500, seed, &tree_only()));
        }
    });
    rewrites(2, 5, &Options::default());
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

/// History is written anew under the log's key, and goes on from there.
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
