//! What the tests share: proposals, approvals, and what the signer says of them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use assay_tests::installation::{Installation, binary};
use assay_tests::tool;
use serde_json::Value;
use tokio::process::Command;

/// What the signer says of its policy.
pub(crate) async fn status(installation: &Installation) -> Result<Value> {
    let printed = installation
        .assay(&["--json", "policy", "status"])
        .await?
        .succeeded()?;
    Ok(serde_json::from_slice(&printed.stdout)?)
}

pub(crate) async fn number(installation: &Installation) -> Result<u64> {
    status(installation)
        .await?
        .pointer("/in_force/number")
        .and_then(Value::as_u64)
        .context("no version is in force")
}

/// Proposes the installation's files once more; nobody approved them yet.
pub(crate) async fn proposed(installation: &Installation, further: &[&str]) -> Result<PathBuf> {
    let proposal = installation.new_proposal();
    installation
        .propose(&installation.ready().policy_dir, &proposal, further)
        .await?
        .succeeded()?;
    Ok(proposal)
}

pub(crate) async fn approved(installation: &Installation, further: &[&str]) -> Result<PathBuf> {
    let proposal = proposed(installation, further).await?;
    installation
        .approve(&proposal, "approver-1")
        .await?
        .succeeded()?;
    Ok(proposal)
}

/// Activation is refused with this text, the version in force stays, and the signer's log tells.
pub(crate) async fn refused(
    installation: &Installation,
    proposal: &Path,
    wanted: &str,
) -> Result<()> {
    let before = number(installation).await?;
    let said = installation.activate(proposal).await?.failed()?.all();
    ensure!(said.contains(wanted), "wanted {wanted:?}, got: {said}");
    ensure!(number(installation).await? == before, "{said}");
    let logs = installation.logs()?;
    ensure!(logs.contains("activation refused"), "{logs}");
    Ok(())
}

pub(crate) fn add_approval(proposal: &Path, name: &str, signature: &[u8]) -> Result<()> {
    std::fs::write(proposal.join("approvals").join(name), signature)?;
    Ok(())
}

pub(crate) fn openssl_cms(
    installation: &Installation,
    person: &str,
    content: &Path,
    to: &Path,
) -> Command {
    let (certificate, key) = installation.credential(person);
    let mut command = Command::new("openssl");
    command
        .args(["cms", "-sign", "-binary", "-outform", "DER", "-in"])
        .arg(content)
        .args(["-signer", &certificate, "-inkey", &key, "-out"])
        .arg(to);
    command
}

pub(crate) async fn enrol(
    installation: &Installation,
    url: &str,
    name: &str,
    challenge: &str,
) -> Result<tool::Ran> {
    let folder = installation.scratch().join(format!("device-{name}"));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir(&folder)?;
    let subject = format!("CN={name},O=Example");
    let output = folder.join("device.pem");
    let mut command = Command::new(binary("assay")?);
    command
        .arg("--dir")
        .arg(&installation.ready().dir)
        .args([
            "enrol",
            "--url",
            url,
            "--subject",
            &subject,
            "--challenge",
            challenge,
            "--cert",
        ])
        .arg(&output)
        .arg("--key")
        .arg(folder.join("device.key"));
    tool::run(&mut command, &[]).await
}
