//! The bounds, in the words in which they are told.

use super::super::{HASHES, Plan};
use super::{Bound, Report, float};

/// The first signing may take so many times what the rate says: commits and looks between two batches.
const SIGNING_BOUND: f64 = 1.25;
/// Operations a second over two times the rate: whole seconds and a batch at either end.
const RATE_BOUND: f64 = 1.05;
/// Enrolments a second beside the refresh, over those without it: half of the sessions are theirs, whatever is refreshed.
const ENROLMENTS_BOUND: f64 = 0.5;
/// Of status answers, milliseconds.
const STATUS_BOUND_MS: f64 = 250.0;

impl Report {
    pub(super) fn judge(&self, plan: &Plan) -> Vec<Bound> {
        let bound = |held: bool, what: String| Bound { what, held };
        let cycle = &self.cycle;
        let signing = plan.signing_seconds() * SIGNING_BOUND + 2.0;
        let most = f64::from(self.rate) * float(HASHES) * RATE_BOUND;
        let fastest = self
            .signing_all
            .operations_per_second
            .max(self.refreshing_all.operations_per_second);
        let overlap = self.validity_seconds - self.refresh_seconds;
        let wanted = cycle.signed_in_all * float(HASHES);
        let counted = float(cycle.operations_in_all);
        let (alone, beside) = (&self.enrolments_alone, &self.enrolments_beside);
        let status = self
            .signing_all
            .statuses
            .p99_ms
            .max(self.refreshing_all.statuses.p99_ms);
        vec![
            bound(
                self.signing_all.seconds <= signing,
                format!(
                    "all are signed within {signing:.0} s ({SIGNING_BOUND} times what the rate says): {:.0} s",
                    self.signing_all.seconds
                ),
            ),
            bound(
                cycle.old_left == 0 && cycle.replaced_at < cycle.first_next_update,
                format!(
                    "all are replaced before the first nextUpdate, {}: {} left at {}",
                    cycle.first_next_update, cycle.old_left, cycle.replaced_at
                ),
            ),
            bound(
                (float(overlap) / 2.0..=float(self.validity_seconds))
                    .contains(&cycle.least_left_seconds),
                format!(
                    "none has less left than half of the overlap, {} s: {:.0} s",
                    overlap / 2,
                    cycle.least_left_seconds
                ),
            ),
            bound(
                self.statuses.ended == 0 && self.statuses.wrong == 0 && self.statuses.good > 0,
                format!(
                    "no status is found ended or wrong: {} ended, {} wrong{} of {}",
                    self.statuses.ended,
                    self.statuses.wrong,
                    told(self.statuses.first_fault.as_ref()),
                    self.statuses.asked
                ),
            ),
            bound(
                fastest <= most,
                format!("token operations stay below {most:.0} a second: {fastest:.0}"),
            ),
            bound(
                // A response on its way when the counts were read is told of in one of them only.
                (counted - wanted).abs() <= wanted / 100.0,
                format!(
                    "token operations are those of the responses, {wanted:.0}, within 1 %: {counted:.0}"
                ),
            ),
            bound(
                alone.failures + beside.failures == 0,
                format!(
                    "no enrolment fails: {} alone, {} beside{}",
                    alone.failures,
                    beside.failures,
                    told(
                        alone
                            .first_failure
                            .as_ref()
                            .or(beside.first_failure.as_ref())
                    )
                ),
            ),
            bound(
                beside.per_second >= alone.per_second * ENROLMENTS_BOUND,
                format!(
                    "enrolments beside the refresh go at {:.0} % of the rate without it at least: {:.0} %",
                    ENROLMENTS_BOUND * 100.0,
                    beside.per_second / alone.per_second * 100.0
                ),
            ),
            bound(
                status <= STATUS_BOUND_MS,
                format!("p99 of status answers is {STATUS_BOUND_MS} ms at most: {status:.1} ms"),
            ),
        ]
    }

    /// The words of the bounds that were not held.
    pub(in crate::ocsp) fn broken(&self) -> Vec<&str> {
        let broken = self.bounds.iter().filter(|bound| !bound.held);
        broken.map(|bound| bound.what.as_str()).collect()
    }
}

fn told(fault: Option<&String>) -> String {
    fault.map_or_else(String::new, |fault| format!(" ({fault})"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::*;
    use crate::ocsp::OcspBench;

    fn phase() -> Phase {
        let cost = Cost {
            seconds: 100.0,
            signed: 100_000.0,
            hsm_cpu: 20.0,
            signer_cpu: 30.0,
            frontend_cpu: 1.0,
        };
        let latency = Latency::of(vec![Duration::from_millis(2); 100]);
        Phase::new(101.0, 100_000.0, 200_000, cost, 100_000.0, (100, latency))
    }

    fn wave() -> Enrolments {
        let latency = Latency::of(vec![Duration::from_millis(20); 100]);
        Enrolments::new(1_000, Duration::from_secs(4), &latency, &[], 10.0)
    }

    /// As it ought to be.
    fn report() -> (Plan, Report) {
        let args = OcspBench {
            certificates: 100_000,
            rate: 1_000,
            requests: 1_000,
            connections: 8,
        };
        let plan = Plan::of(&args, Duration::from_secs(10));
        let cycle = Cycle {
            old_left: 0,
            first_next_update: Timestamp::from_seconds(1_700_000_900),
            replaced_at: Timestamp::from_seconds(1_700_000_400),
            least_left_seconds: float(plan.validity.as_secs()) * 0.6,
            operations_in_all: 404_100,
            signed_in_all: 202_000.0,
        };
        let statuses = Answers {
            asked: 100,
            good: 90,
            not_signed_yet: 10,
            ended: 0,
            wrong: 0,
            first_fault: None,
        };
        let scale = Scale {
            store_octets: 0,
            wal_octets_at_most: 0,
            signer_octets_at_most: 0,
        };
        let floor = Floor {
            signatures: 200_000,
            sessions: 4,
            seconds: 20.0,
            signatures_per_second: 10_000.0,
            cpu_seconds: 16.0,
            cpu_us_per_signature: 80.0,
            token_label: "assay".to_owned(),
        };
        let idle = (100, Latency::of(vec![Duration::from_millis(1); 100]));
        let report = Report::new(
            &plan,
            [phase(), phase()],
            idle,
            cycle,
            statuses,
            [wave(), wave()],
            scale,
            floor,
        );
        (plan, report)
    }

    #[test]
    fn a_run_as_it_ought_to_be_holds_every_bound_and_is_told() {
        let (_, report) = report();
        assert_eq!(report.broken(), Vec::<&str>::new());
        let lines = report.lines().join("\n");
        assert!(lines.contains("2.3/s"), "{lines}");
        assert!(lines.contains("ratio               1.25"), "{lines}");
        assert!(!lines.contains("BROKEN"), "{lines}");
    }

    #[test]
    fn each_bound_is_broken_by_what_it_is_about() {
        type Change = fn(&mut Report);
        let changes: [(&str, Change); 12] = [
            ("all are signed", |of| of.signing_all.seconds = 128.0),
            ("all are replaced", |of| of.cycle.old_left = 1),
            ("all are replaced", |of| {
                of.cycle.replaced_at = of.cycle.first_next_update;
            }),
            ("none has less", |of| of.cycle.least_left_seconds = 1.0),
            ("no status", |of| of.statuses.ended = 1),
            ("no status", |of| of.statuses.wrong = 1),
            ("no status", |of| of.statuses.good = 0),
            ("token operations stay", |of| {
                of.refreshing_all.operations_per_second = 2_200.0;
            }),
            ("token operations are", |of| {
                of.cycle.operations_in_all = 500_000;
            }),
            ("no enrolment fails", |of| of.enrolments_beside.failures = 1),
            ("enrolments beside", |of| {
                of.enrolments_beside.per_second = of.enrolments_alone.per_second / 2.1;
            }),
            ("p99 of status", |of| {
                of.refreshing_all.statuses.p99_ms = 300.0;
            }),
        ];
        for (words, change) in changes {
            let (plan, mut report) = report();
            change(&mut report);
            report.bounds = report.judge(&plan);
            let broken = report.broken();
            assert_eq!(broken.len(), 1, "{words}: {broken:?}");
            assert!(broken[0].starts_with(words), "{words}: {broken:?}");
        }
    }
}
