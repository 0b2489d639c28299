//! The demo's ceremony: done by `assay-ceremony`, as people would do it.

use std::process::Stdio;

use assay_console::failure::{Failure, OrFail, Outcome};
use tokio::process::Command;

use super::home::Home;
use crate::commands::config::service_binary;

const PROGRAM: &str = "assay-ceremony";

/// Runs a command of `assay-ceremony` in the demo's directory, and returns what it prints.
pub(super) async fn run(home: &Home, arguments: &[&str]) -> Outcome<Vec<u8>> {
    let done = Command::new(service_binary(PROGRAM)?)
        .arg("--dir")
        .arg(home.installation.root())
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .or_fail(format!("cannot run {PROGRAM}"))?;
    if done.status.success() {
        return Ok(done.stdout);
    }
    let said = String::from_utf8_lossy(&done.stderr);
    Err(Failure::failed("the demo's ceremony failed").because(said.trim()))
}
