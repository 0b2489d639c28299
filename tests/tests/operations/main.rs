//! Bad input from devices and operators, and what keeps working while a part is away.

mod certificates;
mod configuration;
mod expiring;
mod lists;
mod processes;
mod requests;
mod rollover;
mod single_ra;

use anyhow::Result;
use assay_tests::installation::Installation;
use assay_tests::process::Service;

/// Starts a service that must not start, and returns what it says.
async fn refuses_to_start(installation: &Installation, service: &str) -> Result<String> {
    let (_program, command) =
        assay_tests::installation::service(&installation.ready().dir, service)?;
    let name = format!("{service}-that-refuses");
    let (status, printed) = Service::spawn(&mut command.into(), &name, installation.scratch())?
        .ended()
        .await?;
    assert!(!status.success(), "{service}.toml was taken: {printed}");
    assert!(!printed.contains("panicked"), "{printed}");
    Ok(printed)
}
