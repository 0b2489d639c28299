//! Stopping a profile, and activating while requests run.

use anyhow::{Context, Result, ensure};
use assay_tests::installation::Installation;
use assay_tests::operator::Operator;
use assay_tests::tiers::Tiers;

use crate::scene::{approved, enrol, number, proposed};

#[tokio::test]
async fn a_stop_holds_at_once_and_over_a_restart_until_an_approved_version_resumes() -> Result<()> {
    let mut installation = Installation::start().await?;
    installation.stop().await?;
    let mut tiers = Tiers::start(&installation).await?;
    let challenge = installation.challenge("CN=stopped,O=Example", &[]).await?;
    let stop = ["policy", "stop", "devices", "--reason", "a stolen laptop"];
    let said = installation.assay(&stop).await?.succeeded()?.text();
    assert!(said.contains("devices is stopped"), "{said}");
    let said = installation.assay(&stop).await?.succeeded()?.text();
    assert!(said.contains("was stopped before"), "{said}");
    enrolment_refused(&installation, &tiers, &challenge).await?;
    tiers.kill_signer().await?;
    tiers.restart().await?;
    enrolment_refused(&installation, &tiers, &challenge).await?;

    installation
        .put_in_force(&installation.ready().policy_dir)
        .await?;
    enrolment_refused(&installation, &tiers, &challenge).await?;

    let unapproved = proposed(&installation, &["--resume", "devices"]).await?;
    installation.activate(&unapproved).await?.failed()?;
    enrolment_refused(&installation, &tiers, &challenge).await?;

    let resuming = approved(&installation, &["--resume", "devices"]).await?;
    installation.activate(&resuming).await?.succeeded()?;
    enrol(&installation, &tiers.url("devices"), "stopped", &challenge)
        .await?
        .succeeded()?;

    let records = Operator::connect(&installation.ready().dir)
        .await?
        .audit(0)
        .await?;
    let stopped: Vec<_> = records
        .iter()
        .filter(|record| record.kind() == "profile.stopped")
        .collect();
    assert_eq!(stopped.len(), 1);
    let resumed = records.iter().any(|record| {
        record.kind() == "policy.activated" && record.texts("resumed") == ["devices"]
    });
    assert!(resumed);
    Ok(())
}

/// Refused by POL-04 and without a use of the decryption key.
async fn enrolment_refused(
    installation: &Installation,
    tiers: &Tiers,
    challenge: &str,
) -> Result<()> {
    let mut operator = Operator::connect(&installation.ready().dir).await?;
    let before = operator.audit(0).await?.len();
    let decrypted = decryptions(&mut operator).await?;
    enrol(installation, &tiers.url("devices"), "stopped", challenge)
        .await?
        .failed()?;
    ensure!(
        decryptions(&mut operator).await? == decrypted,
        "the token decrypted"
    );
    let records = operator.audit(before as u64).await?;
    let refusal = records
        .iter()
        .find(|record| record.kind() == "request.refused")
        .context("no refusal")?;
    ensure!(refusal.text("rule") == "POL-04", "{refusal:?}");
    Ok(())
}

async fn decryptions(operator: &mut Operator) -> Result<u64> {
    let workers = operator.status().await?.workers;
    Ok(workers
        .iter()
        .filter_map(|worker| worker.operations.get("ra-decrypt"))
        .sum())
}

#[tokio::test]
async fn activation_while_requests_run_loses_none_of_them() -> Result<()> {
    const DEVICES: usize = 12;
    let installation = Installation::start().await?;
    let url = installation.url("devices")?.to_owned();
    let mut challenges = Vec::new();
    for index in 0..DEVICES {
        let subject = format!("CN=running-{index},O=Example");
        challenges.push(installation.challenge(&subject, &[]).await?);
    }
    let devices = async {
        for (index, challenge) in challenges.iter().enumerate() {
            enrol(&installation, &url, &format!("running-{index}"), challenge)
                .await?
                .succeeded()?;
        }
        anyhow::Ok(())
    };
    let activations = async {
        for _ in 0..3 {
            installation
                .put_in_force(&installation.ready().policy_dir)
                .await?;
        }
        anyhow::Ok(())
    };
    let (enrolled, activated) = tokio::join!(devices, activations);
    enrolled?;
    activated?;
    assert_eq!(number(&installation).await?, 4);
    Ok(())
}
