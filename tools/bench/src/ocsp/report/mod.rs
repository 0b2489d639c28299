//! The results of the run, and which bounds were held.

mod bounds;
mod lines;

use std::time::Duration;

use assay_types::Timestamp;
use serde::Serialize;

use super::floor::Floor;
use super::lookups::Answers;
use super::{HASHES, Plan};
use crate::failure::Failure;
use crate::report::Latency;

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
    /// CPU of the HSM service an operation in the first signing, over that of the token alone.
    hsm_ratio: f64,
    /// What a day takes by the default `ocsp.refresh` of a day: operations, and seconds of the HSM service's CPU.
    operations_a_day: f64,
    hsm_cpu_seconds_a_day: f64,
    bounds: Vec<Bound>,
}

/// A time in which each certificate got its response.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Phase {
    seconds: f64,
    /// Certificates whose responses were signed.
    signed: f64,
    signed_per_second: f64,
    /// Of the responder's key, as the HSM service counts them.
    operations: u64,
    operations_per_second: f64,
    /// While no device enrolled.
    cost: Cost,
    hsm_share_of_a_core: f64,
    signer_share_of_a_core: f64,
    frontend_share_of_a_core: f64,
    hsm_cpu_us_per_operation: f64,
    /// Responses that were to be signed, at most.
    due_at_most: f64,
    statuses: Statuses,
}

/// CPU seconds of a time, user and system.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Cost {
    pub(super) seconds: f64,
    pub(super) signed: f64,
    pub(super) hsm_cpu: f64,
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

/// The refresh against its window.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Cycle {
    /// Responses of the first signing that were never replaced.
    pub(super) old_left: u64,
    /// When the first of them ended, or would have.
    pub(super) first_next_update: Timestamp,
    /// When the last of them had been replaced.
    pub(super) replaced_at: Timestamp,
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

/// The size of a large store in files and in memory.
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
            hsm_share_of_a_core: share(cost.hsm_cpu),
            signer_share_of_a_core: share(cost.signer_cpu),
            frontend_share_of_a_core: share(cost.frontend_cpu),
            hsm_cpu_us_per_operation: cost.hsm_cpu * 1e6 / (cost.signed * float(HASHES)).max(1.0),
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
        let us = signing_all.hsm_cpu_us_per_operation;
        let mut report = Self {
            certificates: plan.certificates,
            rate: plan.rate,
            refresh_seconds: plan.refresh.as_secs(),
            validity_seconds: plan.validity.as_secs(),
            hsm_ratio: us / floor.cpu_us_per_signature,
            operations_a_day,
            hsm_cpu_seconds_a_day: operations_a_day * us / 1e6,
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
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

#[allow(clippy::cast_precision_loss, reason = "counts of one run")]
fn float(count: u64) -> f64 {
    count as f64
}
