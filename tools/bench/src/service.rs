//! An HSM service of the benchmark's own, over the token of an installation that may be served at the same time.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use assay_hsm::{CaKeys, Hsm, HsmConfig, User};
use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::failure::{Failure, OrFail, Outcome};
use crate::files;
use crate::installation::Installation;
use crate::process::DRAIN;
use crate::settings::Signer;

/// Generous: nothing else waits for this service.
const OPERATION_DEADLINE: &str = "30s";
/// Rare, so that probes do not count as load.
const HEALTH_INTERVAL: Duration = Duration::from_secs(60);
/// Beside hsm.toml, whose paths it shares.
const CONFIG: &str = "hsm.bench.toml";

/// The service and a connection to it.
pub(crate) struct Service {
    pub(crate) hsm: Hsm,
    pub(crate) keys: CaKeys,
    /// Sessions.
    pub(crate) threads: usize,
    pub(crate) pid: u32,
    child: Child,
    config: PathBuf,
    _private: TempDir,
}

impl Service {
    /// `threads` as in hsm.toml, unless others are wanted; so many operations may wait.
    pub(crate) async fn start(
        installation: &Installation,
        signer: &Signer,
        threads: Option<usize>,
        queue: usize,
    ) -> Outcome<Self> {
        let what = "cannot start assay-hsm";
        let private = TempDir::with_prefix("assay-bench-hsm-").or_fail(what)?;
        let config = installation.path(CONFIG);
        let written = configuration(installation, private.path(), threads)?;
        files::replace(&config, written.as_bytes(), files::PUBLIC)?;
        let program = std::env::current_exe().or_fail(what)?;
        let program = program.with_file_name("assay-hsm");
        let journal = Command::new(&program)
            .args(["journal", "create", "--unused", "--config"])
            .arg(&config)
            .output()
            .await
            .or_fail(what)?;
        if !journal.status.success() {
            let said = String::from_utf8_lossy(&journal.stderr);
            return Err(Failure::failed(format!("{what}: {}", said.trim())));
        }
        let child = Command::new(program)
            .arg("--config")
            .arg(&config)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .or_fail(what)?;
        let hsm = Hsm::connect(HsmConfig {
            socket: socket(private.path()),
            user: own_user()?,
            queue,
            health_interval: HEALTH_INTERVAL,
            program: "assay-bench".to_owned(),
        })
        .await
        .or_fail("the token cannot be used")?;
        let keys = hsm.ca(&signer.certificates());
        Ok(Self {
            keys: keys.or_fail("the token cannot be used")?,
            threads: usize::try_from(hsm.welcome().threads).or_fail(what)?,
            pid: child.id().unwrap_or_default(),
            hsm,
            child,
            config,
            _private: private,
        })
    }

    pub(crate) async fn stop(mut self) {
        self.hsm.shutdown().await;
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok());
        if let Some(pid) = pid.and_then(Pid::from_raw) {
            // It may have ended in between.
            let _ = kill_process(pid, Signal::TERM);
        }
        // Killed when dropped.
        let _ = tokio::time::timeout(DRAIN, self.child.wait()).await;
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have been removed with the installation.
        let _ = std::fs::remove_file(&self.config);
    }
}

fn own_user() -> Outcome<User> {
    User::from_uid(geteuid().as_raw()).or_fail("who runs this?")
}

fn socket(private: &Path) -> PathBuf {
    private.join("hsm.sock")
}

/// The one form of what the benchmark has signed, and no ceilings.
const RULES: &str = r#"
[limits]
certificates_per_hour = 1_000_000_000
certificates_per_day = 1_000_000_000
crls_per_hour = 1_000_000_000
crls_per_day = 1_000_000_000
decryptions_per_hour = 1_000_000_000
decryptions_per_day = 1_000_000_000

[[form]]
name = "bench"
extended_key_usage = ["clientAuth"]
key_usage = ["digitalSignature"]
lifetime_max = "30d"
backdate_max = "1h"
keys = { rsa = { min_bits = 2048, max_bits = 2048 } }
"#;

/// The installation's own, with a place, a client, rules and a journal of its own.
fn configuration(
    installation: &Installation,
    private: &Path,
    threads: Option<usize>,
) -> Outcome<String> {
    let path = installation.hsm_config();
    let what = format!("{} cannot be used", path.display());
    let mut table: toml::Table = toml::from_str(&files::read_text(&path)?).or_usage(&what)?;
    let text = |path: PathBuf| path.display().to_string();
    table.insert("socket".to_owned(), text(socket(private)).into());
    table.insert("state".to_owned(), text(private.join("state")).into());
    table.insert("peer".to_owned(), i64::from(geteuid().as_raw()).into());
    table.insert("allow_same_user".to_owned(), true.into());
    table.insert("log_filter".to_owned(), "error".into());
    table.insert("operation_deadline".to_owned(), OPERATION_DEADLINE.into());
    for (key, rules) in toml::from_str::<toml::Table>(RULES).or_fail(&what)? {
        table.insert(key, rules);
    }
    if let Some(threads) = threads {
        let threads = i64::try_from(threads).or_fail("too many threads")?;
        table.insert("threads".to_owned(), threads.into());
    }
    toml::to_string(&table).or_fail(what)
}
