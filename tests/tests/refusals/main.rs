//! Refusals that leak nothing: whatever is wrong between the unwrapping of the key and the comparison of the CSR's key with
//! the signer's, the device, the log, the metrics and the audit log see the same; and refusals do not stand in the way
//! of enrolments.

mod addresses;
mod flood;
mod traces;

use anyhow::{Context, Result, ensure};
use assay_tests::installation::{Installation, set};
use assay_tests::metrics::Metrics;
use assay_tests::tool::Ran;
use serde_json::Value;

/// Requests for each cause where all are compared, few enough for seconds.
const OF_ALL: &str = "60";
/// The two that differ most in what they cost, and requests for each, enough to see two milliseconds on a busy machine.
const FARTHEST: [&str; 4] = ["--cause", "csr-key", "--cause", "costly-key"];
const OF_FARTHEST: &str = "800";
/// Beyond anything a test sends, so that none of its refusals is deferred.
const NO_BUDGET: i64 = 100_000;
/// What a comparison of refusals would spend.
const UNBOUNDED: [&str; 2] = ["refusal_rate", "undecipherable_rate"];

#[tokio::test]
async fn no_cause_can_be_told_from_another_by_bytes_or_by_time() -> Result<()> {
    let installation = with_limits(&UNBOUNDED.map(|key| (key, NO_BUDGET.into()))).await?;
    for (repetitions, causes, pairs) in [(OF_ALL, &[][..], 28), (OF_FARTHEST, &FARTHEST, 1)] {
        let ran = compare(&installation, repetitions, causes).await?;
        let report = json(&ran.succeeded()?)?;
        assert_eq!(report["shapes"], 1);
        assert_eq!(report["pairs"].as_array().map(Vec::len), Some(pairs));
        let largest = report["largest_t"].as_f64().context("no t")?;
        assert!(largest < 4.5, "{report}");
    }
    Ok(())
}

/// The key that also signs decrypts no more talkatively than the one that does nothing else.
#[tokio::test]
async fn nor_can_it_under_the_key_that_both_decrypts_and_signs() -> Result<()> {
    let mut installation = Installation::start_with(&["--single-ra"]).await?;
    set_limits(&mut installation, &[("refusal_rate", NO_BUDGET.into())]).await?;
    let quirk = "[quirks]\nsingle_ra = true\n";
    installation.add_profile("single", "devices", quirk).await?;
    let ran = compare(&installation, OF_ALL, &["--profile", "single"]).await?;
    let report = json(&ran.succeeded()?)?;
    assert_eq!(report["shapes"], 1);
    assert_eq!(report["pairs"].as_array().map(Vec::len), Some(28));
    let metrics = Metrics::scrape(&installation.ready().metrics.signer).await?;
    let decryptions = |role| metrics.sum("assay_token_operation_seconds_count", &[role]);
    assert!(decryptions("role=\"ra-single\"") > 0.0);
    Ok(())
}

/// A comparison that cannot see is worth nothing, so it is shown what it looks for.
#[tokio::test]
async fn without_the_tick_the_same_comparison_sees_the_costly_key() -> Result<()> {
    let mut limits = UNBOUNDED.map(|key| (key, NO_BUDGET.into())).to_vec();
    limits.push(("refusal_tick", "1us".into()));
    let installation = with_limits(&limits).await?;
    let ran = compare(&installation, OF_FARTHEST, &FARTHEST).await?;
    let report = json(&ran.failed()?)?;
    assert_eq!(report["shapes"], 1);
    let largest = report["largest_t"].as_f64().context("no t")?;
    assert!(largest >= 4.5, "{report}");
    Ok(())
}

/// An installation with limits of its own.
async fn with_limits(limits: &[(&str, toml::Value)]) -> Result<Installation> {
    let mut installation = Installation::start().await?;
    set_limits(&mut installation, limits).await?;
    Ok(installation)
}

async fn set_limits(installation: &mut Installation, limits: &[(&str, toml::Value)]) -> Result<()> {
    installation.stop().await?;
    for (key, value) in limits {
        set(
            &installation.path("signer.toml"),
            &["limits", key],
            value.clone(),
        )?;
    }
    installation.serve().await
}

async fn compare(installation: &Installation, repetitions: &str, more: &[&str]) -> Result<Ran> {
    let arguments = ["--json", "refusals", "--repetitions", repetitions];
    installation.bench(&[&arguments, more].concat()).await
}

fn json(ran: &Ran) -> Result<Value> {
    let text = ran.text();
    ensure!(!text.is_empty(), "no report: {}", ran.stderr);
    Ok(serde_json::from_str(&text)?)
}
