//! An executable that is nothing but a worker.

use std::process::ExitCode;

fn main() -> ExitCode {
    assay_hsm::run_worker_if_asked().unwrap_or(ExitCode::FAILURE)
}
