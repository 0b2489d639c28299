//! The process of the signer: arguments, logging, exit codes.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::PathBuf;
use std::process::ExitCode;

use assay_issuance::{StartFailure, SystemClock};
use assay_runtime::telemetry;
use assay_sandbox::Confinement;
use assay_signer::{Listeners, RunError, Settings, create_state, propose_recovery, recover, run};
use clap::{Args, Parser};

/// Exit code for a configuration that cannot be used, or a start that was refused.
const REFUSED: u8 = 2;

/// Bytes of a statement or a signature that are read: more than either may have.
const MAX_INPUT: u64 = 64 * 1024;

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
    #[command(flatten)]
    recovery: RecoveryArguments,
    /// Start with no policy in force and issue nothing, so that a version which approves changed settings or approvers
    /// can be activated.
    #[arg(long)]
    without_policy: bool,
    /// Write the process id and the addresses that were bound here, as JSON, once all listen.
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
}

/// The steps after a state was restored from a backup; docs/recovery.md has all steps.
#[derive(Args)]
struct RecoveryArguments {
    /// Print the statement that approvers sign before the state is recovered from a backup, and end.
    #[arg(long, group = "recovery_step", requires_all = ["journal", "policy_floor", "reason"], conflicts_with_all = ["check", "create_state", "without_policy", "ready_file", "recover"])]
    propose_recovery: bool,
    /// Recover the state as this statement says, which approvers have signed, and end.
    #[arg(long, group = "recovery_step", value_name = "FILE", requires_all = ["journal", "approval"], conflicts_with_all = ["check", "create_state", "without_policy", "ready_file"])]
    recover: Option<PathBuf>,
    /// The export of the journal of the HSM service, from `assay-hsm journal export`.
    #[arg(long, value_name = "FILE", requires = "recovery_step")]
    journal: Option<PathBuf>,
    /// The highest version number of the policy that was ever approved.
    #[arg(long, value_name = "NUMBER", requires = "propose_recovery")]
    policy_floor: Option<u64>,
    /// Why the state is recovered, a line.
    #[arg(long, value_name = "TEXT", requires = "propose_recovery")]
    reason: Option<String>,
    /// A signature over the statement, from `assay recover approve`; once for each.
    #[arg(long, value_name = "FILE", requires = "recover")]
    approval: Vec<PathBuf>,
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
        say(&format!("{}: ok\n", arguments.config.display()));
        return ExitCode::SUCCESS;
    }
    if arguments.create_state {
        return once(&settings.confinement(None), async || {
            let path = create_state(settings).await?;
            Ok(format!("created {}\n", path.display()))
        });
    }
    let clock = match SystemClock::new() {
        Ok(clock) => clock,
        Err(error) => return refuse(&error),
    };
    match arguments.recovery.read() {
        Ok(None) => {}
        Ok(Some(Step::Propose {
            journal,
            policy_floor,
            reason,
        })) => {
            return once(&settings.confinement(None), async || {
                let statement =
                    propose_recovery(settings, clock, journal, policy_floor, reason).await?;
                Ok(String::from_utf8(statement)?)
            });
        }
        Ok(Some(Step::Recover {
            journal,
            statement,
            approvals,
        })) => {
            return once(&settings.confinement(None), async || {
                let done = recover(settings, clock, journal, statement, approvals).await?;
                Ok(done + "\n")
            });
        }
        Err(error) => return refuse(&error),
    }
    if let Err(error) = telemetry::init("assay-signer", settings.log()) {
        return refuse(&error);
    }
    let listeners = match Listeners::bind(&settings) {
        Ok(listeners) => listeners,
        Err(error) => return refuse(&*error),
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

/// A step of a recovery, with the files that it needs.
enum Step {
    Propose {
        journal: File,
        policy_floor: u64,
        reason: String,
    },
    Recover {
        journal: File,
        statement: Vec<u8>,
        approvals: Vec<Vec<u8>>,
    },
}

/// A file of a recovery that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{path}: the file cannot be read")]
struct Unreadable {
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl RecoveryArguments {
    /// The step that is asked for. Its files are read before the process is confined to those of its configuration.
    fn read(self) -> Result<Option<Step>, Unreadable> {
        let Self {
            propose_recovery,
            recover,
            journal,
            policy_floor,
            reason,
            approval,
        } = self;
        let Some(path) = journal else {
            return Ok(None);
        };
        let journal = File::open(&path).map_err(|source| Unreadable { path, source })?;
        let read = |path: PathBuf| {
            let content = File::open(&path).and_then(|file| {
                let mut content = Vec::new();
                file.take(MAX_INPUT).read_to_end(&mut content)?;
                Ok(content)
            });
            content.map_err(|source| Unreadable { path, source })
        };
        match (recover, policy_floor, reason) {
            (Some(statement), ..) => Ok(Some(Step::Recover {
                journal,
                statement: read(statement)?,
                approvals: approval.into_iter().map(read).collect::<Result<_, _>>()?,
            })),
            (None, Some(policy_floor), Some(reason)) if propose_recovery => {
                Ok(Some(Step::Propose {
                    journal,
                    policy_floor,
                    reason,
                }))
            }
            (None, ..) => Ok(None),
        }
    }
}

/// Does one thing and ends, with what it comes to on standard output.
fn once(
    confinement: &Confinement,
    work: impl AsyncFnOnce() -> Result<String, StartFailure>,
) -> ExitCode {
    let done = confinement
        .apply()
        .map_err(StartFailure::from)
        .and_then(|_| Ok(tokio::runtime::Runtime::new()?))
        .and_then(|runtime| runtime.block_on(work()));
    match done {
        Ok(text) => {
            say(&text);
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

#[allow(clippy::print_stdout, reason = "the answer of a process that ends")]
fn say(text: &str) {
    print!("{text}");
}
