//! One CA takes over from another: what both issued is proven, and no mix of them is.

use std::sync::OnceLock;
use std::time::Duration;

use assay_audit::Event;
use assay_types::{Hash, Timestamp, TimestampMillis};
use assay_verify::{Check, Options, Report, Verdict, Where};

use crate::export::Parts;
use crate::honest::assert_verdict;
use crate::keys::{FIRST, NEXT, RENEWED, STRANGER, keys};
use crate::maker::{Maker, NOW_MS, files};
use crate::scenes::asks;

const SAN: &str = "dns:a.example.com";
const HOUR_MS: u64 = 3_600_000;

/// What approves [`NEXT`]: it takes over in 24 hours, and the first CA issues for 24 hours more.
fn next_ca() -> Vec<(&'static str, String)> {
    vec![
        ("rollover.issuer", keys().ca_sha256(NEXT).to_string()),
        ("rollover.overlap", "1day".to_owned()),
        ("rollover.switch_at", switch_at().to_string()),
    ]
}

/// What is changed in a record, perhaps to another hash.
type Alteration = fn(&mut Event, Hash);

const DAY: Duration = Duration::from_secs(86_400);

fn switch_at() -> Timestamp {
    TimestampMillis::from_millis(NOW_MS).seconds() + DAY
}

/// Devices were told of [`NEXT`].
fn announced() -> Event {
    Event::CaAnnounced {
        ca_sha256: keys().ca_sha256(NEXT),
        predecessor_sha256: keys().ca_sha256(FIRST),
        switch_at: switch_at(),
        answered_until: switch_at() + DAY,
    }
}

/// [`NEXT`] took over.
fn switched() -> Event {
    Event::CaSwitched {
        ca_sha256: keys().ca_sha256(NEXT),
        predecessor_sha256: keys().ca_sha256(FIRST),
    }
}

/// A run under a version that names both.
fn both() -> Maker {
    let mut maker = Maker::with(&[FIRST, NEXT]);
    maker.start();
    maker.activate_for(&files("CHG-1"), &[], FIRST, &next_ca());
    maker
}

fn issue(maker: &mut Maker, device: &str) -> String {
    let subject = format!("CN={device},O=Example");
    let by = maker.challenge("devices", &subject, &[SAN]);
    maker.issue(&asks("devices", &subject, &[SAN], by))
}

/// A device of the first CA comes again, and is answered under the next one.
fn renew(maker: &mut Maker, old: &str, device: &str) {
    let subject = format!("CN={device},O=Example");
    let by = maker.renewal(old);
    maker.issue(&crate::maker::Asks {
        message_type: "17",
        secret: false,
        new_key: true,
        ..asks("devices", &subject, &[SAN], by)
    });
}

/// A rollover from before it to after it. The second and third version have the files of the first.
pub(crate) fn rolled() -> &'static Parts {
    static PARTS: OnceLock<Parts> = OnceLock::new();
    PARTS.get_or_init(|| rolled_maker().parts)
}

/// The same with its history.
pub(crate) fn rolled_maker() -> Maker {
    let mut maker = Maker::with(&[NEXT, FIRST]);
    maker.start();
    maker.activate(&files("CHG-1"), &[]);
    maker.crl();
    let old = issue(&mut maker, "device-1");
    let revoked = issue(&mut maker, "device-2");
    maker.count_by(0, 3, true);
    maker.stop();

    maker.start();
    maker.activate_for(&files("CHG-1"), &[], FIRST, &next_ca());
    maker.record(announced());
    maker.crl_of(NEXT);
    issue(&mut maker, "device-3");
    maker.under(NEXT);
    let early = issue(&mut maker, "device-4");
    maker.revoke(&revoked);
    maker.crl_of(FIRST);
    maker.pass(25 * HOUR_MS);
    maker.record(switched());
    renew(&mut maker, &old, "device-1");
    maker.under(FIRST);
    issue(&mut maker, "device-5");
    maker.revoke(&early);
    maker.crl_of(NEXT);
    maker.crl_of(FIRST);
    // Workers of both, each the first of its CA.
    maker.count_by(200, 4, true);
    maker.count_by(201, 4, true);
    maker.stop();

    maker.pass(48 * HOUR_MS);
    maker.start();
    maker.activate_for(&files("CHG-1"), &[], NEXT, &[]);
    maker.under(NEXT);
    issue(&mut maker, "device-6");
    maker.crl();
    maker.count_by(300, 2, false);
    maker
}

#[track_caller]
fn assert_found(report: &Report, check: Check, member: &str) {
    let findings: Vec<String> = report.bad.iter().map(ToString::to_string).collect();
    let found = report
        .bad
        .iter()
        .any(|finding| finding.check == check && finding.member == member);
    assert!(found, "{check}, {member}: {}", findings.join("\n"));
}

#[test]
fn a_rollover_is_proven_from_before_it_to_after_it() {
    let report = rolled().export().verify();
    assert_verdict(&report, Verdict::Proven);
    assert_eq!(report.decided_again, 7);
    let made = |check| report.checks.iter().find(|tally| tally.check == check);
    // A decision and a certificate each; those of the first CA under a version that names both have an end besides. What
    // the announcement says, and what the switch does, and when.
    assert_eq!(made(Check::IssuingCas).unwrap().made, 2 * 7 + 2 + 4 + 4);
}

#[test]
fn what_is_said_of_a_takeover_is_held_to_the_version_in_force() {
    let found = |record: Event, hours: u64, member: &str| {
        let mut maker = both();
        maker.pass(hours * HOUR_MS);
        maker.record(record);
        assert_found(&maker.parts.export().verify(), Check::IssuingCas, member);
    };
    let other = keys().ca_sha256(STRANGER);
    let altered = |alter: Alteration| {
        let mut event = announced();
        alter(&mut event, other);
        event
    };
    let announcements: [(Alteration, &str); 4] = [
        (
            |event, other| {
                if let Event::CaAnnounced { ca_sha256, .. } = event {
                    *ca_sha256 = other;
                }
            },
            "ca_sha256",
        ),
        (
            |event, other| {
                if let Event::CaAnnounced {
                    predecessor_sha256, ..
                } = event
                {
                    *predecessor_sha256 = other;
                }
            },
            "predecessor_sha256",
        ),
        (
            |event, _| {
                if let Event::CaAnnounced { switch_at, .. } = event {
                    *switch_at = *switch_at + Duration::from_secs(1);
                }
            },
            "switch_at",
        ),
        (
            |event, _| {
                if let Event::CaAnnounced { answered_until, .. } = event {
                    *answered_until = *answered_until - Duration::from_secs(1);
                }
            },
            "answered_until",
        ),
    ];
    for (alter, member) in announcements {
        found(altered(alter), 0, member);
    }
    found(switched(), 23, "wall_ms");
    let stranger = Event::CaSwitched {
        ca_sha256: other,
        predecessor_sha256: keys().ca_sha256(FIRST),
    };
    found(stranger, 25, "ca_sha256");

    let mut maker = Maker::with(&[FIRST, NEXT]);
    maker.start();
    maker.activate(&files("CHG-1"), &[]);
    maker.record(announced());
    let report = maker.parts.export().verify();
    assert_found(&report, Check::IssuingCas, "ca_sha256");
}

#[test]
fn every_ca_of_an_export_must_be_pinned_in_any_order() {
    let export = rolled().export();
    for (pins, verdict) in [
        (&[FIRST, NEXT][..], Verdict::Proven),
        (&[STRANGER, NEXT, FIRST], Verdict::Proven),
        (&[FIRST], Verdict::Bad),
        (&[NEXT], Verdict::Bad),
        (&[NEXT, STRANGER], Verdict::Bad),
        // The certificate is pinned, not the key.
        (&[NEXT, RENEWED], Verdict::Bad),
        (&[], Verdict::Bad),
    ] {
        let trust = keys().trust_of(pins);
        let report = export.verify_with(Some(&trust), &Options::default());
        assert_verdict(&report, verdict);
        if verdict == Verdict::Bad {
            assert_found(&report, Check::Issuer, "certificate (SHA-256)");
        }
    }
}

#[test]
fn a_ca_that_is_not_in_the_export_is_missed() {
    let mut parts = rolled().clone();
    parts.issuers.remove(1);
    let report = parts.export().verify();
    assert_verdict(&report, Verdict::Bad);
    assert_found(&report, Check::Approvals, "issuer");
    assert_found(&report, Check::Decisions, "evidence.issuer_sha256");
    assert_found(&report, Check::Certificates, "issuer");
    parts = rolled().clone();
    parts.issuers.remove(0);
    let report = parts.export().verify();
    assert_found(&report, Check::Approvals, "settings.rollover.issuer");
}

#[test]
fn cas_are_numbered_without_a_gap_and_each_is_there_once() {
    let mut parts = rolled().clone();
    parts.issuers.push(keys().chain(FIRST));
    let report = parts.export().verify();
    assert_found(&report, Check::Issuer, "certificate");
    for (from, to) in [
        ("issuers/1/1.der", "issuers/1/2.der"),
        ("issuers/1/", "issuers/2/"),
    ] {
        let mut export = rolled().export();
        let moved: Vec<String> = export
            .0
            .keys()
            .filter(|path| path.starts_with(from))
            .cloned()
            .collect();
        for path in moved {
            let content = export.0.remove(&path).unwrap();
            export.0.insert(path.replace(from, to), content);
        }
        export.relist();
        let report = export.verify();
        assert_found(&report, Check::Issuer, "number");
    }
}

#[test]
fn nothing_is_decided_under_a_ca_that_no_version_names() {
    for (ca, known) in [(NEXT, true), (STRANGER, false)] {
        let mut maker = Maker::with(&[FIRST, NEXT]);
        maker.start();
        maker.activate(&files("CHG-1"), &[]);
        issue(&mut maker, "device-1");
        maker.under(ca);
        issue(&mut maker, "device-2");
        let report = maker.parts.export().verify();
        assert_verdict(&report, Verdict::Bad);
        assert_found(&report, Check::IssuingCas, "issuer_sha256");
        let missed = report.bad.iter().any(|it| it.check == Check::Certificates);
        assert_eq!(missed, !known);
    }
}

/// Both versions have the same files, so that records name them by the same hash.
#[test]
fn a_version_that_approved_the_next_ca_does_not_do_so_for_the_one_after_it() {
    let mut maker = both();
    maker.under(NEXT);
    issue(&mut maker, "device-1");
    maker.activate(&files("CHG-1"), &[]);
    issue(&mut maker, "device-2");
    let sequence = maker.parts.records.len() as u64 - 1;
    let report = maker.parts.export().verify();
    assert_found(&report, Check::IssuingCas, "issuer_sha256");
    assert_eq!(report.bad[0].at, Where::Record(sequence));
}

#[test]
fn after_the_overlap_the_ca_before_issues_no_more() {
    let mut maker = both();
    maker.pass(47 * HOUR_MS);
    issue(&mut maker, "device-1");
    assert_verdict(&maker.parts.export().verify(), Verdict::Proven);
    maker.pass(2 * HOUR_MS);
    issue(&mut maker, "device-2");
    let report = maker.parts.export().verify();
    assert_found(&report, Check::IssuingCas, "decided_ms");
    assert_eq!(report.bad.len(), 1);
}

#[test]
fn a_decision_under_one_ca_is_no_certificate_of_the_other() {
    let subject = "CN=device-1,O=Example";
    // The evidence names another CA than the certificate.
    let mut maker = both();
    let by = maker.challenge("devices", subject, &[SAN]);
    let opened = maker.open_as(&asks("devices", subject, &[SAN], by), Some(NEXT));
    maker.finish(opened, false);
    let report = maker.parts.export().verify();
    assert_found(&report, Check::Decisions, "evidence.tbs_digest");
    assert_found(&report, Check::IssuingCas, "issuer");

    // The other CA's key signs what was decided under the first.
    let mut maker = both();
    let by = maker.challenge("devices", subject, &[SAN]);
    let mut opened = maker.open(&asks("devices", subject, &[SAN], by));
    opened.signer = NEXT;
    maker.finish(opened, false);
    let report = maker.parts.export().verify();
    assert_found(&report, Check::Certificates, "signature");
    assert_eq!(report.bad.len(), 1);
}

#[test]
fn without_evidence_the_certificate_tells_its_ca() {
    for (named, verdict) in [(true, Verdict::Incomplete), (false, Verdict::Bad)] {
        let settings = if named { next_ca() } else { vec![] };
        let mut maker = Maker::with(&[FIRST, NEXT]);
        maker.start();
        maker.activate_for(&files("CHG-1"), &[], FIRST, &settings);
        maker.under(NEXT);
        issue(&mut maker, "device-1");
        maker.parts.evidence.clear();
        let report = maker.parts.export().verify();
        assert_verdict(&report, verdict);
        if !named {
            assert_found(&report, Check::IssuingCas, "issuer");
        }
    }
}

#[test]
fn settings_that_approve_no_next_ca_are_found() {
    for (setting, value, word) in [
        ("rollover.issuer", Some("00"), "SHA-256"),
        ("rollover.issuer", None, "SHA-256"),
        ("rollover.switch_at", Some("soon"), "RFC 3339"),
        ("rollover.switch_at", None, "RFC 3339"),
        ("rollover.overlap", Some("30 dogs"), "duration"),
        ("rollover.overlap", None, "duration"),
    ] {
        let mut settings = next_ca();
        settings.retain(|(name, _)| *name != setting);
        settings.extend(value.map(|value| (setting, value.to_owned())));
        let mut maker = Maker::with(&[FIRST, NEXT]);
        maker.start();
        maker.activate_for(&files("CHG-1"), &[], FIRST, &settings);
        let report = maker.parts.export().verify();
        let member = format!("settings.{setting}");
        assert_found(&report, Check::Approvals, &member);
        assert!(report.bad[0].wanted.contains(word), "{}", report.bad[0]);
    }
}

#[test]
fn a_version_names_cas_of_the_export() {
    let mut maker = Maker::with(&[FIRST]);
    maker.start();
    maker.activate_for(&files("CHG-1"), &[], FIRST, &next_ca());
    let report = maker.parts.export().verify();
    assert_found(&report, Check::Approvals, "settings.rollover.issuer");
    let mut maker = Maker::with(&[FIRST]);
    maker.start();
    maker.activate_for(&files("CHG-1"), &[], STRANGER, &[]);
    let report = maker.parts.export().verify();
    assert_found(&report, Check::Approvals, "issuer");
}

#[test]
fn a_key_id_is_of_one_ca_and_a_ca_has_one_in_a_run() {
    type Change = fn(&mut Maker);
    let changes: [Change; 4] = [
        // The next CA under the key of the first.
        |maker| maker.call_key(NEXT, "01"),
        // The first CA under two.
        |maker| maker.call_key(FIRST, "02"),
        // A third key, and one that was never heard of.
        |maker| maker.call_key(NEXT, "04"),
        |maker| maker.crl_as("04", 1),
    ];
    for (n, change) in changes.into_iter().enumerate() {
        let mut maker = both();
        issue(&mut maker, "device-1");
        maker.under(NEXT);
        if n > 1 {
            issue(&mut maker, "device-2");
        }
        change(&mut maker);
        if n == 1 {
            maker.under(FIRST);
        }
        issue(&mut maker, "device-3");
        let report = maker.parts.export().verify();
        assert_verdict(&report, Verdict::Bad);
        assert_found(&report, Check::Intents, "key_id");
    }
}

#[test]
fn from_run_to_run_a_token_may_call_both_keys_otherwise() {
    let mut maker = both();
    maker.crl_of(FIRST);
    maker.crl_of(NEXT);
    maker.crl_of(FIRST);
    issue(&mut maker, "device-1");
    maker.stop();
    maker.start();
    maker.call_key(FIRST, "aa");
    maker.call_key(NEXT, "bb");
    // By their numbers, then by certificates.
    maker.crl_of(NEXT);
    maker.crl_of(FIRST);
    issue(&mut maker, "device-2");
    maker.under(NEXT);
    issue(&mut maker, "device-3");
    maker.stop();
    maker.start();
    maker.call_key(NEXT, "cc");
    issue(&mut maker, "device-4");
    maker.crl_of(NEXT);
    maker.crl_of(FIRST);
    assert_verdict(&maker.parts.export().verify(), Verdict::Proven);
}

#[test]
fn crls_are_counted_for_each_ca() {
    for (ca, number, verdict) in [
        (FIRST, 3, Verdict::Proven),
        (FIRST, 2, Verdict::Bad),
        (FIRST, 4, Verdict::Bad),
        (NEXT, 2, Verdict::Proven),
        (NEXT, 3, Verdict::Bad),
    ] {
        let mut maker = both();
        maker.crl_of(FIRST);
        maker.crl_of(NEXT);
        maker.crl_of(FIRST);
        maker.crl_as(["01", "02"][ca], number);
        let report = maker.parts.export().verify();
        assert_verdict(&report, verdict);
        if verdict == Verdict::Bad {
            assert_found(&report, Check::Crls, "number");
        }
    }
}

#[test]
fn signatures_of_both_cas_are_counted_together() {
    // Two certificates and a CRL of each, and what may be at work at the end: a CRL of each.
    for (first, next, verdict) in [
        (2, 2, Verdict::Proven),
        (3, 3, Verdict::Proven),
        (3, 4, Verdict::Bad),
        (7, 0, Verdict::Bad),
    ] {
        let mut maker = both();
        for ca in [FIRST, NEXT] {
            maker.under(ca);
            issue(&mut maker, ["device-1", "device-2"][ca]);
            maker.crl();
        }
        maker.count_by(0, first, false);
        maker.count_by(1, next, false);
        let report = maker.parts.export().verify();
        assert_verdict(&report, verdict);
        if verdict == Verdict::Bad {
            assert_found(&report, Check::Counters, "ca_signatures");
        }
    }
}

#[test]
fn a_ca_whose_certificate_was_renewed_is_the_same_ca() {
    let mut maker = Maker::with(&[RENEWED, FIRST]);
    maker.start();
    maker.activate(&files("CHG-1"), &[]);
    issue(&mut maker, "device-1");
    maker.crl();
    maker.activate_for(&files("CHG-2"), &[], RENEWED, &[]);
    maker.under(RENEWED);
    let serial = issue(&mut maker, "device-2");
    maker.revoke(&serial);
    maker.crl();
    let trust = keys().trust_of(&[FIRST, RENEWED]);
    let verify = |parts: &Parts| {
        let export = parts.export();
        export.verify_with(Some(&trust), &Options::default())
    };
    assert_verdict(&verify(&maker.parts), Verdict::Proven);

    // The version in force names the renewed one.
    maker.under(FIRST);
    issue(&mut maker, "device-3");
    assert_found(&verify(&maker.parts), Check::IssuingCas, "issuer_sha256");
}
