//! Processes that are started twice, stopped, or left by a demo that was killed.

use anyhow::Result;
use assay_tests::device::{Anchors, Device};
use assay_tests::http;
use assay_tests::installation::{Installation, set};
use assay_tests::process::{self, pid_of};
use assay_tests::tiers::Tiers;
use assay_tests::wait;

use crate::refuses_to_start;

#[tokio::test]
async fn a_second_signer_on_the_same_store_refuses_to_start() -> Result<()> {
    let mut installation = Installation::start().await?;
    installation.stop().await?;
    let tiers = Tiers::start(&installation).await?;
    for listener in ["enrolment", "administration", "ops"] {
        set(
            &installation.path("signer.toml"),
            &[listener, "listen"],
            "127.0.0.1:0",
        )?;
    }
    let printed = refuses_to_start(&installation, "signer").await?;
    assert!(
        printed.contains("signer.db"),
        "it names the store: {printed}"
    );
    tiers.until_ready().await
}

#[tokio::test]
async fn a_stopped_demo_leaves_no_process_and_keeps_its_directory() -> Result<()> {
    let mut installation = Installation::start().await?;
    let pids = installation.ready().pids.clone();
    installation.stop().await?;
    for pid in [pids.hsm, pids.frontend, pids.signer] {
        let pid = pid_of(pid)?;
        wait::until(
            "every process of the demo ends",
            wait::REACTION,
            async || Ok((!process::is_running(pid)).then_some(())),
        )
        .await?;
    }
    assert!(installation.path("signer.toml").is_file());
    installation.serve().await?;
    let caps = http::get(&format!(
        "{}?operation=GetCACaps",
        installation.url("devices")?
    ))
    .await?;
    assert_eq!(caps.status, 200);
    Ok(())
}

#[tokio::test]
async fn a_killed_demo_is_taken_over_by_the_next_with_all_its_state() -> Result<()> {
    let mut installation = Installation::start().await?;
    let orphan = pid_of(installation.ready().pids.signer)?;
    let challenge = installation.challenge("CN=sensor-1,O=Example", &[]).await?;
    installation.kill_demo().await?;
    assert!(process::is_running(orphan));

    installation.serve().await?;

    assert!(!process::is_running(orphan));
    let (device, anchors) = (Device::new()?, Anchors::of(&installation)?);
    let answer = device
        .enrol(
            installation.url("devices")?,
            &anchors,
            "CN=sensor-1,O=Example",
            &challenge,
        )
        .await?;
    answer.certificate()?;
    Ok(())
}
