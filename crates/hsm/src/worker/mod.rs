//! The worker process.

use std::process::ExitCode;

/// Argument that makes an executable a worker; it has no other.
pub(crate) const WORKER_ARGUMENT: &str = "hsm-worker";

/// Runs the worker if this process was started as one, and returns its exit code. Call it first
/// thing in `main` of every binary that starts workers.
pub fn run_worker_if_asked() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    (arguments.next()? == WORKER_ARGUMENT && arguments.next().is_none())
        .then_some(ExitCode::FAILURE)
}
