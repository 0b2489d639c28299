//! What the operator sees of a refusal is as uniform as what the device sees.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use assay_tests::installation::{Installation, set};
use assay_tests::metrics::Metrics;
use assay_tests::operator::Operator;
use assay_tests::wait;
use serde_json::{Map, Value};

use crate::{NO_BUDGET, compare, with_limits};

/// As `assay-bench refusals --help` lists them.
const CAUSES: [&str; 8] = [
    "key-padding",
    "key-length",
    "content-padding",
    "flipped-block",
    "garbage",
    "csr-signature",
    "csr-key",
    "costly-key",
];
const EACH: usize = 3;
/// Rounds that the benchmark sends before those it measures.
const WARM_UP: usize = 4;

#[tokio::test]
async fn logs_metrics_and_audit_records_are_the_same_for_every_cause() -> Result<()> {
    let limits = [("refusal_rate", NO_BUDGET.into())];
    let mut installation = with_limits(&limits).await?;
    installation.stop().await?;
    let filter = "info,assay_issuance=debug,assay_signer=debug,assay_hsm=debug";
    set(&installation.path("hsm.toml"), &["log_filter"], filter)?;
    set(
        &installation.path("signer.toml"),
        &["log", "filter"],
        filter,
    )?;
    installation.serve().await?;

    assert_same_counts(&installation).await?;
    assert_same_lines(&installation).await?;
    assert_same_records(&mut Operator::connect(&installation.path("")).await?).await
}

/// Sends every cause and compares what was counted meanwhile.
async fn assert_same_counts(installation: &Installation) -> Result<()> {
    let mut variants: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for cause in CAUSES {
        let before = counts(installation).await?;
        compare(installation, &EACH.to_string(), &["--cause", cause])
            .await?
            .succeeded()?;
        let mut after = counts(installation).await?;
        for (series, count) in &mut after {
            *count -= before.get(series).copied().unwrap_or_default();
        }
        after.retain(|_, count| *count != 0.0);
        assert!(!after.is_empty(), "{cause} is not counted");
        variants
            .entry(format!("{after:#?}"))
            .or_default()
            .push(cause);
    }
    assert_eq!(variants.len(), 1, "{variants:#?}");
    Ok(())
}

/// What both services have counted, but for what time alone moves.
async fn counts(installation: &Installation) -> Result<BTreeMap<String, f64>> {
    let metrics = &installation.ready().metrics;
    let mut all = BTreeMap::new();
    for url in [&metrics.frontend, &metrics.signer] {
        all.extend(Metrics::scrape(url).await?.counts());
    }
    let by_time = [
        "role=\"probe\"",
        "role=\"log-sign\"",
        "refusal_ticks_missed",
        // Which request is only counted depends on the time since the start.
        "assay_signer_requests_counted_total",
    ];
    all.retain(|series, _| !by_time.iter().any(|name| series.contains(name)));
    Ok(all)
}

/// Every request has the same lines, but for what is the request's own.
async fn assert_same_lines(installation: &Installation) -> Result<()> {
    // The frontend writes its line once the answer has left.
    let expected = CAUSES.len() * (EACH + WARM_UP) * LINES;
    let requests = wait::until("every line written", wait::REACTION, async || {
        let requests = lines_by_request(&installation.logs()?);
        let written: usize = requests.values().map(|request| request.lines.len()).sum();
        Ok((written >= expected).then_some(requests))
    })
    .await?;
    let mut variants: BTreeMap<Vec<String>, BTreeSet<u8>> = BTreeMap::new();
    for mut request in requests.into_values() {
        // Of three processes, so in any order.
        request.lines.sort_unstable();
        variants
            .entry(request.lines)
            .or_default()
            .extend(request.cause);
    }
    assert_eq!(variants.len(), 1, "{variants:#?}");
    let (lines, seen) = variants.first_key_value().context("no line")?;
    assert_eq!(lines.len(), LINES, "{lines:#?}");
    assert_eq!(seen.len(), CAUSES.len(), "each cause was logged");
    Ok(())
}

/// The frontend's, the signer's, and the HSM service's for each of its two operations.
const LINES: usize = 4;

#[derive(Default)]
struct Logged {
    cause: Option<u8>,
    lines: Vec<String>,
}

/// The lines of the benchmark's requests, by request id.
fn lines_by_request(log: &str) -> BTreeMap<String, Logged> {
    let mut requests: BTreeMap<String, Logged> = BTreeMap::new();
    for line in log.lines() {
        let Ok(mut line) = serde_json::from_str::<Map<String, Value>>(line.trim()) else {
            continue;
        };
        // The HSM service's lines have theirs apart.
        if let Some(Value::Object(fields)) = line.remove("fields") {
            line.extend(fields);
        }
        let Some(Value::String(id)) = line.remove("request_id") else {
            continue;
        };
        let request = requests.entry(id).or_default();
        if let Some(Value::String(transaction)) = line.remove("transaction_id") {
            request.cause = cause_of(&transaction);
        }
        for own in ["timestamp", "client", "ms"] {
            line.remove(own);
        }
        request.lines.push(Value::from(line).to_string());
    }
    requests.retain(|_, request| request.cause.is_some());
    requests
}

async fn assert_same_records(operator: &mut Operator) -> Result<()> {
    let mut variants: BTreeMap<String, BTreeSet<u8>> = BTreeMap::new();
    for record in operator.audit(0).await? {
        let Some(cause) = cause_of(record.text("transaction_id")) else {
            continue;
        };
        let seen = [record.kind(), record.text("rule"), record.text("detail")].join("|");
        variants.entry(seen).or_default().insert(cause);
    }
    assert_eq!(variants.len(), 1, "{variants:?}");
    // After a restart few refusals have a record of their own: the others are in counts, which say nothing of the cause. That each cause
    // has the same record where there is room is tested in assay-bench, with a clock that is put forward.
    for record in operator.audit(0).await? {
        if record.kind() == "requests.counted" {
            assert_eq!(record.text("class"), "unauthorised");
        }
    }
    Ok(())
}

/// The benchmark's transactionIDs begin with the number of their cause.
fn cause_of(transaction_id: &str) -> Option<u8> {
    let (cause, _) = transaction_id.split_once('-')?;
    cause.parse().ok()
}
