//! A range keeps what was asked for and what says which policy held; of the rest the hashes, so that the tree is whole.

use anyhow::{Context, Result};
use assay_tests::installation::Installation;
use serde_json::Value;

use crate::{Evidence, enrol, files, json, text};

/// More than two bundles of records.
const CHALLENGES: usize = 600;
/// Long after any test.
const LATER: &str = "2200-01-01";

#[tokio::test]
async fn a_range_keeps_whole_bundles_and_every_activation() -> Result<()> {
    let installation = Installation::start().await?;
    let subjects: Vec<String> = (0..CHALLENGES)
        .map(|n| format!("CN=range-{n},O=Example"))
        .collect();
    let list = installation.scratch().join("subjects");
    std::fs::write(&list, subjects.join("\n"))?;
    let issue = [
        "challenge",
        "issue",
        "--profile",
        "devices",
        "--from",
        text(&list)?,
    ];
    installation.assay(&issue).await?.succeeded()?;
    enrol(&installation, "range").await?;

    let whole = Evidence::of(&installation, "whole", &[]).await?;
    let verdict = json(&whole.verify().await?.succeeded()?)?;
    assert_eq!(verdict["verdict"], "proven", "{verdict}");

    let nothing = Evidence::of(&installation, "nothing", &["--from", LATER]).await?;
    let found = files(&nothing.export)?;
    let manifest: Value = serde_json::from_slice(&found["manifest.json"])?;
    assert_eq!(
        manifest["bundles"],
        serde_json::json!([0]),
        "the one with the activation"
    );
    assert!(found.contains_key("tile/entries/000"));
    assert!(found.keys().any(|path| path.starts_with("tile/0/002")));
    let ran = nothing.verify().await?.failed()?;
    assert_eq!(
        ran.status.code(),
        Some(3),
        "nothing is wrong, not all is proven: {}",
        ran.all()
    );
    let verdict = json(&ran)?;
    assert_eq!(verdict["verdict"], "incomplete", "{verdict}");

    let held = verdict["held"].as_u64().context("no records held")?;
    assert_eq!(held, 256, "{verdict}");
    Ok(())
}

#[tokio::test]
async fn a_range_that_ends_before_it_begins_and_a_time_that_is_none_are_refused() -> Result<()> {
    let installation = Installation::start().await?;
    let out = installation.scratch().join("export");
    for (range, says) in [
        (
            ["--from", "2026-02-01", "--to", "2026-01-01"],
            "no later than it begins",
        ),
        (["--from", "soon", "--to", "2026-01-01"], "write a time as"),
    ] {
        let arguments = [&["export", "--out", text(&out)?], &range[..]].concat();
        let ran = installation.assay(&arguments).await?.failed()?;
        assert!(ran.stderr.contains(says), "{}", ran.stderr);
        assert!(!out.exists());
    }
    Ok(())
}
