//! Metrics, the log line of each request, and its id.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use assay_runtime::ops::Readiness;
use assay_sandbox::Report;
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use tokio::time::Instant;

const REQUESTS: &str = "assay_http_requests_total";
const DURATION: &str = "assay_http_request_duration_seconds";
const IN_FLIGHT: &str = "assay_http_requests_in_flight";
const CONNECTIONS: &str = "assay_http_connections";
const CACHE_AGE: &str = "assay_public_answers_age_seconds";
const SIGNER_UP: &str = "assay_signer_up";
const OCSP_CACHED: &str = "assay_ocsp_responses_cached";

/// A path in a log line is cut off here.
const MAX_LOGGED_PATH_CHARS: usize = 128;

pub(crate) fn describe() {
    describe_counter!(REQUESTS, "SCEP requests by operation, profile and outcome.");
    describe_histogram!(
        DURATION,
        "From the head of a request to its answer, by operation."
    );
    describe_gauge!(IN_FLIGHT, "Requests being answered.");
    describe_gauge!(CONNECTIONS, "Open connections of devices.");
    describe_gauge!(
        CACHE_AGE,
        "Since the signer last confirmed capabilities and CA certificates."
    );
    describe_gauge!(
        SIGNER_UP,
        "Whether the signer answered the last time it was asked."
    );
    describe_gauge!(OCSP_CACHED, "OCSP responses in memory.");
    gauge!(SIGNER_UP).set(0.0);
    gauge!(IN_FLIGHT).set(0.0);
    gauge!(CONNECTIONS).set(0.0);
}

/// Reports in the log and at `/readyz` what the process gave up, and what this kernel cannot enforce.
pub(crate) fn sandbox(report: &Report, readiness: &Readiness) {
    if report.not_enforced.is_empty() {
        tracing::info!(sandbox = %report, "confined");
    } else {
        tracing::warn!(sandbox = %report, "confined in part; a newer kernel enforces the rest");
    }
    readiness.tell("sandbox", report.to_string());
}

pub(crate) fn cache_age(age: Duration) {
    gauge!(CACHE_AGE).set(age.as_secs_f64());
}

#[allow(
    clippy::cast_precision_loss,
    reason = "gauges are f64; counts stay far below 2^52"
)]
pub(crate) fn ocsp_cached(responses: usize) {
    gauge!(OCSP_CACHED).set(responses as f64);
}

pub(crate) fn signer_up(up: bool) {
    gauge!(SIGNER_UP).set(if up { 1.0 } else { 0.0 });
}

/// A client behind a proxy has too many connections, all with a request at work.
pub(crate) fn refused_behind_proxy() {
    counter!("assay_connections_refused_total", "listener" => "scep").increment(1);
}

/// Counts something for as long as the guard lives.
pub(crate) struct Counted(&'static str);

impl Counted {
    pub(crate) fn connection() -> Self {
        Self::new(CONNECTIONS)
    }

    fn new(name: &'static str) -> Self {
        gauge!(name).increment(1.0);
        Self(name)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        gauge!(self.0).decrement(1.0);
    }
}

/// Ids that are distinct over restarts and frontends: eight random digits of this process, then a count.
#[derive(Debug)]
pub(crate) struct RequestIds {
    process: String,
    next: AtomicU64,
}

impl RequestIds {
    pub(crate) fn new(process: [u8; 4]) -> Self {
        Self {
            process: format!("{:08x}", u32::from_be_bytes(process)),
            next: AtomicU64::new(1),
        }
    }

    pub(crate) fn next(&self) -> String {
        format!(
            "{}-{}",
            self.process,
            self.next.fetch_add(1, Ordering::Relaxed)
        )
    }
}

/// What is known of a request by the time it is answered. Its labels take few values: `operation` and `outcome` are
/// fixed words, and a profile's name is recorded only once the signer has named it.
pub(crate) struct Exchange {
    pub(crate) id: String,
    client: SocketAddr,
    method: String,
    path: String,
    began: Instant,
    pub(crate) operation: &'static str,
    pub(crate) profile: Option<Arc<str>>,
    pub(crate) received: usize,
    /// Of an answer; a refusal has its own.
    pub(crate) outcome: &'static str,
    _in_flight: Counted,
}

impl Exchange {
    pub(crate) fn begin(
        id: String,
        client: SocketAddr,
        method: &hyper::Method,
        path: &str,
    ) -> Self {
        Self {
            id,
            client,
            method: method
                .as_str()
                .chars()
                .take(MAX_LOGGED_PATH_CHARS)
                .collect(),
            path: path.chars().take(MAX_LOGGED_PATH_CHARS).collect(),
            began: Instant::now(),
            operation: "none",
            profile: None,
            received: 0,
            outcome: "ok",
            _in_flight: Counted::new(IN_FLIGHT),
        }
    }

    /// One log line and the metrics; neither message nor query ever appear.
    pub(crate) fn end(
        self,
        status: u16,
        outcome: &'static str,
        sent: u64,
        reason: Option<&dyn fmt::Display>,
    ) {
        let took = self.began.elapsed();
        let profile = self.profile.unwrap_or_else(|| Arc::from("none"));
        counter!(REQUESTS, "operation" => self.operation, "profile" => Arc::clone(&profile), "outcome" => outcome)
            .increment(1);
        histogram!(DURATION, "operation" => self.operation).record(took.as_secs_f64());
        tracing::info!(
            request_id = self.id,
            client = %self.client,
            method = self.method,
            path = self.path,
            operation = self.operation,
            profile = &*profile,
            status,
            outcome,
            reason = reason.map(tracing::field::display),
            received = self.received,
            sent,
            ms = took.as_secs_f64() * 1e3,
            "request"
        );
    }
}
