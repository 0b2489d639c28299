//! How a command-line program starts and ends.

use std::process::ExitCode;

use crate::failure::{OrFail, Outcome};
use crate::output;

/// Runs a program's work on a runtime of its own, and says on standard error why it failed.
///
/// `name` stands in front of the message. The result is the exit code of the process.
pub fn run(name: &str, work: impl Future<Output = Outcome>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .or_fail("cannot start the runtime");
    match runtime.and_then(|runtime| runtime.block_on(work)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.is_reported() {
                output::note(&format!("{name}: {failure}"));
            }
            failure.exit().into()
        }
    }
}
