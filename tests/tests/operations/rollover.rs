//! What a finished rollover leaves in signer.toml: a signer starts on it, under the next CA alone, and continues with its log.

use anyhow::{Context, Result};
use assay_runtime::ready::Ready;
use assay_tests::hsm;
use assay_tests::installation::{Installation, service, set};
use assay_tests::process::Service;
use serde_json::Value;

/// The name of the log, as its latest checkpoint has it.
async fn origin(installation: &Installation) -> Result<String> {
    let note = installation.assay(&["audit", "checkpoint"]).await?;
    let note = note.succeeded()?.text();
    let origin = note.lines().next().context("no checkpoint")?;
    Ok(origin.to_owned())
}

#[tokio::test]
async fn the_next_ca_goes_on_alone_with_the_log_of_the_one_before() -> Result<()> {
    let mut installation = Installation::start_with(&["--ocsp", "--single-ra"]).await?;
    let before = origin(&installation).await?;
    installation.stop().await?;
    let made = installation.ceremony(&["next", "--json"]).await?;
    let made: Value = serde_json::from_slice(&made.succeeded()?.stdout)?;
    let lines = made["lines"].as_str().context("no lines")?;
    let config = installation.path("signer.toml");
    std::fs::write(&config, std::fs::read_to_string(&config)? + lines)?;
    let past = "2026-01-01T00:00:00Z";
    set(&config, &["rollover", "switch_at"], past)?;
    let finish = ["next", "finish", "--early", "--write"];
    installation.ceremony(&finish).await?.succeeded()?;

    for listener in ["enrolment", "administration", "ops"] {
        set(&config, &[listener, "listen"], "127.0.0.1:0")?;
    }
    let hsm = hsm::start(&installation.ready().dir, installation.scratch())?;
    let (_program, mut command) = service(&installation.ready().dir, "signer")?;
    command.arg("--without-policy");
    let scratch = installation.scratch();
    let (signer, bound): (_, Ready) =
        Service::start(&mut command.into(), "signer-of-the-next-ca", scratch).await?;
    let administration = bound.administration.context("no address")?.to_string();
    set(
        &installation.path("assay.toml"),
        &["administration", "address"],
        administration.as_str(),
    )?;
    assert_eq!(origin(&installation).await?, before);
    signer.stop().await?;
    hsm.stop();
    Ok(())
}
