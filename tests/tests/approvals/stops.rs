//! The commands that stop and resume a profile, and activation while requests run.

use anyhow::Result;
use assay_tests::installation::Installation;

use crate::scene::{approved, enrol, number};

#[tokio::test]
async fn the_commands_stop_a_profile_once_and_an_approved_proposal_resumes_it() -> Result<()> {
    let installation = Installation::start().await?;
    let url = installation.url("devices")?;
    let challenge = installation.challenge("CN=stopped,O=Example", &[]).await?;
    let stop = ["policy", "stop", "devices", "--reason", "a stolen laptop"];
    let said = installation.assay(&stop).await?.succeeded()?.text();
    assert!(said.contains("devices is stopped"), "{said}");
    let said = installation.assay(&stop).await?.succeeded()?.text();
    assert!(said.contains("was stopped before"), "{said}");
    enrol(&installation, url, "stopped", &challenge)
        .await?
        .failed()?;

    let resuming = approved(&installation, &["--resume", "devices"]).await?;
    installation.activate(&resuming).await?.succeeded()?;
    enrol(&installation, url, "stopped", &challenge)
        .await?
        .succeeded()?;
    Ok(())
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
