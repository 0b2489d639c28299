//! A log and the journal of its HSM service: an honest pair is proven, and each deviation is the finding that names it.

use std::time::Duration;

use assay_journal::{Floors, Head, Reason};
use assay_types::{Hash, canonical};
use assay_verify::{Agreement, Check, Finding, Options, Report, Trust, Verdict, Where};
use serde_json::Value;

use crate::export::note;
use crate::honest::assert_verdict;
use crate::keeper::{Keeper, Pair, Step, configuration, serial};
use crate::keys::{RSA_CA, keys};
use crate::maker::files;
use crate::scenes::refused;

const UNKNOWN: &str = "4a00000000000000000000000000000001";

/// The one finding that there is.
#[track_caller]
fn only(report: &Report, check: Check, member: &str) -> Finding {
    let all = || report.bad.iter().chain(&report.open);
    let lines: Vec<String> = all().map(ToString::to_string).collect();
    let finding = all().next().expect("a finding").clone();
    assert_eq!(lines.len(), 1, "{}", lines.join("\n"));
    assert_eq!((finding.check, finding.member.as_str()), (check, member));
    finding
}

/// The same, which is of the journal and not of a record.
#[track_caller]
fn only_in_journal(report: &Report, check: Check, member: &str) {
    let finding = only(report, check, member);
    assert_eq!(finding.at, Where::File("journal".to_owned()));
}

/// Alters a member of the first record of a kind from `from` on.
fn alter(keeper: &mut Keeper, from: usize, kind: &str, member: &str, value: impl Into<Value>) {
    let mut records = keeper.maker.parts.records.iter_mut().skip(from);
    let (record, mut members) = records
        .find_map(|record| {
            let members: Value = serde_json::from_slice(record).unwrap();
            (members["kind"] == kind).then_some((record, members))
        })
        .unwrap();
    members[member] = value.into();
    *record = canonical(&members).unwrap().into_bytes();
}

fn kinds(report: &Report) -> Vec<&str> {
    let journal = report.journal.as_ref().unwrap();
    journal.events.iter().map(|noted| noted.kind).collect()
}

#[test]
fn an_honest_pair_is_proven_and_each_check_is_made() {
    let pair = Keeper::whole().pair();
    let report = pair.verify();
    assert_verdict(&report, Verdict::Proven);
    for check in [
        Check::Journal,
        Check::JournalCertificates,
        Check::JournalCrls,
        Check::JournalCheckpoints,
        Check::JournalLeaves,
        Check::HsmConfiguration,
    ] {
        let made = report.checks.iter().find(|tally| tally.check == check);
        assert!(made.unwrap().made > 0, "{check}");
    }
    let journal = report.journal.as_ref().unwrap();
    assert_eq!((journal.head, journal.covered), (pair.head, pair.head.size));
    assert_eq!((journal.unsigned, journal.in_progress), (0, 0));
    let agreements = journal.intervals.iter().map(|it| it.agreement);
    let agreements: Vec<Agreement> = agreements.collect();
    assert_eq!(agreements, [Agreement::Approved]);
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["journal"]["head"], pair.head.to_string());
    assert_eq!(json["journal"]["intervals"][0]["agreement"], "approved");
}

#[test]
fn a_certificate_of_the_journal_that_the_log_does_not_have_is_found() {
    let mut keeper = Keeper::whole();
    let (at, _) = keeper.steps[keeper.place(|step| matches!(step, Step::Signed { .. }))];
    let hidden = Step::Certificate {
        ca: keeper.ca,
        serial: serial(UNKNOWN),
        not_after: at + Duration::from_secs(9_000_000),
        tbs: b"a TBSCertificate".to_vec(),
    };
    let signed = Step::Signed {
        serial: serial(UNKNOWN),
        signature: b"a signature".to_vec(),
    };
    let place = keeper.place(|step| matches!(step, Step::Checkpoint(_)));
    keeper.steps.insert(place, (at, signed));
    keeper.steps.insert(place, (at, hidden));
    let report = keeper.pair().verify();
    let member = format!("certificate {UNKNOWN} (entry 8)");
    only_in_journal(&report, Check::JournalCertificates, &member);
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["bad"][0]["check"], "VER-32");

    // Without the signature it is only listed.
    keeper.steps.remove(place + 1);
    let report = keeper.pair().verify();
    assert_verdict(&report, Verdict::Proven);
    assert_eq!(report.journal.as_ref().unwrap().unsigned, 1);
    assert_eq!(kinds(&report), ["not-signed"]);
}

/// Its record may follow the end of the log.
#[test]
fn a_certificate_just_before_the_last_checkpoint_may_be_in_progress() {
    let mut keeper = Keeper::whole();
    let (at, _) = keeper.steps.pop().unwrap();
    for step in [
        Step::Certificate {
            ca: keeper.ca,
            serial: serial(UNKNOWN),
            not_after: at + Duration::from_secs(9_000_000),
            tbs: b"a TBSCertificate".to_vec(),
        },
        Step::Signed {
            serial: serial(UNKNOWN),
            signature: b"a signature".to_vec(),
        },
    ] {
        keeper.steps.push((at, step));
    }
    keeper.checkpoint();
    let report = keeper.pair().verify();
    assert_verdict(&report, Verdict::Proven);
    assert_eq!(report.journal.unwrap().in_progress, 1);
}

#[test]
fn a_certificate_of_the_log_that_the_journal_does_not_have_is_found() {
    let mut keeper = Keeper::started();
    keeper.issue();
    keeper.finish();
    keeper
        .steps
        .retain(|(_, step)| !matches!(step, Step::Certificate { .. } | Step::Signed { .. }));
    let finding = only(
        &keeper.pair().verify(),
        Check::JournalCertificates,
        "serial",
    );
    assert!(matches!(finding.at, Where::Record(_)), "{finding}");
}

#[test]
fn another_tbs_or_signature_in_the_journal_is_found() {
    for (member, is_tbs) in [("tbs_digest", true), ("signature (SHA-256)", false)] {
        let mut keeper = Keeper::started();
        keeper.issue();
        keeper.finish();
        for (_, step) in &mut keeper.steps {
            if let Step::Certificate { tbs: bytes, .. } = step
                && is_tbs
            {
                bytes.push(0);
            } else if let Step::Signed {
                signature: bytes, ..
            } = step
                && !is_tbs
            {
                bytes.push(0);
            }
        }
        let finding = only(&keeper.pair().verify(), Check::JournalCertificates, member);
        assert!(matches!(finding.at, Where::Record(_)), "{finding}");
    }
}

/// The signature is on disk before it leaves the service, whatever the algorithm.
#[test]
fn a_signature_that_only_the_log_has_is_found() {
    let unsigned = |mut keeper: Keeper| {
        keeper.issue();
        keeper.finish();
        let is_signature = |step: &Step| matches!(step, Step::Signed { .. });
        keeper.steps.retain(|(_, step)| !is_signature(step));
        only(
            &keeper.pair().verify(),
            Check::JournalCertificates,
            "serial",
        );
    };
    unsigned(Keeper::started());
    let mut keeper = Keeper::of(RSA_CA);
    keeper.maker.hsm_configuration = Some(configuration("hsm.toml").configuration);
    keeper.maker.activate_for(&files("CHG-1"), &[], RSA_CA, &[]);
    unsigned(keeper);
}

#[test]
fn a_crl_of_the_log_that_the_journal_does_not_have_is_found() {
    let mut keeper = Keeper::started();
    keeper.crl();
    keeper.crl();
    keeper.finish();
    let place = keeper.place(|step| matches!(step, Step::Crl { number: 2, .. }));
    keeper.steps.remove(place);
    let finding = only(&keeper.pair().verify(), Check::JournalCrls, "tbs_digest");
    assert!(matches!(finding.at, Where::Record(_)), "{finding}");
}

#[test]
fn a_crl_of_the_journal_that_the_log_does_not_have_is_found() {
    let mut keeper = Keeper::started();
    keeper.crl();
    keeper.crl_in_journal();
    keeper.maker.pass(600_000);
    keeper.finish();
    let report = keeper.pair().verify();
    only_in_journal(&report, Check::JournalCrls, "CRL 2 (entry 3)");
}

#[test]
fn a_gap_in_the_numbers_of_crls_needs_the_journal() {
    let mut keeper = Keeper::started();
    keeper.crl();
    keeper.crl_in_journal();
    keeper.maker.pass(600_000);
    keeper.crl();
    keeper.finish();
    let pair = keeper.pair();
    let report = pair.verify();
    assert_verdict(&report, Verdict::Proven);
    assert_eq!(kinds(&report), ["crl-not-recorded"]);

    // The journal that explains it was not given.
    let export = pair.export(&pair.head.to_string());
    let report = export.verify_with(Some(&pair.trust()), &Options::default());
    assert_verdict(&report, Verdict::Incomplete);
    only(&report, Check::Crls, "number");

    // There is none.
    let report = pair.parts.export().verify();
    assert_verdict(&report, Verdict::Bad);
    only(&report, Check::Crls, "number");
}

#[test]
fn a_crl_that_is_another_one_in_the_journal_is_found() {
    let mut keeper = Keeper::whole();
    *keeper.last_crl().0 = Hash::of(b"another list");
    only(&keeper.pair().verify(), Check::JournalCrls, "tbs_digest");

    let mut keeper = Keeper::whole();
    let next = (keeper.maker.now() + Duration::from_secs(7_777_777)).seconds();
    alter(&mut keeper, 0, "crl.issued", "next_update", next);
    only(&keeper.pair().verify(), Check::JournalCrls, "next_update");

    let mut keeper = Keeper::whole();
    alter(&mut keeper, 12, "crl.issued", "entries", 1);
    let report = keeper.pair().verify();
    let found: Vec<_> = report.bad.iter().map(|it| it.check).collect();
    assert_eq!(found, [Check::Crls, Check::JournalCrls]);
}

#[test]
fn what_a_crl_adds_without_a_record_is_found() {
    let mut keeper = Keeper::whole();
    let (_, listed) = keeper.last_crl();
    let revoked = listed.last_mut().unwrap();
    revoked.reason = Reason::Superseded;
    let member = format!("certificate {} on CRL 2 (entry 9)", revoked.serial);
    only_in_journal(&keeper.pair().verify(), Check::JournalCrls, &member);

    // Nor may it be of another time.
    let mut keeper = Keeper::whole();
    let (_, listed) = keeper.last_crl();
    let revoked = listed.last_mut().unwrap();
    revoked.date = revoked.date - Duration::from_secs(500);
    let member = format!("certificate {} on CRL 2 (entry 9)", revoked.serial);
    only_in_journal(&keeper.pair().verify(), Check::JournalCrls, &member);
}

/// A hold, its release, and what a CRL does without.
#[test]
fn what_a_crl_removes_without_a_record_is_found() {
    let run = |is_released: bool| {
        let mut keeper = Keeper::started();
        let held = keeper.issue();
        keeper.list(serial(&held), Reason::CertificateHold);
        keeper.maker.hold(&held);
        keeper.crl();
        if is_released {
            keeper.maker.release(&held);
        }
        keeper.listed.clear();
        keeper.crl();
        keeper.finish();
        (serial(&held), keeper.pair().verify())
    };
    let (_, report) = run(true);
    assert_verdict(&report, Verdict::Proven);
    let (held, report) = run(false);
    let member = format!("certificate {held} on CRL 2 (entry 5)");
    let of_list = (Check::JournalCrls, "entries");
    // The list of the log has it.
    assert_eq!(all(&report), [of_list, (Check::JournalCrls, &member)]);
}

/// Check and member of each finding.
fn all(report: &Report) -> Vec<(Check, &str)> {
    let all = report.bad.iter().chain(&report.open);
    all.map(|it| (it.check, it.member.as_str())).collect()
}

#[test]
fn a_revocation_that_no_crl_lists_is_found() {
    let mut keeper = Keeper::started();
    let revoked = keeper.issue();
    keeper.maker.revoke(&revoked);
    keeper.maker.pass(600_000);
    keeper.crl();
    keeper.finish();
    let report = keeper.pair().verify();
    // The list of the log has it.
    let wanted = ["serial", "entries"].map(|member| (Check::JournalCrls, member));
    assert_eq!(all(&report), wanted);
    let finding = &report.bad[0];
    assert!(matches!(finding.at, Where::Record(_)), "{finding}");
}

#[test]
fn a_checkpoint_that_the_journal_does_not_have_is_found() {
    // The last checkpoint of the journal is one record short.
    let mut keeper = Keeper::whole();
    let (_, step) = keeper.steps.last_mut().unwrap();
    let Step::Checkpoint(size) = step else {
        panic!("no checkpoint")
    };
    *size -= 1;
    let finding = only(&keeper.pair().verify(), Check::JournalCheckpoints, "size");
    assert_eq!(finding.at, Where::File("checkpoint".to_owned()));

    // Another root: a record was replaced after the service had signed. It is named before the root.
    let mut keeper = Keeper::whole();
    let mut pair = keeper.pair();
    alter(&mut keeper, 0, "service.stopped", "cause", "another one");
    pair.parts = keeper.maker.parts.clone();
    let report = pair.verify();
    let found: Vec<Check> = report.bad.iter().map(|it| it.check).collect();
    assert_eq!(found, [Check::JournalLeaves, Check::JournalCheckpoints]);
    let stopped = pair.parts.records.len() as u64;
    assert_eq!(report.bad[0].at, Where::Record(stopped));
    assert_eq!(report.bad[1].member, "size");
}

/// The head of a checkpoint covers the entry of the checkpoint itself.
#[test]
fn a_checkpoint_that_states_the_head_before_it_is_found() {
    let pair = two_checkpoints().pair();
    let export = pair.export(&pair.earlier[0].1.to_string());
    let report = export.verify_with(Some(&pair.trust()), &pair.options());
    let finding = only(&report, Check::JournalCheckpoints, "size");
    assert_eq!(finding.at, Where::File("checkpoint".to_owned()));
}

/// The roots are compared where the log has no checkpoint of the journal's size.
#[test]
fn a_log_that_is_not_the_one_of_the_journal_is_found() {
    let mut keeper = Keeper::whole();
    let (_, step) = keeper.steps.last_mut().unwrap();
    let Step::Checkpoint(size) = step else {
        panic!("no checkpoint")
    };
    *size -= 1;
    let member = format!("root of {size} records");
    let mut pair = keeper.pair();
    let kind = "certificate.revoked";
    alter(&mut keeper, 0, kind, "actor", "assay://operator/other");
    pair.parts = keeper.maker.parts.clone();
    let report = pair.verify();
    let members: Vec<&str> = report.bad.iter().map(|it| it.member.as_str()).collect();
    assert_eq!(members, ["leaf", "size", member.as_str()]);
}

/// Two checkpoints, with refused requests between them.
fn two_checkpoints() -> Keeper {
    let mut keeper = Keeper::started();
    keeper.issue();
    keeper.checkpoint();
    let request = keeper.maker.request("devices", "19");
    refused(&mut keeper.maker, request, "SIG-05", 2);
    keeper.finish();
    keeper
}

#[test]
fn a_log_that_was_cut_before_the_last_checkpoint_of_the_journal_is_found() {
    let mut pair = two_checkpoints().pair();
    let (size, head) = pair.earlier[0];
    let cut = usize::try_from(size).unwrap();
    pair.parts.records.truncate(cut);
    pair.head = head;
    let report = pair.verify();
    let found: Vec<(Check, &str)> = report
        .bad
        .iter()
        .map(|it| (it.check, it.member.as_str()))
        .collect();
    let leaf = (Check::JournalLeaves, "leaf");
    let length = (Check::JournalCheckpoints, "size of the log");
    assert_eq!(found, [leaf, length]);
    assert_eq!(report.bad[0].at, Where::Record(size + 1));
    assert_eq!(report.bad[1].at, Where::File("journal".to_owned()));
}

#[test]
fn a_journal_that_was_cut_before_the_head_of_the_checkpoint_is_found() {
    let keeper = two_checkpoints();
    let pair = keeper.pair();
    let longer = Head {
        size: pair.head.size + 1,
        ..pair.head
    };
    let export = pair.export(&longer.to_string());
    let report = export.verify_with(Some(&pair.trust()), &pair.options());
    only_in_journal(&report, Check::Journal, "entries");
}

#[test]
fn a_journal_that_was_rewritten_is_found() {
    let pair = two_checkpoints().pair();
    let other = Head {
        hash: Hash::of(b"another chain"),
        ..pair.head
    };
    let export = pair.export(&other.to_string());
    let report = export.verify_with(Some(&pair.trust()), &pair.options());
    let finding = only(&report, Check::Journal, "journal");
    assert_eq!(finding.at, Where::File("checkpoint".to_owned()));

    // Each byte is under the chain.
    let mut bytes = std::fs::read(&pair.journal).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&pair.journal, bytes).unwrap();
    only_in_journal(&pair.verify(), Check::Journal, "export");
}

#[test]
fn nothing_is_proven_until_the_identity_of_the_journal_is_pinned() {
    let pair = two_checkpoints().pair();
    let export = pair.export(&pair.head.to_string());
    for options in [pair.options(), Options::default()] {
        let trust = Trust {
            journals: Vec::new(),
            ..pair.trust()
        };
        let report = export.verify_with(Some(&trust), &options);
        assert_verdict(&report, Verdict::Bad);
        only(&report, Check::Journal, "journal");
    }
    let report = export.verify_with(None, &pair.options());
    assert_verdict(&report, Verdict::Incomplete);
    let open = |finding: &&Finding| finding.check == Check::Journal;
    assert_eq!(report.open.iter().filter(open).count(), 1);
}

#[test]
fn another_journal_needs_another_pin() {
    let (before, pair) = (two_checkpoints().pair(), two_checkpoints().pair());
    let export = pair.export(&pair.head.to_string());
    // What the auditor pinned is the journal of before.
    let (size, _) = pair.earlier[0];
    let mut earlier = pair.parts.clone();
    earlier.records.truncate(usize::try_from(size).unwrap());
    let line = format!("{}{}\n", earlier.checkpoint_text(), before.earlier[0].1);
    let text = String::from_utf8(note(&line, &[&keys().log])).unwrap();
    let mut trust = Trust {
        earlier: Some(text),
        ..before.trust()
    };
    let report = export.verify_with(Some(&trust), &pair.options());
    let finding = only(&report, Check::Journal, "journal");
    assert_eq!(finding.at, Where::File("checkpoint".to_owned()));
    trust.journals.push(pair.head.identity);
    let report = export.verify_with(Some(&trust), &pair.options());
    assert_verdict(&report, Verdict::Proven);

    // The export of a journal is that of the checkpoint.
    let other = Options {
        journal: Some(before.journal),
        ..Options::default()
    };
    let report = export.verify_with(Some(&trust), &other);
    only_in_journal(&report, Check::Journal, "identity");
}

#[test]
fn a_checkpoint_without_the_head_of_the_journal_is_found() {
    let pair = two_checkpoints().pair();
    let report = pair
        .parts
        .export()
        .verify_with(Some(&pair.trust()), &Options::default());
    only(&report, Check::Journal, "journal");

    let export = pair.export("assay-journal abc");
    let report = export.verify_with(Some(&keys().trust()), &Options::default());
    only(&report, Check::Journal, "extension");
}

#[test]
fn each_interval_with_another_configuration_than_the_approved_one_is_found() {
    let mut keeper = Keeper::started();
    keeper.maker.pass(4_000_000);
    keeper.step(Step::Reload(configuration("wider.toml")));
    keeper.maker.pass(4_000_000);
    keeper.step(Step::Start(configuration("hsm.toml")));
    keeper.finish();
    let report = keeper.pair().verify();
    only_in_journal(&report, Check::HsmConfiguration, "entry 2");
    let intervals = &report.journal.as_ref().unwrap().intervals;
    let agreements: Vec<Agreement> = intervals.iter().map(|it| it.agreement).collect();
    assert_eq!(
        agreements,
        [Agreement::Approved, Agreement::Differs, Agreement::Approved]
    );
    assert_eq!(intervals[1].until.since(intervals[1].from).as_secs(), 4_000);
}

/// The service is reloaded some time after the version that names its new configuration has come into force, or before.
#[test]
fn a_change_of_the_configuration_has_an_hour() {
    let change = |minutes: u64, is_late: bool| {
        let mut keeper = Keeper::started();
        keeper.maker.pass(4_000_000);
        let next = configuration("next.toml");
        keeper.maker.hsm_configuration = Some(next.configuration);
        if is_late {
            keeper.maker.activate(&files("CHG-2"), &[]);
            keeper.maker.pass(minutes * 60_000);
            keeper.step(Step::Reload(next));
        } else {
            keeper.step(Step::Reload(next));
            keeper.maker.pass(minutes * 60_000);
            keeper.maker.activate(&files("CHG-2"), &[]);
        }
        keeper.maker.pass(4_000_000);
        keeper.finish();
        keeper.pair().verify()
    };
    for is_late in [true, false] {
        let report = change(50, is_late);
        assert_verdict(&report, Verdict::Proven);
        let intervals = report.journal.unwrap().intervals;
        assert!(
            intervals
                .iter()
                .any(|it| it.agreement == Agreement::Changeover)
        );
        let member = if is_late { "entry 1" } else { "entry 2" };
        only_in_journal(&change(70, is_late), Check::HsmConfiguration, member);
    }
}

#[test]
fn a_version_that_names_no_configuration_is_said_and_no_fault() {
    let mut keeper = Keeper::of(crate::keys::FIRST);
    keeper.maker.pass(10_000);
    keeper.maker.activate(&files("CHG-1"), &[]);
    keeper.maker.pass(10_000);
    keeper.finish();
    let report = keeper.pair().verify();
    assert_verdict(&report, Verdict::Proven);
    let intervals = report.journal.unwrap().intervals;
    let agreements: Vec<Agreement> = intervals.iter().map(|it| it.agreement).collect();
    assert_eq!(agreements, [Agreement::NoVersion, Agreement::NotNamed]);
    let said = intervals[1].to_string();
    assert!(said.ends_with("version 1 names none"), "{said}");
}

#[test]
fn a_time_under_allow_same_user_is_left_open() {
    let mut keeper = Keeper::started();
    keeper.maker.pass(10_000);
    let mut start = configuration("hsm.toml");
    start.allow_same_user = true;
    keeper.step(Step::Start(start));
    keeper.maker.pass(10_000);
    keeper.finish();
    let report = keeper.pair().verify();
    assert_verdict(&report, Verdict::Incomplete);
    only_in_journal(&report, Check::HsmConfiguration, "entry 2");
}

#[test]
fn what_people_did_at_the_service_is_listed() {
    let mut keeper = Keeper::started();
    keeper.step(Step::Suspend);
    keeper.step(Step::Resume);
    keeper.step(Step::Lift);
    keeper.step(Step::Known(serial(UNKNOWN)));
    let expired = keeper.maker.now();
    keeper.ask(&serial("4b"), expired, b"a TBSCertificate".to_vec());
    keeper.maker.pass(366 * 86_400_000);
    keeper.step(Step::Start(configuration("hsm.toml")));
    keeper.step(Step::Prune);
    keeper.step(Step::AcceptClock);
    keeper.finish();
    let report = keeper.pair().verify();
    assert_verdict(&report, Verdict::Proven);
    let wanted = [
        "suspended",
        "resumed",
        "ceiling-lifted",
        "known",
        "not-signed",
        "pruned",
        "clock-accepted",
    ];
    assert_eq!(kinds(&report), wanted);
    let events = report.journal.unwrap().events;
    assert!(events[3].detail.contains(UNKNOWN), "{}", events[3]);
    assert!(events[2].detail.contains("9000"), "{}", events[2]);
}

/// Anybody who has the export can append to it, up to the next checkpoint.
#[test]
fn what_follows_the_head_of_the_checkpoint_is_counted_and_not_believed() {
    let mut keeper = Keeper::whole();
    for step in [Step::Suspend, Step::Resume, Step::Lift] {
        keeper.step(step);
    }
    let report = keeper.pair().verify();
    assert_verdict(&report, Verdict::Proven);
    assert_eq!(kinds(&report), Vec::<&str>::new());
    let journal = report.journal.unwrap();
    assert_eq!(journal.uncovered, 3);
    assert_eq!(journal.covered + 3, journal.head.size);
}

#[test]
fn bodies_are_gone_only_by_an_entry_that_the_checkpoint_covers() {
    let mut keeper = Keeper::started();
    let expired = keeper.maker.now();
    keeper.ask(&serial("4b"), expired, b"a TBSCertificate".to_vec());
    keeper.maker.pass(366 * 86_400_000);
    keeper.step(Step::Start(configuration("hsm.toml")));
    keeper.finish();
    assert_verdict(&keeper.pair().verify(), Verdict::Proven);
    keeper.step(Step::Prune);
    only_in_journal(&keeper.pair().verify(), Check::Journal, "export");
    let place = keeper.place(|step| matches!(step, Step::Checkpoint(_)));
    let last = keeper.steps.len() - 1;
    keeper.steps.swap(place, last);
    assert_verdict(&keeper.pair().verify(), Verdict::Proven);
}

/// Events before the journal are in its floor.
#[test]
fn a_journal_that_begins_later_explains_what_comes_after() {
    let mut keeper = Keeper::started();
    keeper.issue();
    keeper.crl();
    let floor = keeper.maker.parts.records.len();
    keeper
        .steps
        .retain(|(_, step)| matches!(step, Step::Start(_)));
    keeper.maker.pass(10_000);
    keeper.issue();
    keeper.finish();
    let log = Pair::floor(&keeper.maker.parts, floor);
    let floors = Floors {
        log: Some(log),
        ..Floors::default()
    };
    let report = keeper.pair_with(&floors).verify();
    assert_verdict(&report, Verdict::Proven);
    assert_eq!(kinds(&report), ["created"]);

    // Of another log it is none.
    let mut pair = keeper.pair_with(&floors);
    alter(&mut keeper, 0, "service.started", "schema", 9);
    pair.parts = keeper.maker.parts.clone();
    let report = pair.verify();
    let member = format!("root of {floor} records");
    let found = report.bad.iter().any(|finding| finding.member == member);
    assert!(found, "{:?}", report.bad);
}

/// A part of the log leaves open the findings that it cannot show, and is compared in the rest.
#[test]
fn a_part_of_a_log_leaves_the_rest_of_the_journal_open() {
    let mut keeper = Keeper::started();
    while keeper.maker.parts.records.len() < 256 {
        let request = keeper.maker.request("devices", "19");
        refused(&mut keeper.maker, request, "SIG-05", 2);
    }
    keeper.issue();
    keeper.maker.pass(600_000);
    keeper.finish();
    let mut pair = keeper.pair();
    assert_verdict(&pair.verify(), Verdict::Proven);
    pair.parts.bundles = Some([0].into());
    let report = pair.verify();
    assert_verdict(&report, Verdict::Incomplete);
    let is_open = |finding: &Finding| finding.check == Check::JournalCertificates;
    assert!(report.open.iter().any(is_open), "{:?}", report.open);

    // The tree and the checkpoints are compared without a look at the records.
    let options = Options {
        tree_only: true,
        ..pair.options()
    };
    let export = pair.export(&pair.head.to_string());
    let report = export.verify_with(Some(&pair.trust()), &options);
    assert!(report.bad.is_empty(), "{:?}", report.bad);
    assert!(report.journal.unwrap().intervals.is_empty());
}
