//! The entries of CRLs follow from the log's own records: a list with others is found, and so is a revocation that is gone.

use assay_types::canonical;
use assay_verify::{Check, Report, Verdict};
use serde_json::Value;

use crate::export::Parts;
use crate::honest::assert_verdict;
use crate::logs::without;
use crate::maker::{Maker, files};
use crate::scenes::asks;

const DAY_MS: u64 = 86_400_000;

fn started() -> Maker {
    let mut maker = Maker::new();
    maker.start();
    maker.activate(&files("CHG-1"), &[]);
    maker
}

fn issue(maker: &mut Maker, device: &str) -> String {
    let subject = format!("CN={device},O=Example");
    let by = maker.challenge("devices", &subject, &["dns:a.example.com"]);
    maker.issue(&asks("devices", &subject, &["dns:a.example.com"], by))
}

/// Its one finding is of VER-26, and of this member.
#[track_caller]
fn found(report: &Report, member: &str) {
    let all = report.bad.iter().chain(&report.open);
    let found: Vec<_> = all.map(|it| (it.check, it.member.as_str())).collect();
    assert_eq!(found, [(Check::Crls, member)]);
}

/// Alters a member of the last record of a kind.
fn alter(parts: &mut Parts, kind: &str, change: impl FnOnce(&mut Value)) {
    let mut records = parts.records.iter_mut().rev();
    let (record, mut members) = records
        .find_map(|record| {
            let members: Value = serde_json::from_slice(record).unwrap();
            (members["kind"] == kind).then_some((record, members))
        })
        .unwrap();
    change(&mut members);
    *record = canonical(&members).unwrap().into_bytes();
}

/// A log with one certificate of each fate, each on a CRL or off it, two of them on a list that came later.
fn fates() -> Maker {
    let mut maker = started();
    let devices: Vec<String> = (0..4)
        .map(|n| issue(&mut maker, &format!("device-{n}")))
        .collect();
    maker.crl();
    maker.revoke(&devices[0]);
    maker.hold(&devices[1]);
    maker.hold(&devices[2]);
    maker.pass(5_000);
    maker.crl();
    maker.release(&devices[1]);
    // It keeps the date of its hold.
    maker.revoke(&devices[2]);
    maker.pass(5_000);
    maker.crl();
    maker
}

#[test]
fn lists_of_every_kind_of_change_are_proven() {
    assert_verdict(&fates().parts.export().verify(), Verdict::Proven);
}

#[test]
fn a_list_with_another_number_or_other_entries_is_found() {
    let mut parts = fates().parts;
    alter(&mut parts, "crl.issued", |it| it["entries"] = 3.into());
    found(&parts.export().verify(), "entries");
    let mut parts = fates().parts;
    let other = "0".repeat(64);
    alter(&mut parts, "crl.issued", |it| {
        it["entries_sha256"] = other.into();
    });
    found(&parts.export().verify(), "entries_sha256");
    // A revocation of another time or for another reason.
    let mut parts = fates().parts;
    let reason = "superseded";
    alter(&mut parts, "certificate.revoked", |it| {
        it["reason"] = reason.into();
    });
    found(&parts.export().verify(), "entries_sha256");
}

#[test]
fn a_revocation_a_hold_and_a_release_that_are_gone_are_found() {
    let parts = fates().parts;
    let mut kinds = Vec::new();
    for at in 0..parts.records.len() {
        let record: Value = serde_json::from_slice(&parts.records[at]).unwrap();
        let kind = record["kind"].as_str().unwrap();
        if kind.starts_with("certificate.") {
            kinds.push(kind.to_owned());
            let report = without(&parts, at).export().verify();
            assert_verdict(&report, Verdict::Bad);
            let mut bad = report.bad.iter();
            assert!(bad.any(|it| it.check == Check::Crls), "{kind}");
        }
    }
    assert_eq!(kinds.len(), 5, "{kinds:?}");
}

#[test]
fn a_list_covers_what_is_older_than_two_minutes() {
    // A revocation while a list is made is on the next one.
    let mut maker = started();
    let device = issue(&mut maker, "device-1");
    let covers = maker.parts.records.len() as u64;
    let key_id = "01";
    maker.crl_that_covers(key_id, 1, covers);
    maker.revoke(&device);
    maker.crl_as(key_id, 2);
    assert_verdict(&maker.parts.export().verify(), Verdict::Proven);
    // One that leaves it out for longer is found, and so is one that has it and does not say so.
    let mut maker = started();
    let device = issue(&mut maker, "device-1");
    maker.hold_and_release(&device);
    let covers = maker.parts.records.len() as u64 - 2;
    maker.pass(180_000);
    maker.crl_that_covers(key_id, 1, covers);
    found(&maker.parts.export().verify(), "covers");
    let mut maker = started();
    let device = issue(&mut maker, "device-1");
    let covers = maker.parts.records.len() as u64;
    maker.revoke(&device);
    maker.crl_that_covers(key_id, 1, covers);
    found(&maker.parts.export().verify(), "entries");
    // No list covers what comes after it, or less than the one before.
    let mut maker = started();
    issue(&mut maker, "device-1");
    let next = maker.parts.records.len() as u64 + 1;
    maker.crl_that_covers(key_id, 1, next);
    found(&maker.parts.export().verify(), "covers");
    let mut maker = started();
    issue(&mut maker, "device-1");
    maker.crl();
    maker.crl_that_covers(key_id, 2, 1);
    found(&maker.parts.export().verify(), "covers");
}

#[test]
fn a_certificate_that_ended_is_listed_once_more() {
    let mut maker = started();
    let device = issue(&mut maker, "device-1");
    maker.revoke(&device);
    maker.crl();
    // Certificates of these profiles end within 400 days.
    maker.pass(400 * DAY_MS);
    maker.crl();
    let once_more = maker.parts.records.last().unwrap().clone();
    maker.pass(1_000);
    maker.crl();
    let entries = |record: &[u8]| {
        let record: Value = serde_json::from_slice(record).unwrap();
        record["entries"].as_u64().unwrap()
    };
    let last = maker.parts.records.last().unwrap();
    assert_eq!((entries(&once_more), entries(last)), (1, 0));
    let report = maker.parts.export().verify();
    assert!(report.bad.iter().all(|it| it.check != Check::Crls));
    // It may not be left out before.
    alter(&mut maker.parts, "crl.issued", |it| {
        it["entries"] = 1.into();
    });
    let report = maker.parts.export().verify();
    assert!(report.bad.iter().any(|it| it.member == "entries"));
}
