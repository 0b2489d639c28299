//! How a command-line program starts and ends.

use std::process::ExitCode;

use crate::failure::{OrFail, Outcome};
use crate::output;

/// Runs a program's work on a runtime of its own, and ends as [`exit`] does. The process is hardened first, since its work
/// may hold keys.
pub fn run(name: &str, work: impl Future<Output = Outcome>) -> ExitCode {
    let runtime = harden().and_then(|()| {
        tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .or_fail("cannot start the runtime")
    });
    exit(name, runtime.and_then(|runtime| runtime.block_on(work)))
}

/// No core dumps, no access to memory by other processes, no new privileges.
///
/// # Errors
/// Where the kernel refuses.
pub fn harden() -> Outcome {
    assay_sandbox::harden().or_fail("cannot protect this process")
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
