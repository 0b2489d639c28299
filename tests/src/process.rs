//! Long-running processes under test: started until ready, ended with all their children.

use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process, kill_process_group, test_kill_process};
use serde::de::DeserializeOwned;
use tokio::process::{Child, Command};

use crate::wait;

/// A process in a process group of its own, killed with the whole group when dropped.
#[derive(Debug)]
pub struct Service {
    child: Child,
    group: Pid,
    output: PathBuf,
}

impl Service {
    /// Starts `command` with `--ready-file` and waits until that file tells what is being served.
    ///
    /// # Errors
    ///
    /// When it does not start, ends, or is not ready in time; with what it printed.
    pub async fn start<R: DeserializeOwned>(
        command: &mut Command,
        name: &str,
        scratch: &Path,
    ) -> Result<(Self, R)> {
        // Whichever user runs it writes the file.
        let ready_dir = scratch.join(format!("{name}.ready"));
        std::fs::create_dir_all(&ready_dir)?;
        std::fs::set_permissions(&ready_dir, Permissions::from_mode(0o777))?;
        let ready_file = ready_dir.join("ready.json");
        let _ = std::fs::remove_file(&ready_file);
        command.arg("--ready-file").arg(&ready_file);
        let mut service = Self::spawn(command, name, scratch)?;
        let ready = wait::until(&format!("{name} ready"), wait::START, async || {
            if let Some(status) = service.child.try_wait()? {
                bail!("{name} ended with {status} before it was ready");
            }
            let Ok(text) = std::fs::read(&ready_file) else {
                return Ok(None);
            };
            let ready = serde_json::from_slice(&text)
                .with_context(|| format!("ready file: {}", String::from_utf8_lossy(&text)))?;
            Ok(Some(ready))
        })
        .await
        .with_context(|| service.printed())?;
        Ok((service, ready))
    }

    /// Starts `command`, its output going to a file in `scratch`.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn spawn(command: &mut Command, name: &str, scratch: &Path) -> Result<Self> {
        let output = scratch.join(format!("{name}.output"));
        let file = File::options().create(true).append(true).open(&output)?;
        let child = command
            .stdin(std::process::Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| {
                format!(
                    "cannot start {:?}; `cargo build --workspace --bins` makes it",
                    command.as_std().get_program()
                )
            })?;
        let group = child
            .id()
            .and_then(|pid| pid_of(pid).ok())
            .context("it ended at once")?;
        Ok(Self {
            child,
            group,
            output,
        })
    }

    /// Process id.
    pub fn pid(&self) -> Pid {
        self.group
    }

    /// All it printed so far, over all its starts.
    pub fn printed(&self) -> String {
        std::fs::read_to_string(&self.output).unwrap_or_default()
    }

    /// Asks it to end (SIGTERM) and waits until it has.
    ///
    /// # Errors
    ///
    /// When it does not end in time.
    pub async fn stop(mut self) -> Result<ExitStatus> {
        kill_process(self.group, Signal::TERM)?;
        let ended = tokio::time::timeout(wait::REACTION, self.child.wait()).await;
        Ok(ended.with_context(|| format!("SIGTERM did not end it:\n{}", self.printed()))??)
    }

    /// Makes it abort (SIGABRT) and waits until it has.
    ///
    /// # Errors
    ///
    /// When it does not end in time.
    pub async fn abort(self) -> Result<ExitStatus> {
        kill_process(self.group, Signal::ABORT)?;
        Ok(self.ended().await?.0)
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    ///
    /// When it does not end in time.
    pub async fn ended(mut self) -> Result<(ExitStatus, String)> {
        let ended = tokio::time::timeout(wait::START, self.child.wait()).await;
        let status = ended.with_context(|| format!("it does not end:\n{}", self.printed()))??;
        Ok((status, self.printed()))
    }

    /// Kills it as a power cut would (SIGKILL) and waits until it is gone.
    ///
    /// # Errors
    ///
    /// When it cannot be waited for.
    pub async fn kill(mut self) -> Result<()> {
        self.child.kill().await?;
        Ok(())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = kill_process_group(self.group, Signal::KILL);
    }
}

/// A process id as the ready file tells it.
///
/// # Errors
///
/// When it is no process id.
pub fn pid_of(pid: u32) -> Result<Pid> {
    Pid::from_raw(i32::try_from(pid)?).context("0 is no process id")
}

/// Kills a process of an installation (SIGKILL) and waits until it is gone.
///
/// # Errors
///
/// When it is not there, or does not go.
pub async fn kill(pid: Pid) -> Result<()> {
    kill_process(pid, Signal::KILL)?;
    wait::until("a killed process gone", wait::REACTION, async || {
        Ok((!is_running(pid)).then_some(()))
    })
    .await
}

/// Kills a process if its command line names a file below `dir`: a number alone may have been given out again.
pub fn kill_if_of(pid: u32, dir: &Path) {
    let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    if String::from_utf8_lossy(&command).contains(&*dir.to_string_lossy())
        && let Ok(pid) = pid_of(pid)
    {
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// Whether the process exists and is no zombie that its parent has yet to collect.
pub fn is_running(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    let zombie = stat.is_ok_and(|stat| stat.contains(") Z "));
    test_kill_process(pid).is_ok() && !zombie
}
