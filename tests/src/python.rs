//! The makers of messages in `tests/python`, which share no code with Assay.

use std::path::Path;

use anyhow::Result;
use serde::Serialize;
use tokio::process::Command;

use crate::tool::{self, Ran};

/// Debian's own interpreter: another one on the path does not see the packages that Debian brings.
const INTERPRETER: &str = "/usr/bin/python3";

/// Runs `python3 -m pki_message …` with `input` as JSON on its standard input.
///
/// # Errors
///
/// When it fails, with what it printed.
pub async fn pki_message(arguments: &[&str], input: &impl Serialize) -> Result<Ran> {
    let interpreter = tool::existing(Path::new(INTERPRETER), "python3-asn1crypto")?;
    let mut command = Command::new(interpreter);
    command
        .args(["-B", "-m", "pki_message"])
        .args(arguments)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("python"));
    let input = serde_json::to_vec(input)?;
    let ran = tool::run(&mut command, &input).await?;
    anyhow::ensure!(ran.status.success(), "{}", ran.stderr);
    Ok(ran)
}
