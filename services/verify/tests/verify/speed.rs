//! How fast it is: measured, not judged.

use std::time::Instant;

use assay_verify::{Options, Verdict};

use crate::honest::assert_verdict;
use crate::keys::keys;
use crate::scenes::many;

#[test]
#[ignore = "a measurement, for an optimised build: cargo test --release -p assay-verify -- --ignored speed --nocapture"]
fn speed() {
    let (records, issued) = (20_000, 2_000);
    let export = many(records, issued).export();
    let trust = keys().trust();
    for (what, tree_only, threads, verdict) in [
        ("tree", true, 1, Verdict::Incomplete),
        ("all, one thread", false, 1, Verdict::Proven),
        ("all, two threads", false, 2, Verdict::Proven),
    ] {
        let options = Options {
            tree_only,
            threads,
            ..Options::default()
        };
        let begun = Instant::now();
        let report = export.verify_with(Some(&trust), &options);
        let seconds = begun.elapsed().as_secs_f64();
        assert_verdict(&report, verdict);
        println!(
            "{what}: {records} records, {} decisions, {seconds:.2} s, {:.0} records/s, {:.0} decisions/s",
            report.decided_again,
            f64::from(u32::try_from(records).unwrap()) / seconds,
            f64::from(u32::try_from(report.decided_again).unwrap()) / seconds,
        );
    }
}
