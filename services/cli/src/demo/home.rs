//! The demo's directory: empty, or one that a demo made; and one demo in it at a time.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use assay_console::failure::{Failure, OrFail, Outcome};
use assay_console::files;
use assay_operator::installation::Installation;
use assay_operator::process;
use rustix::fs::{FlockOperation, flock};
use rustix::process::Pid;
use serde::{Deserialize, Serialize};

/// Marks a directory as a demo's.
const MARK: &str = "demo.json";
const LOCK: &str = "demo.lock";
/// What a set-up writes, and may therefore take away again: nothing else is ever removed.
const MADE: [&str; 16] = [
    "approvers",
    "proposals",
    "token",
    "certificates",
    "transport",
    "policy",
    "secrets",
    "state",
    "log",
    "run",
    "transcript.json",
    "hsm",
    "hsm.toml",
    "signer.toml",
    "frontend.toml",
    "assay.toml",
];

/// The directory, held for as long as the demo runs.
pub(super) struct Home {
    pub(super) installation: Installation,
    _lock: File,
}

/// What is remembered from one start to the next.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Mark {
    /// Whether the set-up came to its end.
    pub(super) complete: bool,
    pub(super) module: PathBuf,
    pub(super) token_label: String,
    /// How often the demo was started here: names the device that it enrols.
    pub(super) starts: u64,
    /// Id of the static challenge, whose text is in `secrets/fleet.challenge`.
    pub(super) fleet_challenge_id: Option<String>,
    /// Where the frontend listened the last time: certificates name it.
    #[serde(default)]
    pub(super) http: Option<SocketAddr>,
}

impl Home {
    pub(super) fn enter(installation: Installation) -> Outcome<Self> {
        let dir = installation.root().to_owned();
        let foreign = || {
            Failure::usage(format!(
                "{} is not empty and no demo made it",
                dir.display()
            ))
            .next("name an empty or new directory with --dir")
        };
        if dir.exists() && !dir.join(MARK).exists() && !is_empty(&dir)? {
            return Err(foreign());
        }
        files::make_dir(&dir)?;
        let lock = File::create(dir.join(LOCK)).or_fail("cannot make the demo's lock file")?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(
                Failure::failed(format!("a demo is running in {}", dir.display()))
                    .next("stop that one, or name another directory with --dir"),
            );
        }
        Ok(Self {
            installation,
            _lock: lock,
        })
    }

    pub(super) fn path(&self, relative: &str) -> PathBuf {
        self.installation.path(relative)
    }

    pub(super) fn mark(&self) -> Outcome<Option<Mark>> {
        let path = self.path(MARK);
        if !path.exists() {
            return Ok(None);
        }
        let mark = serde_json::from_slice(&files::read(&path)?)
            .or_fail(format!("{} is damaged", path.display()))
            .map_err(|failure| failure.next("name another directory with --dir"))?;
        Ok(Some(mark))
    }

    pub(super) fn set_mark(&self, mark: &Mark) -> Outcome {
        let text = serde_json::to_vec_pretty(mark).or_fail("cannot write the demo's mark")?;
        files::replace(&self.path(MARK), &text, files::PUBLIC)
    }

    /// Takes away what a set-up left that did not come to its end: no certificate was issued with it.
    pub(super) fn clear(&self) -> Outcome {
        for name in MADE {
            let path = self.path(name);
            let removed = if path.is_dir() {
                std::fs::remove_dir_all(&path)
            } else {
                std::fs::remove_file(&path)
            };
            match removed {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(error).or_fail(format!("cannot remove {}", path.display()));
                }
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// Ends services of a demo that was itself killed: they hold the store and the ports.
    pub(super) async fn stop_orphans(&self) -> Outcome {
        for (name, config) in [
            ("frontend", self.installation.frontend_config()),
            ("signer", self.installation.signer_config()),
            ("hsm", self.installation.hsm_config()),
        ] {
            let Ok(text) = std::fs::read_to_string(self.pid_file(name)) else {
                continue;
            };
            let pid = text.trim().parse().ok().and_then(Pid::from_raw);
            if let Some(pid) = pid.filter(|pid| process::runs_with(*pid, &config)) {
                process::stop_foreign(pid, &config).await?;
            }
        }
        Ok(())
    }

    pub(super) fn pid_file(&self, name: &str) -> PathBuf {
        self.path(&format!("run/{name}.pid"))
    }
}

fn is_empty(dir: &Path) -> Outcome<bool> {
    let mut entries = std::fs::read_dir(dir).or_fail(format!("cannot read {}", dir.display()))?;
    Ok(entries.all(|entry| entry.is_ok_and(|entry| entry.file_name() == LOCK)))
}
