//! The journal of this service: its start, and the commands about it.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use assay_journal::{Journal, Options, Start, State};
use assay_types::Timestamp;
use clap::Subcommand;

use crate::Installed;
use crate::floors::Used;
use crate::orders::{self, Order, said};
use crate::settings::Settings;
use crate::socket;

/// Commands about the journal.
#[derive(Subcommand)]
pub(crate) enum Task {
    /// Create the journal, without which nothing is signed
    ///
    /// For CAs that have signed nothing yet, say --unused. For CAs that were used, the last CRL of each and the cosigned tree of
    /// the log are where the journal begins: the service never signs a CRL or a checkpoint that falls behind them. The
    /// checkpoint of the tree must be signed by the log key of the token.
    ///
    /// Example: assay-hsm journal create --last-crl last.crl --log tree.json --witness witnesses.vkeys --config
    /// /etc/assay/hsm.toml
    Create {
        #[command(flatten)]
        installed: Installed,
        /// The CAs have signed no certificate of a device and no CRL, and the log is empty
        #[arg(long, conflicts_with_all = ["last_crl", "log"])]
        unused: bool,
        #[command(flatten)]
        used: Used,
    },
    /// Prove that the journal is whole: every hash, every rule
    ///
    /// Reports the number of entries, the size of the last checkpoint and the head, as `export` does.
    Verify(Installed),
    /// Write the journal as one file, for auditors and for `assay-audit verify --journal`
    ///
    /// Reports the size of the last checkpoint in the file; on standard error, if the journal is written to standard output. Export
    /// the log after that with `assay export --size N`, so that both exports end at the same checkpoint; the service may sign
    /// meanwhile.
    Export {
        #[command(flatten)]
        installed: Installed,
        /// Where to; standard output if absent
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Drop the contents of certificates that expired more than their time ago; serial numbers and hashes stay
    Prune(Installed),
}

impl Task {
    pub(crate) fn run(self) -> Result<String, String> {
        match self {
            Self::Create {
                installed,
                unused: true,
                used: _,
            } => create(&installed.settings()?, None),
            Self::Create {
                installed,
                unused: false,
                used,
            } => create(&installed.settings()?, Some(&used)),
            Self::Verify(installed) => {
                let settings = installed.settings()?;
                socket::check_user(&settings.state)?;
                let state = assay_journal::verify(&settings.journal());
                let state = state.map_err(|error| said(&error))?;
                Ok(format!("whole: {}", summary(&state)))
            }
            Self::Export { installed, output } => {
                let settings = installed.settings()?;
                socket::check_user(&settings.state)?;
                export(&settings.journal(), output.as_deref())
            }
            Self::Prune(installed) => orders::give(&installed.settings()?, &Order::Prune),
        }
    }
}

/// The time by the system's clock.
pub(crate) fn now() -> Timestamp {
    SystemTime::now().into()
}

/// Opens the journal and records this start.
pub(crate) fn open(settings: &Settings) -> Result<Arc<Journal>, String> {
    let options = Options::new(settings.limits.clone());
    let opened = Journal::open(&settings.journal(), options);
    let (journal, cut) = opened.map_err(|error| {
        if let assay_journal::Error::Missing { dir } = error {
            let dir = dir.display();
            return format!(
                "there is no journal in {dir}: make it with `assay-hsm journal create`"
            );
        }
        said(&error)
    })?;
    if let Some(cut) = cut {
        tracing::warn!(?cut, "the end of the journal that was not answered is cut");
    }
    let start = Start {
        configuration: settings.digest,
        allow_same_user: settings.allow_same_user && settings.peer.is_own(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    // Whether the kernel's clock is synchronised is not asked: after a week without an entry a person accepts the gap.
    let started = journal.started(start, false, now());
    let head = started.and_then(|pending| pending.wait());
    let head =
        head.map_err(|error| format!("{}; `assay-hsm accept-clock` accepts a jump", said(&error)))?;
    tracing::info!(%head, configuration = %settings.digest, "the journal holds");
    Ok(Arc::new(journal))
}

/// `used` is `None` for CAs that were not used.
fn create(settings: &Settings, used: Option<&Used>) -> Result<String, String> {
    let _held = socket::hold_state(&settings.state)?;
    let directory = settings.journal();
    let floors = used.map(|used| used.floors(settings)).transpose()?;
    let floors = floors.unwrap_or_default();
    let head = assay_journal::create(&directory, &floors, now());
    let head = head.map_err(|error| said(&error))?;
    Ok(format!(
        "created {}\nidentity {}\npin it with auditors; the service may start",
        directory.display(),
        head.identity
    ))
}

/// Entries, last checkpoint and head.
fn summary(state: &State) -> String {
    let head = state.head();
    let checkpoint = match state.last_checkpoint() {
        Some(_) => format!("{} records", state.tree().size()),
        None => "none".to_owned(),
    };
    let entries = head.size;
    format!("{entries} entries\nlast checkpoint: {checkpoint}\n{head}")
}

/// A new file, which is taken away again if the export fails.
#[allow(
    clippy::print_stderr,
    reason = "the export itself is on standard output"
)]
fn export(directory: &Path, output: Option<&Path>) -> Result<String, String> {
    let exported = |state: &State| format!("exported {}", summary(state));
    let Some(path) = output else {
        let state = assay_journal::export(directory, io::stdout().lock());
        eprintln!("{}", exported(&state.map_err(|error| said(&error))?));
        return Ok(String::new());
    };
    let failed = |error: io::Error| format!("{}: {error}", path.display());
    let mut options = File::options();
    let file = options.write(true).create_new(true).mode(0o600).open(path);
    let mut file = file.map_err(failed)?;
    let state = assay_journal::export(directory, &mut file).map_err(|error| said(&error));
    let synced = state.and_then(|state| file.sync_all().map(|()| state).map_err(failed));
    if synced.is_err() {
        // The cause is told below.
        let _ = fs::remove_file(path);
    }
    Ok(exported(&synced?))
}
