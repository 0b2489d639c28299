//! The log and the journal of the HSM service, exported one after the other while devices enrol: both end at the same checkpoint.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use assay_operator::services::have_own_users;
use assay_tests::hsm;
use assay_tests::installation::{Installation, auditor};
use assay_tests::tool::Ran;
use serde_json::Value;

use crate::{enrol, json, serial, text};

/// The journal as a file, and the size of the checkpoint that it ends with.
async fn journal_of(installation: &Installation, name: &str) -> Result<(PathBuf, String)> {
    let exported = hsm::journal(&installation.path(""), &["export"]).await?;
    let exported = exported.succeeded()?;
    let file = installation.scratch().join(name);
    std::fs::write(&file, &exported.stdout)?;
    let size = exported.stderr.lines().find_map(|line| {
        let size = line.strip_prefix("last checkpoint: ")?;
        size.strip_suffix(" records")
    });
    let size = size.with_context(|| format!("no checkpoint: {}", exported.stderr))?;
    Ok((file, size.to_owned()))
}

async fn export_of(installation: &Installation, size: &str) -> Result<Ran> {
    let out = installation.scratch().join(format!("log-{size}"));
    installation
        .assay(&["export", "--size", size, "--out", text(&out)?])
        .await
}

async fn verify(export: &Path, trust: &Path, journal: &Path) -> Result<Ran> {
    let (export, trust, journal) = (text(export)?, text(trust)?, text(journal)?);
    let pair = ["verify", export, "--trust", trust, "--journal", journal];
    auditor(&[&["--json"], &pair[..]].concat()).await
}

/// The checks that something is found under.
fn found(report: &Value, what: &str) -> Result<BTreeSet<String>> {
    let findings = report.get(what).and_then(Value::as_array);
    let findings = findings.context("no list of findings")?;
    let checks = findings
        .iter()
        .map(|finding| finding.get("check")?.as_str());
    let checks = checks.map(|check| check.map(str::to_owned));
    checks.collect::<Option<_>>().context("no check")
}

#[tokio::test]
async fn a_log_and_a_journal_that_are_exported_at_work_end_at_the_same_checkpoint() -> Result<()> {
    let installation = Installation::start().await?;
    let trust = installation.scratch().join("trust");
    installation.under_checkpoint().await?;
    let pin = ["audit", "trust", "--out", text(&trust)?];
    installation.assay(&pin).await?.succeeded()?;
    let devices = async {
        for number in 0_u64.. {
            enrol(&installation, &format!("device-{number}")).await?;
        }
        bail!("there is no end of devices")
    };
    tokio::select! {
        ended = audit(&installation, &trust) => ended,
        ended = devices => ended,
    }
}

async fn audit(installation: &Installation, trust: &Path) -> Result<()> {
    let lost = enrol(installation, "lost").await?;
    enrol(installation, "kept").await?;
    let revoke = ["cert", "revoke", &serial(&lost)?];
    installation.assay(&revoke).await?.succeeded()?;
    installation.under_checkpoint().await?;

    let (journal, size) = journal_of(installation, "journal").await?;
    // There is another checkpoint before the log is exported.
    enrol(installation, "between").await?;
    installation.under_checkpoint().await?;
    export_of(installation, &size).await?.succeeded()?;
    let export = installation.scratch().join(format!("log-{size}"));
    enrol(installation, "after").await?;
    installation.under_checkpoint().await?;
    let ran = verify(&export, trust, &journal).await?;
    let report = json(&ran)?;
    let records = report.pointer("/size").map(ToString::to_string);
    assert_eq!(records, Some(size.clone()));
    assert_eq!(found(&report, "bad")?, BTreeSet::new(), "{report}");
    let reconciled = report.pointer("/journal/covered");
    ensure!(reconciled.and_then(Value::as_u64) > Some(0), "{report}");
    // The demo has no user for each service where it is not root, which the verifier says.
    if have_own_users() {
        assert_eq!(ran.status.code(), Some(0), "{report}");
    } else {
        assert_eq!(found(&report, "open")?, BTreeSet::from(["VER-35".into()]));
    }

    // The log ends before the journal, or the journal before the log.
    let (later, later_size) = journal_of(installation, "later").await?;
    assert_ne!(later_size, size);
    export_of(installation, &later_size).await?.succeeded()?;
    let longer = installation.scratch().join(format!("log-{later_size}"));
    let other = Installation::start().await?;
    other.under_checkpoint().await?;
    let (others, _) = journal_of(&other, "others").await?;
    for (export, journal, check) in [
        (&export, &later, "VER-34"),
        (&longer, &journal, "VER-31"),
        (&export, &others, "VER-31"),
    ] {
        let ran = verify(export, trust, journal).await?;
        assert_eq!(ran.status.code(), Some(1), "{}", ran.stderr);
        let bad = found(&json(&ran)?, "bad")?;
        ensure!(bad.contains(check), "{check} is not among {bad:?}");
    }
    let ran = verify(&longer, trust, &later).await?;
    assert_eq!(found(&json(&ran)?, "bad")?, BTreeSet::new());

    // A size without a checkpoint is refused with the nearest ones.
    let refused = export_of(installation, "1000000000").await?.failed()?;
    let line = refused.stderr.lines().next().unwrap_or_default();
    ensure!(
        line.contains("no checkpoint of 1000000000 records is stored; the newest has "),
        "{}",
        refused.stderr
    );
    let out = installation.scratch().join("both");
    let both = [
        "export",
        "--size",
        &size,
        "--cosigned",
        "--out",
        text(&out)?,
    ];
    let refused = installation.assay(&both).await?.failed()?;
    assert_eq!(refused.status.code(), Some(2), "{}", refused.stderr);
    Ok(())
}
