//! The HSM service of an installation whose demo is stopped, started again whenever it ends.

use std::fs::File;
use std::path::Path;
use std::process::Stdio;

use anyhow::Result;

use crate::installation;
use crate::restarted::Restarted;
use crate::tool::{self, Ran};

/// Starts it over an installation's directory; what it logs goes to a file in `scratch`.
///
/// # Errors
///
/// When it cannot be started.
pub fn start(dir: &Path, scratch: &Path) -> Result<Restarted> {
    let (program, first) = installation::service(dir, "hsm")?;
    let log = log(scratch)?;
    let command = move || {
        let mut command = program.command();
        command.args(first.get_args()).stdin(Stdio::null());
        if let (Ok(output), Ok(errors)) = (log.try_clone(), log.try_clone()) {
            command.stdout(output).stderr(errors);
        }
        command
    };
    Ok(Restarted::start(command)?)
}

/// A command of `assay-hsm` about the journal of an installation, as the user of the HSM service.
///
/// # Errors
///
/// When it cannot be run.
pub async fn journal(dir: &Path, arguments: &[&str]) -> Result<Ran> {
    let (program, first) = installation::service(dir, "hsm")?;
    let mut command = program.command();
    command.arg("journal").args(arguments);
    command.args(first.get_args());
    tool::run(&mut command.into(), &[]).await
}

/// All that it logged so far, over all its starts.
pub fn printed(scratch: &Path) -> String {
    std::fs::read_to_string(scratch.join(OUTPUT)).unwrap_or_default()
}

const OUTPUT: &str = "hsm.output";

fn log(scratch: &Path) -> Result<File> {
    let mut options = File::options();
    Ok(options
        .create(true)
        .append(true)
        .open(scratch.join(OUTPUT))?)
}
