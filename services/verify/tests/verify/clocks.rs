//! Clocks of a machine that is used: what happens to them is no fault of the log.

use assay_verify::{Check, Verdict};

use crate::honest::assert_verdict;
use crate::maker::{Maker, files};
use crate::scenes::refused;

fn started() -> Maker {
    let mut maker = Maker::new();
    maker.start();
    maker.activate(&files("CHG-1"), &[]);
    maker
}

fn goes_on(maker: &mut Maker) {
    for _ in 0..5 {
        let request = maker.request("devices", "19");
        refused(maker, request, "SIG-05", 2);
        maker.pass(30_000);
    }
}

#[test]
fn a_clock_that_was_set_forwards_and_told_is_no_fault() {
    let mut maker = started();
    goes_on(&mut maker);
    maker.step_clock(3_600_000);
    goes_on(&mut maker);
    assert_verdict(&maker.parts.export().verify(), Verdict::Proven);
}

/// The guarded clock stands still until the time of the log is reached.
#[test]
fn a_clock_that_was_set_back_stands_still_and_is_no_fault() {
    let mut maker = started();
    goes_on(&mut maker);
    maker.stand_still(120_000);
    goes_on(&mut maker);
    maker.stop();
    maker.start();
    for _ in 0..20 {
        maker.stand_still(9_000);
        let request = maker.request("devices", "19");
        refused(&mut maker, request, "SIG-05", 2);
    }
    goes_on(&mut maker);
    assert_verdict(&maker.parts.export().verify(), Verdict::Proven);
}

#[test]
fn a_clock_that_was_set_and_not_told_is_named() {
    let mut maker = started();
    goes_on(&mut maker);
    maker.set_clock(3_600_000);
    let at = maker.parts.records.len() as u64 + 1;
    goes_on(&mut maker);
    let report = maker.parts.export().verify();
    assert_verdict(&report, Verdict::Bad);
    assert_eq!(report.bad[0].check, Check::Clocks);
    assert_eq!(report.bad[0].at, assay_verify::Where::Record(at));
}

#[test]
fn an_accepted_jump_either_way_is_no_fault() {
    // The version of the policy is in force for less than 30 days.
    for by in [20 * 86_400, -3_600] {
        let mut maker = started();
        maker.crl();
        goes_on(&mut maker);
        maker.accept_jump(by);
        // One that was made before, and is written now.
        maker.set_clock(-by * 1_000);
        let request = maker.request("devices", "19");
        refused(&mut maker, request, "SIG-05", 2);
        maker.set_clock(by * 1_000);
        goes_on(&mut maker);
        maker.crl();
        assert_verdict(&maker.parts.export().verify(), Verdict::Proven);
    }
}

#[test]
fn a_record_that_accepts_another_jump_than_there_was_is_named() {
    for (named, real) in [(10 * 86_400, 86_400), (10, 10), (-3_600, 3_600)] {
        let mut maker = started();
        goes_on(&mut maker);
        maker.set_clock((real - named) * 1_000);
        let at = maker.parts.records.len() as u64 + 1;
        maker.accept_jump(named);
        let report = maker.parts.export().verify();
        assert_verdict(&report, Verdict::Bad);
        assert_eq!(report.bad[0].check, Check::Clocks);
        assert_eq!(report.bad[0].at, assay_verify::Where::Record(at));
    }
}

#[test]
fn a_run_in_the_same_boot_continues_the_time_of_the_one_before() {
    for (by, verdict) in [(200_000, Verdict::Proven), (3_600_000, Verdict::Bad)] {
        let mut maker = started();
        maker.stop();
        maker.set_clock(by);
        maker.start_again();
        assert_verdict(&maker.parts.export().verify(), verdict);
        // After a reboot nobody knows how long the machine was off.
        let mut maker = started();
        maker.stop();
        maker.set_clock(by);
        maker.start();
        assert_verdict(&maker.parts.export().verify(), Verdict::Proven);
    }
}

/// Each is within the tolerance of the one before, and the third is not within that of the boot.
#[test]
fn steps_between_runs_do_not_add_up() {
    for (runs, verdict) in [(2, Verdict::Proven), (3, Verdict::Bad)] {
        let mut maker = started();
        for _ in 0..runs {
            maker.stop();
            maker.set_clock(140_000);
            maker.start_again();
        }
        assert_verdict(&maker.parts.export().verify(), verdict);
    }
}

/// Nor by runs that each say that they know better when the boot was.
#[test]
fn a_run_that_moves_the_boot_is_named() {
    let mut maker = started();
    maker.stop();
    maker.set_clock(200_000);
    maker.move_boot(200_000);
    let at = maker.parts.records.len() as u64 + 1;
    maker.start_again();
    let report = maker.parts.export().verify();
    assert_verdict(&report, Verdict::Bad);
    assert_eq!(report.bad[0].check, Check::Clocks);
    assert_eq!(report.bad[0].at, assay_verify::Where::Record(at));
}

/// Requests are made at the same time, and each record has the time at which it was made, not that at which it was
/// written.
#[test]
fn records_that_overtake_each_other_are_no_fault() {
    let mut maker = started();
    for ahead in [900, 40, 3_000, 7] {
        maker.pass(ahead);
        let request = maker.request("devices", "19");
        refused(&mut maker, request, "SIG-05", 2);
        maker.go_back(ahead);
        let request = maker.request("devices", "19");
        refused(&mut maker, request, "SIG-05", 2);
        maker.pass(ahead);
    }
    assert_verdict(&maker.parts.export().verify(), Verdict::Proven);
}
