//! The demo's directory: empty, or one that a demo made; and one demo in it at a time.

use std::fs::{File, Permissions};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use assay_console::failure::{Failure, OrFail, Outcome};
use assay_console::{files, output};
use assay_operator::installation::Installation;
use assay_operator::{process, services};
use rustix::fs::{FlockOperation, flock};
use rustix::process::Pid;
use serde::{Deserialize, Serialize};

/// Marks a directory as a demo's.
const MARK: &str = "demo.json";
const LOCK: &str = "demo.lock";
/// Where a demo lies whose own directory cannot be reached by the users of its services.
const ELSEWHERE: &str = "/var/lib";
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
    /// Whether each service has a user of its own.
    #[serde(default)]
    pub(super) own_users: bool,
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
        let installation = reachable(installation)?;
        let dir = installation.root();
        files::make_dir(dir)?;
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

/// The installation where the users of its services can reach it. Below a directory that is closed to them, a new one lies
/// elsewhere and the name that was asked for leads there.
fn reachable(installation: Installation) -> Outcome<Installation> {
    let dir = installation.root();
    let what = || format!("cannot make {}", dir.display());
    let parent = |dir: &Path| dir.parent().unwrap_or(Path::new("/")).to_owned();
    if dir.is_dir() {
        let real = dir.canonicalize().or_fail(what())?;
        if !is_empty(&real)? || services::is_searchable(&parent(&real)).or_fail(what())? {
            return Ok(Installation::at(real));
        }
    }
    let parent = parent(dir);
    files::make_dir(&parent)?;
    if !services::have_own_users() || services::is_searchable(&parent).or_fail(what())? {
        return Ok(installation);
    }
    let elsewhere = tempfile::Builder::new()
        .prefix("assay-demo-")
        .permissions(Permissions::from_mode(0o700))
        .tempdir_in(ELSEWHERE)
        .or_fail(what())?
        .keep();
    if dir.is_symlink() {
        // It leads to a demo that was removed, or to nothing yet.
        std::fs::remove_file(dir).or_fail(what())?;
    } else if dir.is_dir() {
        std::fs::remove_dir(dir).or_fail(what())?;
    }
    symlink(&elsewhere, dir).or_fail(what())?;
    output::note(&format!(
        "{} is closed to the users of the services: the demo lies in {}, and {} is a link to it",
        parent.display(),
        elsewhere.display(),
        dir.display()
    ));
    Ok(Installation::at(elsewhere))
}

fn is_empty(dir: &Path) -> Outcome<bool> {
    let mut entries = std::fs::read_dir(dir).or_fail(format!("cannot read {}", dir.display()))?;
    Ok(entries.all(|entry| entry.is_ok_and(|entry| entry.file_name() == LOCK)))
}
