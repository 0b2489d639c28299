//! Programs of others that the tests run: SCEP clients and judges of certificates.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// A client or checker that has not ended by then has hung; strongSwan's own time-out is 30 s.
const RUN: Duration = Duration::from_secs(120);

/// What a program left.
#[derive(Debug)]
pub struct Ran {
    /// How it ended.
    pub status: ExitStatus,
    /// Standard output, which may be binary.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: String,
    shown: String,
}

impl Ran {
    /// Standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Both outputs, for assertions on messages wherever a program puts them.
    pub fn all(&self) -> String {
        format!("{}{}", self.text(), self.stderr)
    }

    /// This run, if the program said that it succeeded.
    ///
    /// # Errors
    ///
    /// With the command line and all it printed.
    pub fn succeeded(self) -> Result<Self> {
        if !self.status.success() {
            bail!(
                "`{}` ended with {}:\n{}",
                self.shown,
                self.status,
                self.all()
            );
        }
        Ok(self)
    }

    /// This run, if the program said that it failed.
    ///
    /// # Errors
    ///
    /// With the command line and all it printed.
    pub fn failed(self) -> Result<Self> {
        if self.status.success() {
            bail!("`{}` succeeded:\n{}", self.shown, self.all());
        }
        Ok(self)
    }
}

/// Runs a command to its end, with `input` on its standard input.
///
/// # Errors
///
/// When it cannot be started, or not end in time (it is killed then). A failing exit status is not an error here.
pub async fn run(command: &mut Command, input: &[u8]) -> Result<Ran> {
    let shown = show(command);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start `{shown}`"))?;
    let mut stdin = child.stdin.take().context("no standard input")?;
    let feed = async move {
        // A program that does not read its input may close it first.
        let _ = stdin.write_all(input).await;
    };
    let ended = tokio::time::timeout(RUN, async {
        tokio::join!(feed, child.wait_with_output()).1
    });
    let output = ended
        .await
        .with_context(|| format!("`{shown}` did not end within {RUN:?}"))??;
    Ok(Ran {
        status: output.status,
        stdout: output.stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        shown,
    })
}

/// A command for a program that a Debian package brings.
///
/// # Errors
///
/// When it is not installed, naming the package.
pub fn command(program: &str, package: &str) -> Result<Command> {
    Ok(Command::new(find(program, package)?))
}

fn find(program: &str, package: &str) -> Result<PathBuf> {
    // certmonger lies in /usr/sbin, which is not on everybody's path.
    let path = std::env::var_os("PATH").unwrap_or_default();
    let sbin = PathBuf::from("/usr/sbin");
    std::env::split_paths(&path)
        .chain([sbin])
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
        .with_context(|| format!("{program} is not installed: apt-get install {package}"))
}

/// A file that a Debian package brings.
///
/// # Errors
///
/// When it is not there, naming the package.
pub fn existing(file: &Path, package: &str) -> Result<PathBuf> {
    if !file.is_file() {
        bail!("{} is not there: apt-get install {package}", file.display());
    }
    Ok(file.to_owned())
}

fn show(command: &Command) -> String {
    let command = command.as_std();
    let mut shown = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args().map(OsStr::to_string_lossy) {
        let _ = write!(shown, " {argument}");
    }
    shown
}
