//! Refusals that leak nothing: whatever is wrong between the unwrapping of the key and the comparison of the CSR's key with
//! the signer's, the device, the log, the metrics and the audit log see the same; and refusals do not stand in the way
//! of enrolments.

mod addresses;
mod flood;
#[path = "../../shared/tier.rs"]
mod tier;
mod traces;

use anyhow::{Context, Result, bail, ensure};
use assay_tests::installation::{Installation, set};
use assay_tests::metrics::Metrics;
use assay_tests::tool::Ran;
use serde_json::Value;

/// Requests for each cause where all are compared, few enough for seconds.
const OF_ALL: &str = "60";
/// The two that differ most in what they cost. In the whole suite there are requests enough to see two milliseconds between
/// them on a busy machine.
const FARTHEST: [&str; 4] = ["--cause", "csr-key", "--cause", "costly-key"];
/// Requests for each of the two, where the comparison has to see a difference.
const OF_FARTHEST: &str = "800";
/// Of Welch's t. Where causes do not differ, one pair exceeds it in 7 of 10^6 comparisons, and one of 28 pairs in 2 of 10^4.
const LARGEST_T: f64 = 4.5;
/// A comparison fails where each of so many repetitions does: in less than one of 10^7 runs where causes do not differ. Causes
/// that differ do so in each repetition.
const REPETITIONS: usize = 2;
/// Beyond anything a test sends, so that none of its refusals is deferred.
const NO_BUDGET: i64 = 100_000;
/// What a comparison of refusals would spend.
const UNBOUNDED: [&str; 2] = ["refusal_rate", "undecipherable_rate"];

#[tokio::test]
async fn no_cause_can_be_told_from_another_by_bytes_or_by_time() -> Result<()> {
    let installation = with_limits(&UNBOUNDED.map(|key| (key, NO_BUDGET.into()))).await?;
    cannot_be_told(&installation, OF_ALL, &[], 28).await?;
    let of_farthest = tier::size("refusals of each cause").to_string();
    cannot_be_told(&installation, &of_farthest, &FARTHEST, 1).await
}

/// Compares refusals of each pair of causes.
async fn cannot_be_told(
    installation: &Installation,
    requests: &str,
    further: &[&str],
    pairs: usize,
) -> Result<()> {
    let mut exceeded = Vec::new();
    for _ in 0..REPETITIONS {
        let report = json(&compare(installation, requests, further).await?)?;
        ensure!(member(&report, "shapes")?.as_u64() == Some(1), "{report}");
        let compared = member(&report, "pairs")?.as_array().map(Vec::len);
        ensure!(compared == Some(pairs), "{report}");
        if largest_t(&report)? < LARGEST_T {
            return Ok(());
        }
        exceeded.push(report);
    }
    bail!("{exceeded:?}")
}

/// The key that also signs decrypts no more talkatively than the one that does nothing else.
#[tokio::test]
async fn nor_can_it_under_the_key_that_both_decrypts_and_signs() -> Result<()> {
    let mut installation = Installation::start_with(&["--single-ra"]).await?;
    set_limits(&mut installation, &[("refusal_rate", NO_BUDGET.into())]).await?;
    let quirk = "[quirks]\nsingle_ra = true\n";
    installation.add_profile("single", "devices", quirk).await?;
    cannot_be_told(&installation, OF_ALL, &["--profile", "single"], 28).await?;
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
    let mut seen = Vec::new();
    for _ in 0..REPETITIONS {
        let report = json(
            &compare(&installation, OF_FARTHEST, &FARTHEST)
                .await?
                .failed()?,
        )?;
        assert_eq!(report["shapes"], 1);
        seen.push(largest_t(&report)?);
        if seen.iter().any(|t| *t >= LARGEST_T) {
            return Ok(());
        }
    }
    bail!("the comparison sees nothing: {seen:?}")
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

fn largest_t(report: &Value) -> Result<f64> {
    member(report, "largest_t")?.as_f64().context("no t")
}

fn member<'a>(report: &'a Value, name: &str) -> Result<&'a Value> {
    report.get(name).with_context(|| format!("no {name}"))
}

fn json(ran: &Ran) -> Result<Value> {
    let text = ran.text();
    ensure!(!text.is_empty(), "no report: {}", ran.stderr);
    Ok(serde_json::from_str(&text)?)
}
