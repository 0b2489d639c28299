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
use assay_tests::installation::{Installation, binary};
use assay_tests::process::Service;
use tokio::process::Command;

/// Starts a service that must not start, and returns what it says.
async fn refuses_to_start(installation: &Installation, service: &str) -> Result<String> {
    let config = installation.path(format!("{service}.toml"));
    let mut command = Command::new(binary(&format!("assay-{service}"))?);
    command.arg("--config").arg(&config);
    let name = format!("{service}-that-refuses");
    let (status, printed) = Service::spawn(&mut command, &name, installation.scratch())?
        .ended()
        .await?;
    assert!(
        !status.success(),
        "{} was taken: {printed}",
        config.display()
    );
    assert!(!printed.contains("panicked"), "{printed}");
    Ok(printed)
}
