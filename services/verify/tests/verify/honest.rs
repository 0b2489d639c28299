//! What was made as it should be is proven.

use assay_verify::{Check, Options, Report, Verdict};

use crate::keys::keys;
use crate::scenes::{large, small};
use crate::tier;

/// Checks of what this export does not have: an earlier checkpoint, a journal, and a recovery.
const ELSEWHERE: [Check; 7] = [
    Check::Earlier,
    Check::JournalCertificates,
    Check::JournalCrls,
    Check::JournalCheckpoints,
    Check::JournalLeaves,
    Check::HsmConfiguration,
    Check::Recoveries,
];

#[track_caller]
pub(crate) fn assert_verdict(report: &Report, verdict: Verdict) {
    let lines: Vec<String> = report
        .bad
        .iter()
        .chain(&report.open)
        .map(ToString::to_string)
        .collect();
    assert_eq!(report.verdict, verdict, "{}", lines.join("\n"));
}

#[test]
fn an_export_with_every_kind_of_record_is_proven() {
    let report = small().export().verify();
    assert_verdict(&report, Verdict::Proven);
    assert_eq!(report.held, small().records.len() as u64);
    let idle: Vec<&str> = report
        .checks
        .iter()
        .filter(|tally| tally.made == 0 && !ELSEWHERE.contains(&tally.check))
        .map(|tally| tally.check.id())
        .collect();
    assert!(idle.is_empty(), "never made: {idle:?}");
}

#[test]
fn a_large_export_is_proven() {
    let report = large().export().verify();
    assert_verdict(&report, Verdict::Proven);
    let issued = tier::size("certificates of a large log") as u64;
    assert_eq!((report.size, report.decided_again), (20_000, issued));
}

#[test]
fn without_pinned_keys_nothing_is_proven() {
    let report = small().export().verify_with(None, &Options::default());
    assert_verdict(&report, Verdict::Incomplete);
    let _ = keys();
}
