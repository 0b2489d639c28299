//! What the process tells Prometheus beside what the core does.

use std::time::Duration;

use assay_hsm::KeyRole;
use tokio::time::Instant;

/// Names and help texts, once at start.
pub(crate) fn describe() {
    assay_issuance::describe_metrics();
    metrics::describe_histogram!(
        "assay_signer_request_seconds",
        "Time from receipt to the reply, by outcome."
    );
    metrics::describe_histogram!(
        "assay_token_operation_seconds",
        "Time a token operation took its caller, queue included, by key role and result."
    );
    metrics::describe_counter!(
        "assay_ocsp_lookups_total",
        "OCSP responses that frontends asked for, by outcome."
    );
}

pub(crate) fn request_took(since: Instant, answer: &'static str) {
    metrics::histogram!("assay_signer_request_seconds", "answer" => answer).record(since.elapsed());
}

pub(crate) fn token_operation(role: KeyRole, took: Duration, ok: bool) {
    let result = if ok { "ok" } else { "failed" };
    metrics::histogram!(
        "assay_token_operation_seconds",
        "role" => role.to_string(), "result" => result
    )
    .record(took);
}

pub(crate) fn ocsp_lookup(outcome: &'static str) {
    metrics::counter!("assay_ocsp_lookups_total", "outcome" => outcome).increment(1);
}
