//! What the run showed, and which bounds were held.

use std::time::Duration;

use serde::Serialize;

use super::floor::Floor;
use super::lookups::Answers;
use super::{HASHES, Plan};
use crate::bench::report::Latency;
use crate::failure::Failure;
use crate::output::time;

/// The first signing may take so many times what the rate says: commits and looks between two batches.
const SIGNING_BOUND: f64 = 1.25;
/// Operations a second over two times the rate: whole seconds and a batch at either end.
const RATE_BOUND: f64 = 1.05;
/// Enrolments a second beside the refresh, over those without it: half of the sessions are theirs, whatever is refreshed.
const ENROLMENTS_BOUND: f64 = 0.5;
/// Of status answers, milliseconds.
const STATUS_BOUND_MS: f64 = 250.0;
const SECONDS_A_DAY: f64 = 86_400.0;
const MEBIBYTE: f64 = 1_048_576.0;

#[derive(Debug, Serialize)]
pub(super) struct Report {
    certificates: u32,
    rate: u32,
    refresh_seconds: u64,
    validity_seconds: u64,
    signing_all: Phase,
    refreshing_all: Phase,
    cycle: Cycle,
    statuses: Answers,
    statuses_idle: Statuses,
    enrolments_alone: Enrolments,
    enrolments_beside: Enrolments,
    connections: u16,
    scale: Scale,
    floor: Floor,
    /// CPU of the worker an operation in the first signing, over that of the token alone.
    worker_ratio: f64,
    /// What a day takes by the default `ocsp.refresh` of a day: operations, and seconds of the worker's CPU.
    operations_a_day: f64,
    worker_cpu_seconds_a_day: f64,
    bounds: Vec<Bound>,
}

/// A time in which each certificate got its response.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Phase {
    seconds: f64,
    /// Certificates whose responses were signed.
    signed: f64,
    signed_per_second: f64,
    /// Of the responder's key, as the worker counts them.
    operations: u64,
    operations_per_second: f64,
    /// While no device enrolled.
    cost: Cost,
    worker_share_of_a_core: f64,
    signer_share_of_a_core: f64,
    frontend_share_of_a_core: f64,
    worker_cpu_us_per_operation: f64,
    /// Responses that were to be signed, at most.
    due_at_most: f64,
    statuses: Statuses,
}

/// CPU seconds of a time, user and system.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Cost {
    pub(super) seconds: f64,
    pub(super) signed: f64,
    pub(super) worker_cpu: f64,
    pub(super) signer_cpu: f64,
    pub(super) frontend_cpu: f64,
}

/// Latency of status answers.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Statuses {
    asked: usize,
    median_ms: f64,
    p99_ms: f64,
}

/// The refresh against its window. Times are Unix seconds.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Cycle {
    /// Responses of the first signing that were never replaced.
    pub(super) old_left: u64,
    /// When the first of them ended, or would have.
    pub(super) first_next_update: i64,
    /// When the last of them had been replaced.
    pub(super) replaced_at: i64,
    /// What any response had left at least, as the signer counts, seconds.
    pub(super) least_left_seconds: f64,
    /// Since the signer's start.
    pub(super) operations_in_all: u64,
    pub(super) signed_in_all: f64,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Enrolments {
    requests: usize,
    failures: usize,
    first_failure: Option<String>,
    seconds: f64,
    per_second: f64,
    median_ms: f64,
    p99_ms: f64,
    /// Certificates whose responses were signed meanwhile; each new device's among them.
    responses_per_second: f64,
}

/// What a large store takes beside time.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Scale {
    pub(super) store_octets: u64,
    pub(super) wal_octets_at_most: u64,
    pub(super) signer_octets_at_most: u64,
}

#[derive(Clone, Debug, Serialize)]
struct Bound {
    what: String,
    held: bool,
}

impl Phase {
    pub(super) fn new(
        seconds: f64,
        signed: f64,
        operations: u64,
        cost: Cost,
        due_at_most: f64,
        statuses: (usize, Latency),
    ) -> Self {
        let share = |cpu: f64| cpu / cost.seconds.max(f64::EPSILON);
        Self {
            seconds,
            signed,
            signed_per_second: signed / seconds,
            operations,
            operations_per_second: float(operations) / seconds,
            worker_share_of_a_core: share(cost.worker_cpu),
            signer_share_of_a_core: share(cost.signer_cpu),
            frontend_share_of_a_core: share(cost.frontend_cpu),
            worker_cpu_us_per_operation: cost.worker_cpu * 1e6
                / (cost.signed * float(HASHES)).max(1.0),
            cost,
            due_at_most,
            statuses: statuses.into(),
        }
    }
}

impl From<(usize, Latency)> for Statuses {
    fn from((asked, latency): (usize, Latency)) -> Self {
        Self {
            asked,
            median_ms: milliseconds(latency.median),
            p99_ms: milliseconds(latency.p99),
        }
    }
}

impl Enrolments {
    pub(super) fn new(
        requests: usize,
        elapsed: Duration,
        latency: &Latency,
        failures: &[Failure],
        responses: f64,
    ) -> Self {
        let good = u64::try_from(requests.saturating_sub(failures.len())).unwrap_or_default();
        let seconds = elapsed.as_secs_f64();
        Self {
            requests,
            failures: failures.len(),
            first_failure: failures.first().map(ToString::to_string),
            seconds,
            per_second: float(good) / seconds,
            median_ms: milliseconds(latency.median),
            p99_ms: milliseconds(latency.p99),
            responses_per_second: responses / seconds,
        }
    }
}

impl Report {
    #[allow(clippy::too_many_arguments, reason = "all that was measured, once")]
    pub(super) fn new(
        plan: &Plan,
        [signing_all, refreshing_all]: [Phase; 2],
        idle: (usize, Latency),
        cycle: Cycle,
        statuses: Answers,
        [enrolments_alone, enrolments_beside]: [Enrolments; 2],
        scale: Scale,
        floor: Floor,
    ) -> Self {
        let operations_a_day = f64::from(plan.certificates) * float(HASHES);
        let us = signing_all.worker_cpu_us_per_operation;
        let mut report = Self {
            certificates: plan.certificates,
            rate: plan.rate,
            refresh_seconds: plan.refresh.as_secs(),
            validity_seconds: plan.validity.as_secs(),
            worker_ratio: us / floor.cpu_us_per_signature,
            operations_a_day,
            worker_cpu_seconds_a_day: operations_a_day * us / 1e6,
            signing_all,
            refreshing_all,
            cycle,
            statuses,
            statuses_idle: idle.into(),
            enrolments_alone,
            enrolments_beside,
            connections: plan.connections,
            scale,
            floor,
            bounds: Vec::new(),
        };
        report.bounds = report.judge(plan);
        report
    }

    fn judge(&self, plan: &Plan) -> Vec<Bound> {
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
                    time(cycle.first_next_update),
                    cycle.old_left,
                    time(cycle.replaced_at)
                ),
            ),
            bound(
                cycle.least_left_seconds >= float(overlap) / 2.0,
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
    pub(super) fn broken(&self) -> Vec<&str> {
        let broken = self.bounds.iter().filter(|bound| !bound.held);
        broken.map(|bound| bound.what.as_str()).collect()
    }

    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!(
            "{} certificates, two responses each; ocsp.rate {}, refresh {} s, validity {} s",
            self.certificates, self.rate, self.refresh_seconds, self.validity_seconds
        )];
        lines.push(String::new());
        lines.extend(self.phases());
        lines.push(String::new());
        lines.extend(self.waves());
        lines.push(String::new());
        lines.extend(self.rest());
        lines.push(String::new());
        lines.push("bounds".to_owned());
        lines.extend(self.bounds.iter().map(|bound| {
            let held = if bound.held { "held" } else { "BROKEN" };
            format!("  {held:<8}{}", bound.what)
        }));
        lines
    }

    fn phases(&self) -> Vec<String> {
        let (a, b) = (&self.signing_all, &self.refreshing_all);
        let row = |name: &str, of: &dyn Fn(&Phase) -> String| {
            format!("{name:<36}{:>14}{:>16}", of(a), of(b))
        };
        let percent = |share: f64| format!("{:.1} %", share * 100.0);
        vec![
            format!("{:<36}{:>14}{:>16}", "", "signing all", "refreshing all"),
            row("seconds", &|phase| format!("{:.0}", phase.seconds)),
            row("certificates signed for", &|phase| {
                format!("{:.0}", phase.signed)
            }),
            row("  a second", &|phase| {
                format!("{:.0}", phase.signed_per_second)
            }),
            row("token operations", &|phase| phase.operations.to_string()),
            row("  a second", &|phase| {
                format!("{:.0}", phase.operations_per_second)
            }),
            row("CPU of the worker, an operation", &|phase| {
                format!("{:.0} us", phase.worker_cpu_us_per_operation)
            }),
            row("  of one core", &|phase| {
                percent(phase.worker_share_of_a_core)
            }),
            row("CPU of the signer, of one core", &|phase| {
                percent(phase.signer_share_of_a_core)
            }),
            row("due at a time, at most", &|phase| {
                format!("{:.0}", phase.due_at_most)
            }),
            row("statuses asked for", &|phase| {
                phase.statuses.asked.to_string()
            }),
            row("  answered within, median", &|phase| {
                format!("{:.2} ms", phase.statuses.median_ms)
            }),
            row("  p99", &|phase| format!("{:.2} ms", phase.statuses.p99_ms)),
            format!(
                "statuses while nothing was signed: {}, median {:.2} ms, p99 {:.2} ms",
                self.statuses_idle.asked, self.statuses_idle.median_ms, self.statuses_idle.p99_ms
            ),
        ]
    }

    fn waves(&self) -> Vec<String> {
        let header = format!(
            "{} enrolments over {}",
            self.enrolments_alone.requests, self.connections
        );
        let mut lines = vec![format!(
            "{header:<28}{:>10}{:>13}{:>11}{:>22}",
            "a second", "median ms", "p99 ms", "responses a second"
        )];
        for (name, of) in [
            ("  without the refresh", &self.enrolments_alone),
            ("  beside it", &self.enrolments_beside),
        ] {
            lines.push(format!(
                "{name:<28}{:>10.0}{:>13.2}{:>11.2}{:>22.0}",
                of.per_second, of.median_ms, of.p99_ms, of.responses_per_second
            ));
        }
        lines
    }

    fn rest(&self) -> Vec<String> {
        let (floor, cycle, scale) = (&self.floor, &self.cycle, &self.scale);
        let mebibytes = |octets: u64| float(octets) / MEBIBYTE;
        vec![
            format!(
                "the token alone     {} signatures by the same key in {:.1} s ({:.0}/s, {} sessions), {:.0} us of CPU each",
                floor.signatures,
                floor.seconds,
                floor.signatures_per_second,
                floor.sessions,
                floor.cpu_us_per_signature
            ),
            format!(
                "ratio               {:.2} (worker CPU an operation in the first signing over the token's own)",
                self.worker_ratio
            ),
            format!(
                "window              the first response ends {}, the last was replaced {}",
                time(cycle.first_next_update),
                time(cycle.replaced_at)
            ),
            format!(
                "a day of refresh 1d {:.0} operations ({:.1}/s), {:.0} s of the worker's CPU, {:.3} % of one core (computed)",
                self.operations_a_day,
                self.operations_a_day / SECONDS_A_DAY,
                self.worker_cpu_seconds_a_day,
                self.worker_cpu_seconds_a_day / SECONDS_A_DAY * 100.0
            ),
            format!(
                "store               {:.0} MiB, write-ahead log {:.0} MiB at most; memory of the signer {:.0} MiB at most",
                mebibytes(scale.store_octets),
                mebibytes(scale.wal_octets_at_most),
                mebibytes(scale.signer_octets_at_most)
            ),
        ]
    }
}

fn told(fault: Option<&String>) -> String {
    fault.map_or_else(String::new, |fault| format!(" ({fault})"))
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

#[allow(clippy::cast_precision_loss, reason = "counts of one run")]
fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::super::OcspBench;
    use super::*;

    fn phase() -> Phase {
        let cost = Cost {
            seconds: 100.0,
            signed: 100_000.0,
            worker_cpu: 20.0,
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
            first_next_update: 1_700_000_900,
            replaced_at: 1_700_000_400,
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
