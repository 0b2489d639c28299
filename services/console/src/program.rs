//! How a command-line program starts and ends.

use std::process::ExitCode;

use crate::failure::{OrFail, Outcome};
use crate::output;

/// Runs a program's work on a runtime of its own, and ends as [`exit`] does.
pub fn run(name: &str, work: impl Future<Output = Outcome>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .or_fail("cannot start the runtime");
    exit(name, runtime.and_then(|runtime| runtime.block_on(work)))
}

/// The exit code of a process whose work came to this; a failure is first printed on standard error, after `name`.
pub fn exit(name: &str, outcome: Outcome) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.is_reported() {
                output::note(&format!("{name}: {failure}"));
            }
            failure.exit().into()
        }
    }
}
