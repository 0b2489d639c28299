//! The rehearsal: what it says is what then happens.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use assay_tests::installation::Installation;
use serde_json::Value;

use super::{Scene, rfc3339, text};

const OVERLAP: Duration = Duration::from_secs(3_600);

#[tokio::test]
async fn it_says_what_happens_when_and_who_answers_at_each_moment() -> Result<()> {
    let scene = Scene::configured(OVERLAP, "1h").await?;
    let (switch_at, end) = (scene.switch_at, scene.switch_at + OVERLAP);
    let before = scene.rehearsed(None).await?;
    assert_eq!(text(&before, "stage")?, "unapproved");
    assert_eq!(answers(&before)?, [(true, true), (false, false)]);
    ensure!(warnings(&before)?.contains("no version in force approves the next CA"));
    ensure!(!scene.capabilities().await?.contains("GetNextCACert"));
    // What nobody approved takes nothing over, whatever the time.
    let then = scene.rehearsed(Some(end)).await?;
    assert_eq!(answers(&then)?, [(true, true), (false, false)]);

    scene.approve().await?;
    let old = scene.present().await?;
    scene.enrol("box-1", &old).await?;
    let second = Duration::from_secs(1);
    for (at, stage, answering) in [
        (None, "announced", [(true, true), (false, true)]),
        (
            Some(switch_at - second),
            "announced",
            [(true, true), (false, true)],
        ),
        (Some(switch_at), "overlap", [(false, true), (true, true)]),
        (Some(end - second), "overlap", [(false, true), (true, true)]),
        (Some(end), "over", [(false, false), (true, true)]),
    ] {
        let plan = scene.rehearsed(at).await?;
        assert_eq!(text(&plan, "stage")?, stage, "{at:?}");
        assert_eq!(answers(&plan)?, answering, "{at:?}");
    }
    let plan = scene.rehearsed(None).await?;
    let times = steps(&plan)?;
    ensure!(times.is_sorted(), "{times:?}");
    for wanted in [rfc3339(switch_at), rfc3339(end)] {
        ensure!(times.contains(&wanted), "{wanted} is not in {times:?}");
    }
    ensure!(warnings(&plan)?.contains("from the announcement to the switch"));
    let issued = |plan: &Value| plan.pointer("/issuers/0/certificates")?.as_u64();
    let (before, after) = (issued(&before), issued(&plan));
    assert_eq!(after, before.map(|before| before + 1));

    let told = scene.installation.assay(&["rollover", "rehearse"]).await?;
    let told = told.succeeded()?.text();
    for wanted in [
        "devices are told",
        "the switch: ",
        "the end of the overlap",
        "finish the rollover",
    ] {
        ensure!(told.contains(wanted), "{wanted} is not in\n{told}");
    }
    Ok(())
}

#[tokio::test]
async fn without_a_next_ca_it_says_so() -> Result<()> {
    let installation = Installation::start().await?;
    let told = installation.assay(&["rollover", "rehearse"]).await?;
    let told = told.succeeded()?.text();
    ensure!(told.contains("no CA is to take over"), "{told}");
    let wrong = installation
        .assay(&["rollover", "rehearse", "--at", "tomorrow"])
        .await?;
    ensure!(wrong.failed()?.all().contains("RFC 3339"));
    Ok(())
}

/// Of each CA: whether GetCACert names it, and whether its RA is answered.
fn answers(plan: &Value) -> Result<[(bool, bool); 2]> {
    let of = |index: usize, member: &str| {
        let found = plan.pointer(&format!("/issuers/{index}/{member}"));
        found
            .and_then(Value::as_bool)
            .with_context(|| plan.to_string())
    };
    Ok([
        (of(0, "named")?, of(0, "answers")?),
        (of(1, "named")?, of(1, "answers")?),
    ])
}

fn steps(plan: &Value) -> Result<Vec<String>> {
    let steps = plan
        .get("steps")
        .and_then(Value::as_array)
        .context("no steps")?;
    steps
        .iter()
        .map(|step| {
            // It is null where a step waits for people.
            let at = step.get("at").context("no time")?;
            Ok(at.as_str().unwrap_or_default().to_owned())
        })
        .collect()
}

fn warnings(plan: &Value) -> Result<String> {
    let warnings = plan.get("warnings").and_then(Value::as_array);
    let lines: Vec<_> = warnings
        .context("no warnings")?
        .iter()
        .filter_map(Value::as_str)
        .collect();
    Ok(lines.join("\n"))
}
