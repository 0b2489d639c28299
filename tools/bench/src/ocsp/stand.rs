//! A throw-away installation with a responder: `assay demo` as a child, in a directory that goes with the benchmark.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::Plan;
use crate::failure::{Failure, OrFail, Outcome};
use crate::files;
use crate::installation::Installation;
use crate::process::DRAIN;
use assay_store::StateKey;
use zeroize::Zeroizing;

/// The first start makes the token's keys.
const START: Duration = Duration::from_secs(180);
const LOOK: Duration = Duration::from_millis(50);
/// Signer and frontend drain one after the other.
const STOP: Duration = DRAIN.saturating_mul(3);
/// What a failure leaves to be looked at, in the installation.
const LEFT: &str = "log";

/// The installation, served or not.
pub(super) struct Stand {
    dir: TempDir,
    demo: Option<Child>,
}

/// Of the file in which the demo says that it serves.
#[derive(Deserialize)]
pub(super) struct Ready {
    pub(super) scep_url: String,
    pub(super) ocsp_url: String,
    /// URLs, by service.
    metrics: BTreeMap<String, String>,
    pub(super) pids: Pids,
}

#[derive(Deserialize)]
pub(super) struct Pids {
    pub(super) signer: u32,
}

impl Ready {
    pub(super) fn signer_metrics(&self) -> &str {
        self.metrics.get("signer").map_or("", String::as_str)
    }
}

impl Stand {
    pub(super) fn new() -> Outcome<Self> {
        let dir = TempDir::with_prefix("assay-bench-ocsp-");
        Ok(Self {
            dir: dir
                .or_fail("cannot make a directory")
                .map_err(|failure| failure.next("name one that has room in TMPDIR"))?,
            demo: None,
        })
    }

    pub(super) fn installation(&self) -> Installation {
        Installation::at(self.home())
    }

    pub(super) fn state(&self) -> PathBuf {
        self.home().join("state/signer.db")
    }

    /// The key of the state, which the HSM service keeps.
    pub(super) fn state_key(&self) -> Outcome<StateKey> {
        let what = "the key of the state cannot be read";
        let secret = std::fs::read(self.home().join("hsm/signer-state.secret")).or_fail(what)?;
        let secret = <[u8; 32]>::try_from(secret.as_slice()).or_fail(what)?;
        Ok(Zeroizing::new(secret).into())
    }

    fn home(&self) -> PathBuf {
        self.dir.path().join("demo")
    }

    /// Makes the installation where there is none yet, and serves it.
    pub(super) async fn start(&mut self) -> Outcome<Ready> {
        let file = self.dir.path().join("ready.json");
        let log = self.dir.path().join("demo.log");
        let demo = self.demo.insert(spawn(&self.dir, &file, &log)?);
        let serving = async {
            loop {
                if file.exists() {
                    return serde_json::from_slice(&files::read(&file)?)
                        .or_fail("the installation tells nothing of itself");
                }
                if let Some(status) = demo.try_wait().or_fail("cannot wait for the demo")? {
                    return Err(did_not_start(&status.to_string(), &log));
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        match tokio::time::timeout(START, serving).await {
            Ok(ready) => ready,
            Err(_) => Err(did_not_start("not ready in time", &log)),
        }
    }

    /// SIGTERM, and patience: the demo stops its services in order.
    pub(super) async fn stop(&mut self) -> Outcome {
        let Some(mut demo) = self.demo.take() else {
            return Ok(());
        };
        let pid = demo.id().and_then(|pid| i32::try_from(pid).ok());
        if let Some(pid) = pid.and_then(Pid::from_raw) {
            // Gone in between is as good.
            let _ = kill_process(pid, Signal::TERM);
        }
        match tokio::time::timeout(STOP, demo.wait()).await {
            Ok(status) => {
                let status = status.or_fail("cannot wait for the installation")?;
                if status.success() {
                    return Ok(());
                }
                Err(Failure::failed(format!(
                    "the installation ended with {status}"
                )))
            }
            Err(_) => Err(Failure::failed("the installation does not stop")
                .next("end its assay-signer and assay-frontend by hand")),
        }
    }

    /// The responder's settings, as they are to be measured.
    pub(super) fn set(&self, plan: &Plan) -> Outcome {
        const TABLE: &str = "[ocsp]\n";
        let config = self.installation().signer_config();
        let text = files::read_text(&config)?;
        if !text.contains(TABLE) {
            return Err(Failure::failed(format!(
                "{} has no [ocsp]",
                config.display()
            )));
        }
        let settings = format!(
            "{TABLE}rate = {}\nrefresh = \"{}s\"\nvalidity = \"{}s\"\n",
            plan.rate,
            plan.refresh.as_secs(),
            plan.validity.as_secs()
        );
        files::replace(
            &config,
            text.replacen(TABLE, &settings, 1).as_bytes(),
            files::PUBLIC,
        )
    }

    /// What there is to see after a failure: the logs stay, keys and state go.
    pub(super) fn leave_logs(self) -> Option<PathBuf> {
        let home = self.home();
        let dir = self.dir.keep();
        for entry in std::fs::read_dir(home).ok()?.filter_map(Result::ok) {
            if entry.file_name() == LEFT {
                continue;
            }
            let path = entry.path();
            let removed = if path.is_dir() {
                std::fs::remove_dir_all(&path)
            } else {
                std::fs::remove_file(&path)
            };
            removed.ok()?;
        }
        Some(dir)
    }
}

fn spawn(dir: &TempDir, ready_file: &Path, log: &Path) -> Outcome<Child> {
    let what = "cannot start `assay demo`";
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .or_fail(what)?;
    let assay = std::env::current_exe()
        .or_fail(what)?
        .with_file_name("assay");
    Command::new(assay)
        .arg("--dir")
        .arg(dir.path().join("demo"))
        // The figures that were published are of a P-256 CA.
        .args(["demo", "--ca-key", "p256", "--ocsp"])
        .args(["--listen", "127.0.0.1:0", "--ready-file"])
        .arg(ready_file)
        .stdin(Stdio::null())
        .stdout(log.try_clone().or_fail(what)?)
        .stderr(log)
        .spawn()
        .or_fail(what)
}

fn did_not_start(why: &str, log: &Path) -> Failure {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let last = text.lines().last().unwrap_or_default();
    Failure::failed(format!(
        "the installation did not start ({why}): {}",
        last.trim()
    ))
    .next("`assay demo --ocsp` must work here first")
}
