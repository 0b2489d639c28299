//! The running services have given up their rights, as the kernel shows. The tests of `crates/sandbox` try to use them.

use std::fs;
use std::os::unix::process::ExitStatusExt;

use anyhow::{Context, Result, ensure};
use assay_tests::installation::Installation;
use assay_tests::tiers::Tiers;
use rustix::process::{Pid, Resource, Signal, getrlimit, setrlimit};

#[tokio::test]
async fn running_services_are_hardened_and_confined() -> Result<()> {
    // As an operator would who collects core dumps.
    let mut cores = getrlimit(Resource::Core);
    cores.current = cores.maximum;
    setrlimit(Resource::Core, cores)?;
    let mut installation = Installation::start().await?;
    installation.stop().await?;
    let mut tiers = Tiers::start(&installation).await?;

    let (frontend, signer) = (tiers.frontend()?, tiers.signer()?);
    for process in [frontend, signer] {
        let limits = fs::read_to_string(format!("/proc/{}/limits", process.as_raw_nonzero()))?;
        let cores = limits
            .lines()
            .find(|line| line.starts_with("Max core file size"));
        let words: Vec<&str> = cores.context("no limit")?.split_whitespace().collect();
        ensure!(words.ends_with(&["0", "0", "bytes"]), "{words:?}");
    }
    for process in [frontend, signer, tiers.hsm().await?] {
        // No thread was there before the filter.
        let confined = threads(process)?;
        ensure!(confined.len() > 1);
        for thread in confined {
            ensure!(field(&thread, "NoNewPrivs") == Some("1"), "{thread}");
            ensure!(field(&thread, "Seccomp") == Some("2"), "{thread}");
        }
    }
    let ready: serde_json::Value = serde_json::from_str(&tiers.frontend_readiness().await?.text())?;
    let sandbox = ready
        .pointer("/details/sandbox")
        .and_then(|text| text.as_str());
    ensure!(
        sandbox.is_some_and(|text| text.starts_with("seccomp, ")),
        "{ready}"
    );

    for status in tiers.abort().await? {
        ensure!(status.signal() == Some(Signal::ABORT.as_raw()), "{status}");
        ensure!(!status.core_dumped(), "{status}");
    }
    Ok(())
}

/// The kernel's status of each thread.
fn threads(process: Pid) -> Result<Vec<String>> {
    let tasks = fs::read_dir(format!("/proc/{}/task", process.as_raw_nonzero()))?;
    let statuses = tasks.map(|task| Ok(fs::read_to_string(task?.path().join("status"))?));
    statuses.collect()
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    let values = status.lines().find_map(|line| line.strip_prefix(name));
    values?.strip_prefix(':').map(str::trim)
}
