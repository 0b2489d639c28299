//! `assay-hsm`: owns a PKCS#11 library, its PIN and the keys of one CA or several, and serves a Unix socket.
//!
//! Plain threads and blocking reads: nothing here may wait on an async runtime, and the process never forks, since a
//! child would keep the login. It makes no keys and no certificates; ceremonies do, in another program.

mod client;
mod config;
mod crl_stream;
mod error;
mod floors;
mod journal;
mod lines;
mod metrics;
mod orders;
mod pin;
mod preflight;
mod queue;
mod rules;
mod secret;
mod serve;
mod service;
mod settings;
mod socket;
mod substitute;
mod transport;
mod watchdog;

use std::io::{self, IsTerminal, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, SystemTime};

use assay_journal::Limit;
use clap::{Args, Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use orders::Order;
use pin::Marker;
use settings::Settings;

/// Exit code for a configuration that cannot be used, or a start that was refused.
const REFUSED: u8 = 2;
/// Exit codes of a service that was stopped as asked, and of one whose token cannot be used or was lost.
const STOPPED: i32 = 0;
const LOST: i32 = 1;

/// This executable, also after an upgrade has replaced its file.
const THIS_PROGRAM: &str = "/proc/self/exe";

/// The HSM service: the PKCS#11 library, the PIN and the keys, for the one user that the configuration names.
///
/// It serves a Unix socket, checks who connects and what is to be signed, and signs nothing else. An operation that hangs
/// in the library ends the whole process, so run it under a service manager that starts it again. It makes no keys:
/// `assay-ceremony` does, and writes a configuration for this service.
#[derive(Parser)]
#[command(
    version,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Example: assay-hsm --config /etc/assay/hsm.toml\n\
    Exit codes: 0 stopped as asked, 1 the token cannot be used or was lost, 2 refused to start.\n\
    RUST_LOG sets which log lines are written."
)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Task>,

    /// The configuration file; paths in it are relative to it
    #[arg(long, value_name = "FILE", required = true)]
    config: Option<PathBuf>,

    /// Read and validate the configuration, say so, and start nothing
    #[arg(long)]
    check: bool,

    /// Write the process id here, as JSON, once clients are served
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Task {
    /// Let the service try a PIN again that the token has refused
    ///
    /// After a refusal the service leaves a marker and does not log in with the same PIN again, because a token locks
    /// itself after a few. Use this once the token itself was corrected. Example: assay-hsm clear-pin-marker --config
    /// /etc/assay/hsm.toml
    ClearPinMarker(Installed),
    /// Create, verify, export or prune the journal of everything that the service signs
    #[command(subcommand)]
    Journal(journal::Task),
    /// Show the journal's head, and how much of each ceiling is used
    Status(Installed),
    /// Refuse certificates until `resume`; CRLs, OCSP responses and checkpoints continue
    Suspend(Installed),
    /// End `suspend`
    Resume(Installed),
    /// Raise a ceiling for a time, without a restart, or end that
    ///
    /// Example: assay-hsm lift certificates_per_hour 10000 --for 4h --config /etc/assay/hsm.toml. To end it before its time:
    /// assay-hsm lift certificates_per_hour --end --config /etc/assay/hsm.toml
    Lift {
        #[command(flatten)]
        installed: Installed,
        /// Its name in [limits] of hsm.toml
        limit: Limit,
        /// The number that holds meanwhile, above the configured one
        #[arg(required_unless_present = "end")]
        to: Option<u64>,
        /// How long
        #[arg(long, value_name = "DURATION", value_parser = assay_types::duration::parse, required_unless_present = "end")]
        r#for: Option<Duration>,
        /// The configured number holds again
        #[arg(long, conflicts_with_all = ["to", "for"])]
        end: bool,
    },
    /// Accept a jump of the clock, so that the service signs again
    ///
    /// Name the jump exactly as the refusal shows it. Example: assay-hsm accept-clock --from 2026-03-01T08:00:00Z --to
    /// 2026-04-01T08:00:00Z --config /etc/assay/hsm.toml
    AcceptClock {
        #[command(flatten)]
        installed: Installed,
        /// The latest time in the journal
        #[arg(long, value_name = "TIME", value_parser = humantime::parse_rfc3339)]
        from: SystemTime,
        /// The time of the clock, within five minutes
        #[arg(long, value_name = "TIME", value_parser = humantime::parse_rfc3339)]
        to: SystemTime,
    },
}

/// The installation that a command is about.
#[derive(Args)]
pub(crate) struct Installed {
    /// The configuration file of the service
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

impl Installed {
    pub(crate) fn settings(&self) -> Result<Settings, String> {
        Settings::load(&self.config).map_err(|error| error.to_string())
    }
}

impl Task {
    /// Lines for the person who asked.
    fn run(self) -> Result<String, String> {
        let (installed, order) = match self {
            Self::ClearPinMarker(installed) => return clear_pin_marker(&installed.settings()?),
            Self::Journal(task) => return task.run(),
            Self::Status(installed) => (installed, Order::Status),
            Self::Suspend(installed) => (installed, Order::Suspend),
            Self::Resume(installed) => (installed, Order::Resume),
            Self::Lift {
                installed,
                limit,
                to,
                r#for,
                end: _,
            } => {
                let limit = limit.to_string();
                let order = match to.zip(r#for) {
                    Some((to, duration)) => Order::Lift {
                        limit,
                        to,
                        seconds: duration.as_secs(),
                    },
                    None => Order::EndLift { limit },
                };
                (installed, order)
            }
            Self::AcceptClock {
                installed,
                from,
                to,
            } => {
                let (from, to) = (from.into(), to.into());
                (installed, Order::AcceptClock { from, to })
            }
        };
        orders::give(&installed.settings()?, &order)
    }
}

fn main() -> ExitCode {
    // Before anything secret is read: a core dump would hold the PIN.
    if let Err(error) = assay_sandbox::harden() {
        return refuse(&error.to_string());
    }
    let arguments = Arguments::parse();
    match (arguments.command, arguments.config) {
        (Some(task), _) => match task.run() {
            // An export to standard output is all that is printed.
            Ok(text) if text.is_empty() => ExitCode::SUCCESS,
            Ok(text) => say(&text),
            Err(reason) => refuse(&reason),
        },
        (None, Some(config)) => run(&config, arguments.check, arguments.ready_file.as_deref()),
        (None, None) => refuse("name a configuration with --config"),
    }
}

fn run(config: &Path, check: bool, ready_file: Option<&Path>) -> ExitCode {
    let settings = match Settings::load(config) {
        Ok(settings) => settings,
        Err(error) => return refuse(&error.to_string()),
    };
    if check {
        return say(&format!(
            "{}: ok, configuration {}",
            config.display(),
            settings.digest
        ));
    }
    if let Err(error) = with_environment(&settings.environment) {
        return refuse(&format!("cannot set the library's environment: {error}"));
    }
    log_to_stderr(&settings.log_filter);
    match serve::serve(&settings, ready_file) {
        Ok(()) => end(STOPPED),
        Err(serve::Failure::Refused(reason)) => refuse(&reason),
        Err(serve::Failure::Ended) => end(LOST),
    }
}

/// Ends the process without its exit handlers: those of the library and of OpenSSL would run beside the threads of clients,
/// which end by themselves, and the last of which closes the library.
fn end(status: i32) -> ! {
    signal_hook::low_level::exit(status)
}

fn clear_pin_marker(settings: &Settings) -> Result<String, String> {
    let cleared = Marker::in_directory(&settings.state).clear();
    match cleared.map_err(|error| format!("the marker cannot be cleared: {error}"))? {
        true => {
            Ok("the marker is cleared: the service tries the PIN again at its next start".into())
        }
        false => Ok("there is no marker".into()),
    }
}

/// A library reads its variables from the environment, which a process cannot safely change for itself: where one is not
/// as it has to be, this program starts over with it.
fn with_environment(environment: &[(String, String)]) -> io::Result<()> {
    let set = |(name, value): &(String, String)| {
        std::env::var_os(name).is_some_and(|present| present == value.as_str())
    };
    if environment.iter().all(set) {
        return Ok(());
    }
    let variables = environment.iter().map(|(name, value)| (name, value));
    Err(Command::new(THIS_PROGRAM)
        .arg0(std::env::args_os().next().unwrap_or_default())
        .args(std::env::args_os().skip(1))
        .envs(variables)
        .exec())
}

fn log_to_stderr(filter: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(filter));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    // The subscriber is the first of this process, so setting it cannot fail.
    let _ = if io::stderr().is_terminal() {
        log.try_init()
    } else {
        log.json().try_init()
    };
}

#[allow(
    clippy::print_stderr,
    reason = "the one line for the person who started the process"
)]
fn refuse(reason: &str) -> ExitCode {
    eprintln!("assay-hsm: {reason}");
    ExitCode::from(REFUSED)
}

/// Prints the answer of a command. A reader that has enough, such as `head`, may close its end.
fn say(text: &str) -> ExitCode {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            refuse(&format!("the answer cannot be printed: {error}"))
        }
        Ok(()) | Err(_) => ExitCode::SUCCESS,
    }
}
