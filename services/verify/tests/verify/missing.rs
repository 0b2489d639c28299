//! One record is taken out: the first finding names it, before anything that follows from it.

use std::collections::{BTreeMap, BTreeSet};

use assay_audit::Event;
use assay_audit::tile::entries_path;
use assay_types::canonical;
use assay_verify::{ANY, Check, Finding, Report, Verdict, Where};
use serde_json::Value;

use crate::export::{Export, Parts, note};
use crate::keys::keys;
use crate::logs::{Log, logs, without, without_all};

fn first(report: &Report) -> &Finding {
    report.bad.first().or(report.open.first()).unwrap()
}

/// The first and the last place of each kind.
fn of_each_kind(log: &Log) -> BTreeSet<usize> {
    let mut places: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for (at, kind) in log.places() {
        places.entry(kind).or_insert((at, at)).1 = at;
    }
    places.values().flat_map(|(a, b)| [*a, *b]).collect()
}

/// The records after it keep their numbers.
fn with_gap(parts: &Parts, at: usize) -> Parts {
    let mut rest = parts.clone();
    rest.records.remove(at);
    rest
}

/// The bundle lacks the record, and the tree still has it.
fn with_short_bundle(parts: &Parts, at: usize) -> Export {
    let mut export = parts.export();
    let mut records = parts.records.clone();
    let path = entries_path(0, records.len());
    records.remove(at);
    let mut content = Vec::new();
    for record in &records {
        content.extend_from_slice(&u16::try_from(record.len()).unwrap().to_be_bytes());
        content.extend_from_slice(record);
    }
    export.put(path, content);
    export.relist();
    export
}

#[track_caller]
fn assert_named(report: &Report, at: usize, what: &str) {
    assert_eq!(report.verdict, Verdict::Bad, "{what}");
    let first = first(report);
    let number = at as u64 + 1;
    assert_eq!(first.at, Where::Record(number), "{what}: {first}");
    assert_eq!(*first.missing, [ANY], "{what}: {first}");
}

/// Whether the tree was made anew and signed or not.
#[test]
fn a_gap_in_the_numbers_is_named_before_everything_else() {
    let keys = keys();
    for log in logs() {
        let parts = log.parts();
        let signed = note(&parts.checkpoint_text(), &[&keys.log, &keys.witness]);
        for at in of_each_kind(&log) {
            let what = format!("{}, record {}", log.name, at + 1);
            let report = log.verify_export(&with_short_bundle(parts, at));
            assert_named(&report, at, &what);
            // After the last one there is no gap.
            if at + 1 == parts.records.len() {
                continue;
            }
            let rest = with_gap(parts, at);
            for export in [rest.export(), rest.with_checkpoint(signed.clone())] {
                let report = log.verify_export(&export);
                assert_named(&report, at, &what);
                let wanted = &first(&report).wanted;
                assert_eq!(*wanted, format!("record {}", at + 1), "{what}");
            }
        }
    }
}

/// Each number is wanted once, also by the bundles after the gap.
#[test]
fn several_records_that_are_missing_are_named_by_their_numbers() {
    let parts = crate::scenes::many(600, 0);
    let mut rest = parts.clone();
    rest.records.drain(300..303);
    rest.records.remove(20);
    let report = rest.export().verify();
    let named: Vec<(&Where, &str)> = report
        .bad
        .iter()
        .filter(|finding| *finding.missing == [ANY])
        .map(|finding| (&finding.at, finding.wanted.as_str()))
        .collect();
    assert_eq!(named.first(), Some(&(&Where::Record(21), "record 21")));
    // Findings are cut off after the first hundred records.
    let mut rest = parts;
    rest.records.drain(254..257);
    let report = rest.export().verify();
    let found = report.bad.iter();
    let mut found = found.filter(|finding| *finding.missing == [ANY]);
    let finding = found.next().unwrap();
    assert_eq!(finding.at, Where::Record(255));
    assert_eq!(finding.wanted, "records 255 to 257");
    assert_eq!(found.next(), None);
}

/// Everything after it is numbered anew, and the tree signed anew.
#[test]
fn a_record_that_is_missed_is_named_by_its_kind() {
    let mut table: BTreeMap<&str, String> = BTreeMap::new();
    let mut wrong = Vec::new();
    for log in logs() {
        for (at, kind) in log.places() {
            let rest = [Some(without(log.parts(), at)), without_all(log.parts(), at)];
            for rest in rest.into_iter().flatten() {
                let report = log.verify(&rest);
                if report.verdict == Verdict::Proven {
                    continue;
                }
                let first = first(&report);
                let text = first.to_string();
                let line = format!("{}, record {}, {kind}: {text}", log.name, at + 1);
                if !first.missing.contains(&kind.as_str()) || !text.contains(&kind) {
                    let all = report.bad.iter().chain(&report.open).take(5);
                    let all: Vec<String> = all.map(|it| format!("    {it}")).collect();
                    wrong.push(format!("{line}\n{}", all.join("\n")));
                }
                let kind = Event::KINDS.iter().find(|it| **it == kind).unwrap();
                table.entry(kind).or_insert(line);
            }
        }
    }
    for kind in Event::KINDS {
        let line = table.get(kind).map_or("not missed", String::as_str);
        println!("{kind}\n    {line}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// With the journal of the HSM service, whatever the record says and wherever it was.
#[test]
fn the_journal_names_each_record_that_is_missing() {
    for log in logs() {
        for (at, kind) in log.places() {
            let report = log.verify_with_journal(&without(log.parts(), at));
            let what = format!("{}, record {}, {kind}", log.name, at + 1);
            assert_named(&report, at, &what);
            let first = first(&report);
            assert_eq!(first.check, Check::JournalLeaves, "{what}");
            let wanted = format!("the record that is leaf {} of the journal", at + 1);
            assert!(first.wanted.starts_with(&wanted), "{what}: {first}");
        }
    }
}

#[test]
fn the_journal_names_all_records_that_are_missing_one_after_the_other() {
    let logs = logs();
    let log = &logs[0];
    let (at, _) = log
        .places()
        .find(|(_, kind)| kind == "intent.opened")
        .unwrap();
    let mut rest = log.parts().clone();
    for _ in 0..3 {
        rest = without(&rest, at);
    }
    let report = log.verify_with_journal(&rest);
    assert_named(&report, at, "three records");
    let wanted = format!(
        "the records that are leaves {} to {} of the journal",
        at + 1,
        at + 3
    );
    assert!(
        first(&report).wanted.starts_with(&wanted),
        "{}",
        first(&report)
    );

    let size = log.parts().records.len();
    let rest = without(&without(log.parts(), size - 1), size - 2);
    let report = log.verify_with_journal(&rest);
    assert_named(&report, size - 2, "the last two");
    let got = format!("none: the export ends with record {}", size - 2);
    assert_eq!(first(&report).got, got);
}

/// Of a certificate that is nowhere in the log the count of signatures alone tells, and that can be lowered: SECURITY.md says so.
#[test]
fn a_whole_issuance_that_is_gone_is_named_by_the_journal_alone() {
    let logs = logs();
    let log = logs.iter().find(|log| log.name == "rollover").unwrap();
    let members = |record: &Vec<u8>| serde_json::from_slice::<Value>(record).unwrap();
    let mut records = log.parts().records.iter();
    let at = records
        .position(|record| members(record)["subject"] == "CN=device-3,O=Example")
        .unwrap();
    let mut rest = log.parts().clone();
    for kind in ["challenge.issued", "intent.opened", "request.issued"] {
        assert_eq!(members(&rest.records[at])["kind"], kind);
        rest = without(&rest, at);
    }
    let report = log.verify(&rest);
    assert_eq!(report.verdict, Verdict::Bad);
    assert_eq!(first(&report).check, Check::Counters, "{}", first(&report));
    assert!(first(&report).missing.contains(&"request.issued"));

    let counted = rest.records.iter_mut().skip(at);
    let mut counted = counted.filter(|record| members(record)["kind"] == "hsm.counted");
    let record = counted.next().unwrap();
    let mut lowered = members(record);
    lowered["ca_signatures"] = (lowered["ca_signatures"].as_u64().unwrap() - 1).into();
    *record = canonical(&lowered).unwrap().into_bytes();
    assert_eq!(log.verify(&rest).verdict, Verdict::Proven);

    let report = log.verify_with_journal(&rest);
    assert_named(&report, at, "an issuance");
    let wanted = format!(
        "the records that are leaves {} to {} of the journal",
        at + 1,
        at + 3
    );
    assert!(first(&report).wanted.starts_with(&wanted));
}
