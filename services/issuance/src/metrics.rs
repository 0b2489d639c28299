//! What the signer tells Prometheus. Labels come from closed sets, or from policy; never from a request.

use std::time::Duration;

use assay_hsm::Health;

use assay_store::OcspCounts;

use crate::generation::Place;
use assay_policy::{Facts, Profile};

use crate::pipeline::RequestContext;

/// Names and help texts, once at start.
pub fn describe() {
    metrics::describe_counter!(
        "assay_signer_requests_total",
        "pkiMessages by message type, profile and outcome."
    );
    metrics::describe_counter!(
        "assay_signer_quirk_uses_total",
        "Requests that needed an exception, by profile and switch; `assay legacy list` names the devices."
    );
    metrics::describe_counter!(
        "assay_signer_ignored_extensions_total",
        "Extensions that requests asked for without effect, by profile and OID: those of the profile's ignored_extensions, \
         and key-identifier."
    );
    metrics::describe_counter!(
        "assay_signer_password_replies_total",
        "Requests answered, or to be answered, under their challenge as their key cannot decrypt, by profile and outcome."
    );
    metrics::describe_counter!(
        "assay_signer_requests_counted_total",
        "Requests without a record of their own, by class; `requests.counted` records have their number."
    );
    metrics::describe_counter!(
        "assay_signer_failed_challenges_total",
        "Requests whose challenge authorised nothing, by profile."
    );
    metrics::describe_gauge!(
        "assay_signer_challenge_alarm",
        "1 for a day after too many challenges failed under a profile."
    );
    metrics::describe_counter!(
        "assay_signer_turned_away_total",
        "Requests that found no room and were told to come back."
    );
    metrics::describe_counter!(
        "assay_signer_refusal_ticks_missed_total",
        "Uniform refusals that took longer than limits.refusal_tick; raise it above what the token takes."
    );
    metrics::describe_gauge!(
        "assay_token_queue_depth",
        "Token operations that wait or are being done."
    );
    metrics::describe_gauge!(
        "assay_token_healthy",
        "1 while the probe key can be found, used and verified."
    );
    metrics::describe_gauge!(
        "assay_token_reconnections",
        "Connections to the HSM service that were lost since the signer started."
    );
    metrics::describe_gauge!("assay_crl_age_seconds", "Since the latest CRL was signed.");
    metrics::describe_gauge!("assay_crl_left_seconds", "Until the latest CRL ends.");
    metrics::describe_gauge!(
        "assay_rollover_left_seconds",
        "Until the next CA takes over; below 0 once it has."
    );
    metrics::describe_gauge!(
        "assay_rollover_announced",
        "1 while GetNextCACert has the next CA's certificates."
    );
    metrics::describe_counter!(
        "assay_ocsp_signed_total",
        "Certificates whose OCSP responses were signed: two ocsp-sign operations each, or one without ocsp.sha256."
    );
    metrics::describe_gauge!(
        "assay_ocsp_responses",
        "Unexpired certificates by the state of their OCSP response: signed, or waiting for one."
    );
    metrics::describe_gauge!(
        "assay_ocsp_due",
        "OCSP responses that are to be signed by now."
    );
    metrics::describe_gauge!(
        "assay_ocsp_left_seconds",
        "Until the OCSP response that is due first ends."
    );
    metrics::describe_gauge!(
        "assay_ocsp_responder_left_seconds",
        "Until the OCSP responder's certificate ends."
    );
    metrics::describe_counter!(
        "assay_certificates_issued_total",
        "Certificates issued, by profile and whether it is a first one or a renewal."
    );
    metrics::describe_gauge!(
        "assay_certificates_ending",
        "Certificates in force that end within the time and have no successor, by profile; `assay cert expiring` lists them."
    );
    metrics::describe_gauge!(
        "assay_certificates_lapsed",
        "Certificates that ended in the last 7 days, neither renewed nor revoked, by profile; `assay cert expiring --expired` lists them."
    );
    metrics::describe_gauge!("assay_state_file_bytes", "Length of the state file.");
    metrics::describe_gauge!(
        "assay_open_intents",
        "Certificates decided and not yet finished."
    );
    metrics::describe_gauge!(
        "assay_log_checkpoint_size",
        "Audit records under the newest signed checkpoint."
    );
    metrics::describe_gauge!(
        "assay_log_checkpoint_age_seconds",
        "Seconds since all audit records were last under a signed checkpoint, as of the last attempt."
    );
}

/// The uniform failure needed more than one tick: how many may tell something, if little, of what failed.
pub(crate) fn tick_missed() {
    metrics::counter!("assay_signer_refusal_ticks_missed_total").increment(1);
}

/// A request without a record of its own.
pub(crate) fn counted(class: &'static str) {
    metrics::counter!("assay_signer_requests_counted_total", "class" => class).increment(1);
}

pub(crate) fn challenge_failed(profile: &str) {
    metrics::counter!("assay_signer_failed_challenges_total", "profile" => profile.to_owned())
        .increment(1);
}

pub(crate) fn challenge_alarm(profile: &str, raised: bool) {
    metrics::gauge!("assay_signer_challenge_alarm", "profile" => profile.to_owned())
        .set(f64::from(u8::from(raised)));
}

pub(crate) fn turned_away() {
    metrics::counter!("assay_signer_turned_away_total").increment(1);
}

/// Message types that may stand in a label; whatever else a message said is `other`.
const MESSAGE_TYPES: [&str; 5] = ["17", "19", "20", "21", "22"];

pub(crate) fn request_ended(context: &RequestContext, outcome: &'static str) {
    let message_type = MESSAGE_TYPES
        .into_iter()
        .find(|listed| context.message_type.as_deref() == Some(listed))
        .unwrap_or("other");
    // Before a profile was found the name is the request's own.
    let profile = match context.policy_hash {
        Some(_) => context.profile.clone(),
        None => "unknown".to_owned(),
    };
    for quirk in &context.quirks {
        metrics::counter!(
            "assay_signer_quirk_uses_total",
            "profile" => profile.clone(), "quirk" => quirk.as_str()
        )
        .increment(1);
    }
    if context.under_password {
        metrics::counter!(
            "assay_signer_password_replies_total",
            "profile" => profile.clone(), "outcome" => outcome
        )
        .increment(1);
    }
    metrics::counter!(
        "assay_signer_requests_total",
        "type" => message_type, "profile" => profile, "outcome" => outcome
    )
    .increment(1);
}

/// The OIDs come from the policy, not from the request, so that their number is bounded.
pub(crate) fn ignored_extensions(profile: &Profile, facts: &Facts) {
    let count = |extension: String, times: usize| {
        let name = profile.name().to_string();
        metrics::counter!(
            "assay_signer_ignored_extensions_total", "profile" => name, "extension" => extension
        )
        .increment(times as u64);
    };
    for oid in &facts.other_extensions {
        if profile.ignores(oid) {
            count(oid.to_string(), 1);
        }
    }
    if facts.ignored_extensions > 0 {
        count("key-identifier".to_owned(), facts.ignored_extensions);
    }
}

/// After an attempt at a checkpoint.
pub(crate) fn log(size: u64, age: Duration) {
    metrics::gauge!("assay_log_checkpoint_size").set(number(size));
    metrics::gauge!("assay_log_checkpoint_age_seconds").set(age.as_secs_f64());
}

/// The CA that takes over: seconds until then, below 0 after it, and whether devices can ask for its certificates.
pub(crate) fn rollover(left: i64, announced: bool) {
    metrics::gauge!("assay_rollover_left_seconds").set(seconds(left));
    metrics::gauge!("assay_rollover_announced").set(f64::from(u8::from(announced)));
}

pub(crate) fn crl(of: Place, age: i64, left: i64) {
    metrics::gauge!("assay_crl_age_seconds", "ca" => of.label()).set(seconds(age));
    metrics::gauge!("assay_crl_left_seconds", "ca" => of.label()).set(seconds(left));
}

/// By profile, whichever message brought it; recovery counts as well.
pub(crate) fn issued(profile: &str, renewal: bool) {
    let kind = if renewal { "renewal" } else { "first" };
    metrics::counter!(
        "assay_certificates_issued_total",
        "profile" => profile.to_owned(), "kind" => kind
    )
    .increment(1);
}

pub(crate) fn ending(profile: &str, within: &'static str, count: u64) {
    metrics::gauge!(
        "assay_certificates_ending",
        "profile" => profile.to_owned(), "within" => within
    )
    .set(number(count));
}

pub(crate) fn lapsed(profile: &str, count: u64) {
    metrics::gauge!("assay_certificates_lapsed", "profile" => profile.to_owned())
        .set(number(count));
}

pub(crate) fn ocsp_signed() {
    metrics::counter!("assay_ocsp_signed_total").increment(1);
}

pub(crate) fn ocsp(of: Place, counts: OcspCounts, left: Option<i64>, responder_left: i64) {
    let ca = of.label();
    let responses = |state: &'static str, count: u64| {
        metrics::gauge!("assay_ocsp_responses", "ca" => ca, "state" => state).set(number(count));
    };
    responses("signed", counts.all.saturating_sub(counts.waiting));
    responses("waiting", counts.waiting);
    metrics::gauge!("assay_ocsp_due", "ca" => ca).set(number(counts.due));
    if let Some(left) = left {
        metrics::gauge!("assay_ocsp_left_seconds", "ca" => ca).set(seconds(left));
    }
    metrics::gauge!("assay_ocsp_responder_left_seconds", "ca" => ca).set(seconds(responder_left));
}

#[allow(
    clippy::cast_precision_loss,
    reason = "gauges are f64; counts and times stay far below 2^52"
)]
fn number(value: u64) -> f64 {
    value as f64
}

/// Below 0 where it is over.
fn seconds(value: i64) -> f64 {
    let magnitude = number(value.unsigned_abs());
    if value < 0 { -magnitude } else { magnitude }
}

pub(crate) fn token(of: Place, health: &Health, queue_depth: usize) {
    let ca = of.label();
    metrics::gauge!("assay_token_healthy", "ca" => ca).set(if health.ready { 1.0 } else { 0.0 });
    metrics::gauge!("assay_token_queue_depth", "ca" => ca).set(number(queue_depth as u64));
    metrics::gauge!("assay_token_reconnections", "ca" => ca).set(number(health.reconnections));
}

pub(crate) fn state_file(bytes: u64) {
    metrics::gauge!("assay_state_file_bytes").set(number(bytes));
}

pub(crate) fn open_intents(count: u64) {
    metrics::gauge!("assay_open_intents").set(number(count));
}
