//! The process of the signer: arguments, logging, exit codes.

use std::path::PathBuf;
use std::process::ExitCode;

use assay_issuance::{StartFailure, SystemClock};
use assay_runtime::telemetry;
use assay_signer::{Listeners, RunError, Settings, create_state, run};
use clap::Parser;

/// Exit code for a configuration that cannot be used, or a start that was refused.
const REFUSED: u8 = 2;

/// The isolated signer: policy, state and audit log.
///
/// It listens for frontends (Enrolment) and for operators (Administration), both over mutual TLS, and reaches its
/// keys through the HSM service (assay-hsm), which alone loads the PKCS#11 library. It refuses to start on anything unsafe, in one line that says how to
/// fix it. SIGTERM or SIGINT drains and stops it.
#[derive(Parser)]
#[command(
    version,
    after_help = "Exit codes: 0 stopped as asked, 1 failed while running, 2 refused to start.\n\
    A commented configuration stands in services/signer/signer.toml.example; `assay-ceremony` writes one."
)]
struct Arguments {
    /// The configuration file; paths in it are relative to it.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Read and validate the configuration, say so, and start nothing.
    #[arg(long)]
    check: bool,
    /// Make the state file and end. Needed once, for a CA that has signed nothing yet, while the HSM service runs.
    #[arg(long, conflicts_with_all = ["check", "without_policy", "ready_file"])]
    create_state: bool,
    /// Start with no policy in force and issue nothing, so that a version which approves changed settings or approvers
    /// can be activated.
    #[arg(long)]
    without_policy: bool,
    /// Write the process id and the addresses that were bound here, as JSON, once all listen.
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
}

fn main() -> ExitCode {
    if let Err(error) = assay_sandbox::harden() {
        return refuse(&error);
    }
    let arguments = Arguments::parse();
    let settings = match Settings::load(&arguments.config) {
        Ok(settings) => settings,
        Err(error) => return refuse(&error),
    };
    if arguments.check {
        say(&format!("{}: ok", arguments.config.display()));
        return ExitCode::SUCCESS;
    }
    if arguments.create_state {
        return create(settings);
    }
    if let Err(error) = telemetry::init("assay-signer", settings.log()) {
        return refuse(&error);
    }
    let listeners = match Listeners::bind(&settings) {
        Ok(listeners) => listeners,
        Err(error) => return refuse(&*error),
    };
    let clock = match SystemClock::new() {
        Ok(clock) => clock,
        Err(error) => return refuse(&error),
    };
    // Between the listeners, which are the last Internet sockets that it opens, and the threads of the runtime, which inherit it.
    let confinement = settings.confinement(arguments.ready_file.as_deref());
    match confinement.apply() {
        Ok(report) => tracing::info!(sandbox = %report, "confined"),
        Err(error) => return refuse(&error),
    }
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return refuse(&error),
    };
    match runtime.block_on(run(
        settings,
        listeners,
        clock,
        arguments.without_policy,
        arguments.ready_file.as_deref(),
    )) {
        Ok(()) => ExitCode::SUCCESS,
        Err(RunError::Start(error)) => refuse(&*error),
        Err(RunError::Serve(error)) => {
            tracing::error!(error = telemetry::chain(&*error), "stopped by a fault");
            ExitCode::FAILURE
        }
    }
}

fn create(settings: Settings) -> ExitCode {
    let created = settings
        .confinement(None)
        .apply()
        .map_err(StartFailure::from)
        .and_then(|_| Ok(tokio::runtime::Runtime::new()?))
        .and_then(|runtime| runtime.block_on(create_state(settings)));
    match created {
        Ok(path) => {
            say(&format!("created {}", path.display()));
            ExitCode::SUCCESS
        }
        Err(error) => refuse(&*error),
    }
}

#[allow(
    clippy::print_stderr,
    reason = "the one line for whoever started the process"
)]
fn refuse(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("assay-signer: {}", telemetry::chain(error));
    ExitCode::from(REFUSED)
}

#[allow(clippy::print_stdout, reason = "the answer to --check")]
fn say(line: &str) {
    println!("{line}");
}
