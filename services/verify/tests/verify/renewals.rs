//! Renewals of what is not in force any more, renewals beyond the one that a profile allows, and revocations that claim a line.

use assay_verify::{Check, Report, Verdict};

use crate::honest::assert_verdict;
use crate::maker::{Asks, Maker, Opened, files};
use crate::scenes::{DEVICE, asks};

const SAN: &str = "dns:a.example.com";

/// A log with one certificate, whose profile has these further lines under `[renewal]`.
fn with_one(lines: &str) -> (Maker, String) {
    let mut maker = Maker::new();
    maker.start();
    let mut files = files("CHG-1");
    let devices = files.iter_mut().find(|file| file.name == "devices.toml");
    let devices = devices.unwrap();
    let text = String::from_utf8(devices.content.clone()).unwrap();
    let text = text.replace("[renewal]\n", &format!("[renewal]\n{lines}\n"));
    devices.content = text.into_bytes();
    maker.activate(&files, &[]);
    let by = maker.challenge("devices", DEVICE, &[SAN]);
    let first = maker.issue(&asks("devices", DEVICE, &[SAN], by));
    (maker, first)
}

fn open(maker: &mut Maker, old: &str) -> Opened {
    let by = maker.renewal(old);
    maker.open(&Asks {
        message_type: "17",
        secret: false,
        new_key: true,
        ..asks("devices", DEVICE, &[SAN], by)
    })
}

fn renew(maker: &mut Maker, old: &str) -> String {
    let opened = open(maker, old);
    maker.finish(opened, false)
}

fn found(report: &Report, check: Check, member: &str, got: &str) {
    assert_verdict(report, Verdict::Bad);
    let is_it = |it: &&assay_verify::Finding| {
        it.check == check && it.member == member && it.got.contains(got)
    };
    assert!(report.bad.iter().any(|it| is_it(&it)), "{:?}", report.bad);
}

#[test]
fn a_permit_for_a_certificate_that_was_revoked_before_is_found() {
    let (mut maker, first) = with_one("");
    maker.revoke(&first);
    renew(&mut maker, &first);
    let report = maker.parts.export().verify();
    found(
        &report,
        Check::Renewals,
        "source.serial",
        "which is revoked",
    );
}

#[test]
fn a_certificate_that_is_issued_after_its_predecessor_was_revoked_is_found() {
    for hold in [false, true] {
        let (mut maker, first) = with_one("");
        let opened = open(&mut maker, &first);
        if hold {
            maker.hold(&first);
        } else {
            maker.revoke(&first);
        }
        maker.finish(opened, false);
        let report = maker.parts.export().verify();
        found(&report, Check::Renewals, "renewal_of", "which is");
    }
}

#[test]
fn a_renewal_that_was_given_up_as_its_predecessor_was_revoked_is_as_it_should_be() {
    let (mut maker, first) = with_one("");
    let opened = open(&mut maker, &first);
    maker.revoke(&first);
    maker.abandon(opened);
    maker.crl();
    assert_verdict(&maker.parts.export().verify(), Verdict::Proven);
}

#[test]
fn a_second_renewal_is_found_only_where_the_profile_allows_one() {
    for (lines, verdict) in [
        ("once = true", Verdict::Bad),
        ("once = false", Verdict::Proven),
    ] {
        let (mut maker, first) = with_one(lines);
        renew(&mut maker, &first);
        assert_verdict(&maker.parts.clone().export().verify(), Verdict::Proven);
        renew(&mut maker, &first);
        let report = maker.parts.export().verify();
        assert_verdict(&report, verdict);
        if verdict == Verdict::Bad {
            found(&report, Check::Renewals, "renewal_of", "a second one");
        }
    }
}

#[test]
fn a_certificate_that_names_another_predecessor_than_its_permit_is_found() {
    let (mut maker, first) = with_one("");
    let second = renew(&mut maker, &first);
    let mut opened = open(&mut maker, &first);
    opened.renews = opened.renews.map(|(_, grace)| (second, grace));
    maker.finish(opened, false);
    let report = maker.parts.export().verify();
    found(&report, Check::Renewals, "renewal_of", "");
}

#[test]
fn a_revocation_with_successors_is_of_successors() {
    let (mut maker, first) = with_one("");
    let second = renew(&mut maker, &first);
    let third = renew(&mut maker, &second);
    let by = maker.challenge("devices", DEVICE, &[SAN]);
    let stranger = maker.issue(&asks("devices", DEVICE, &[SAN], by));
    maker.revoke(&first);
    maker.revoke_successor(&third, &first);
    maker.crl();
    assert_verdict(&maker.parts.clone().export().verify(), Verdict::Proven);
    maker.revoke_successor(&stranger, &first);
    let report = maker.parts.export().verify();
    found(&report, Check::Revocations, "successor_of", &first);
}

/// Evidence names an earlier renewal, and the log must have it.
#[test]
fn an_earlier_renewal_that_there_was_not_is_found() {
    let (mut maker, first) = with_one("");
    let by = maker.renewal_after(&first, &first);
    maker.issue(&Asks {
        message_type: "17",
        secret: false,
        new_key: true,
        ..asks("devices", DEVICE, &[SAN], by)
    });
    let report = maker.parts.export().verify();
    found(&report, Check::Renewals, "source.successor", &first);
}
