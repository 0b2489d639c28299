//! A whole installation in a private directory: made by `assay demo`, then served by it or by its services apart.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use assay_operator::services::{self, Program};
use serde::Deserialize;
use tempfile::TempDir;
use tokio::process::Command;

use crate::prepared;
use crate::process::{self, Service};
use crate::tool::{self, Ran};

/// What `assay demo --ready-file` tells.
#[derive(Clone, Debug, Deserialize)]
pub struct Ready {
    /// URL of the default profile.
    pub scep_url: String,
    /// URL of each profile.
    pub scep_urls: BTreeMap<String, String>,
    /// The issuing CA, as a file.
    pub ca_pem: PathBuf,
    /// The RA certificate that requests are enveloped to.
    pub ra_enc_pem: PathBuf,
    /// The RA certificate that signs replies.
    pub ra_sign_pem: PathBuf,
    /// The RA certificate of both uses, where the demo was started with `--single-ra`.
    pub ra_single_pem: Option<PathBuf>,
    /// The root above the issuing CA.
    pub root_pem: PathBuf,
    /// The OCSP responder, where the demo was started with `--ocsp`.
    pub ocsp_url: Option<String>,
    /// The installation.
    pub dir: PathBuf,
    /// The policy files in force.
    pub policy_dir: PathBuf,
    /// Where each service is scraped.
    pub metrics: Endpoints,
    /// Who is at work.
    pub pids: Pids,
    /// The PKCS#11 library.
    pub pkcs11_module: PathBuf,
    /// The service token.
    pub token_label: String,
    /// The static challenge of profile `fleet`.
    pub fleet_challenge: String,
}

/// The metrics URL of each service.
#[derive(Clone, Debug, Deserialize)]
pub struct Endpoints {
    /// The outer tier.
    pub frontend: String,
    /// The inner tier.
    pub signer: String,
}

/// Process ids.
#[derive(Clone, Debug, Deserialize)]
pub struct Pids {
    /// The outer tier.
    pub frontend: u32,
    /// The inner tier.
    pub signer: u32,
    /// The process that holds the token.
    pub hsm: u32,
}

/// Between the choice of a free address and its use another process can take it; three times in a row it does not.
const ATTEMPTS: usize = 3;

/// An installation and the demo that serves it.
#[derive(Debug)]
pub struct Installation {
    demo: Option<Service>,
    ready: Ready,
    scratch: TempDir,
}

impl Installation {
    /// Starts a new installation on free ports and waits until it serves. Its keys are copies (see `prepared`).
    ///
    /// # Errors
    ///
    /// When the demo does not come up.
    pub async fn start() -> Result<Self> {
        Self::start_with(&[]).await
    }

    /// The same with further arguments to `assay demo`.
    ///
    /// # Errors
    ///
    /// When the demo does not come up.
    pub async fn start_with(arguments: &[&str]) -> Result<Self> {
        let scratch = scratch()?;
        for _ in 0..ATTEMPTS {
            let address = prepared::copy(arguments, scratch.path()).await?;
            let (demo, ready) = demo(scratch.path(), arguments).await?;
            if ready.scep_url.contains(&address) {
                return Ok(Self {
                    demo: Some(demo),
                    ready,
                    scratch,
                });
            }
            demo.stop().await?;
            std::fs::remove_dir_all(&ready.dir)?;
        }
        anyhow::bail!("another process took the address before the demo did, {ATTEMPTS} times")
    }

    /// Ends the demo in order; its directory stays.
    ///
    /// # Errors
    ///
    /// When it does not end well, or was not running.
    pub async fn stop(&mut self) -> Result<()> {
        let demo = self.demo.take().context("the demo is not running")?;
        let printed = demo.printed();
        let status = demo.stop().await?;
        anyhow::ensure!(status.success(), "the demo ended with {status}:\n{printed}");
        Ok(())
    }

    /// Kills the demo alone, as an out-of-memory kill would: its services run on.
    ///
    /// # Errors
    ///
    /// When it was not running.
    pub async fn kill_demo(&mut self) -> Result<()> {
        let demo = self.demo.take().context("the demo is not running")?;
        demo.kill().await
    }

    /// Serves the same directory again.
    ///
    /// # Errors
    ///
    /// When the demo does not come up.
    pub async fn serve(&mut self) -> Result<()> {
        let (demo, ready) = demo(self.scratch.path(), &[]).await?;
        self.demo = Some(demo);
        self.ready = ready;
        Ok(())
    }

    /// The demo's own report.
    pub fn ready(&self) -> &Ready {
        &self.ready
    }

    /// The SCEP URL of a profile.
    ///
    /// # Errors
    ///
    /// When the demo has no such profile.
    pub fn url(&self, profile: &str) -> Result<&str> {
        let url = self.ready.scep_urls.get(profile);
        Ok(url.with_context(|| format!("no profile {profile}"))?)
    }

    /// The installation's directory, or a file in it.
    pub fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.ready.dir.join(relative)
    }

    /// A private directory for the test's own files.
    pub fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    /// All that the demo and its services printed or logged, for assertions on what must and must not be in it.
    ///
    /// # Errors
    ///
    /// When the log directory cannot be read.
    pub fn logs(&self) -> Result<String> {
        let mut all = self.demo.as_ref().map(Service::printed).unwrap_or_default();
        for entry in std::fs::read_dir(self.path("log"))? {
            all.push_str(&std::fs::read_to_string(entry?.path())?);
        }
        Ok(all)
    }

    /// Runs `assay --dir DIR …`, whether it succeeds or not.
    ///
    /// # Errors
    ///
    /// When it cannot be run.
    pub async fn assay(&self, arguments: &[&str]) -> Result<Ran> {
        self.run("assay", arguments).await
    }

    /// Runs `assay-ceremony` in this installation's directory.
    ///
    /// # Errors
    ///
    /// When it cannot be run.
    pub async fn ceremony(&self, arguments: &[&str]) -> Result<Ran> {
        self.run("assay-ceremony", arguments).await
    }

    /// Runs `assay-bench` in this installation.
    ///
    /// # Errors
    ///
    /// When it cannot be started, or does not end in time.
    pub async fn bench(&self, arguments: &[&str]) -> Result<Ran> {
        let mut command = Command::new(binary("assay-bench")?);
        command.args(arguments).arg("--dir").arg(&self.ready.dir);
        tool::run(&mut command, &[]).await
    }

    async fn run(&self, program: &str, arguments: &[&str]) -> Result<Ran> {
        let mut command = Command::new(binary(program)?);
        command.arg("--dir").arg(&self.ready.dir).args(arguments);
        tool::run(&mut command, &[]).await
    }

    /// A one-time challenge for exactly this name.
    ///
    /// # Errors
    ///
    /// When it is not issued.
    pub async fn challenge(&self, subject: &str, sans: &[&str]) -> Result<String> {
        let mut arguments = vec![
            "challenge",
            "issue",
            "--profile",
            "devices",
            "--subject",
            subject,
        ];
        for san in sans {
            arguments.extend(["--san", san]);
        }
        let printed = self.assay(&arguments).await?.succeeded()?.text();
        Ok(printed.trim_end_matches('\n').to_owned())
    }

    /// Puts names on the inventory of `fleet`.
    ///
    /// # Errors
    ///
    /// When they are not taken.
    pub async fn add_to_inventory(&self, names: &[&str]) -> Result<()> {
        let file = self.scratch().join("inventory.txt");
        std::fs::write(&file, names.join("\n") + "\n")?;
        let file = file.to_string_lossy();
        self.assay(&["inventory", "add", "--profile", "fleet", "--from", &file])
            .await?
            .succeeded()?;
        Ok(())
    }
}

impl Drop for Installation {
    /// The demo's services are in process groups of their own, so that Ctrl-C reaches the demo alone.
    fn drop(&mut self) {
        drop(self.demo.take());
        for name in ["frontend", "signer", "hsm"] {
            let file = self.path(format!("run/{name}.pid"));
            let pid = std::fs::read_to_string(file)
                .ok()
                .and_then(|text| text.trim().parse().ok());
            if let Some(pid) = pid {
                process::kill_if_of(pid, &self.ready.dir);
            }
        }
    }
}

/// A directory that the users of the services can reach, and that is otherwise private.
pub(crate) fn scratch() -> Result<TempDir> {
    let scratch = TempDir::with_prefix("assay-tests-")?;
    std::fs::set_permissions(scratch.path(), Permissions::from_mode(0o711))?;
    Ok(scratch)
}

/// The command that starts a service of an installation whose demo is stopped, as the user that the demo starts it as. To be
/// run while the program is there.
///
/// # Errors
///
/// When it was not built, or cannot be given its files.
pub fn service(dir: &Path, name: &str) -> Result<(Program, std::process::Command)> {
    let mut all = services::Service::ALL.into_iter();
    let service = all.find(|service| service.name() == name);
    let service = service.with_context(|| format!("no service {name}"))?;
    let installation = assay_operator::installation::Installation::at(dir);
    if services::have_own_users() {
        services::hand_over(&installation)?;
    }
    let program = Program::of(service, &installation, &binary(service.binary())?)?;
    let mut command = program.command();
    command.arg("--config").arg(service.config(&installation));
    Ok((program, command))
}

/// Starts the demo in `scratch` and waits until it serves.
pub(crate) async fn demo(scratch: &Path, arguments: &[&str]) -> Result<(Service, Ready)> {
    let mut command = Command::new(binary("assay")?);
    command
        .args(["demo", "--listen", "127.0.0.1:0", "--dir"])
        .arg(scratch.join("demo"))
        .args(arguments);
    // A P-256 key is made in no time; tests to which its kind matters name another.
    if !arguments.contains(&"--ca-key") {
        command.args(["--ca-key", "p256"]);
    }
    Service::start(&mut command, "demo", scratch).await
}

/// Runs `assay-audit`, as an auditor does: where there is no installation.
///
/// # Errors
///
/// When it cannot be started, or does not end in time.
pub async fn auditor(arguments: &[&str]) -> Result<Ran> {
    let mut command = Command::new(binary("assay-audit")?);
    command.current_dir(std::env::temp_dir()).args(arguments);
    tool::run(&mut command, &[]).await
}

/// A binary of this workspace, in the target directory that this test was built into.
///
/// # Errors
///
/// When it was not built.
pub fn binary(name: &str) -> Result<PathBuf> {
    let test = std::env::current_exe()?;
    let file = test
        .ancestors()
        .nth(2)
        .map(|target| target.join(name))
        .with_context(|| format!("{} lies in no target directory", test.display()))?;
    anyhow::ensure!(
        file.is_file(),
        "{} is missing; `cargo build --workspace --bins` makes it",
        file.display(),
    );
    Ok(file)
}

/// Changes one value of a TOML file; `path` names the tables and the key.
///
/// # Errors
///
/// When the file is not TOML or has no such table.
pub fn set(file: &Path, path: &[&str], value: impl Into<toml::Value>) -> Result<()> {
    let (key, tables) = path.split_last().context("no key named")?;
    let mut document: toml::Table = std::fs::read_to_string(file)?.parse()?;
    let mut table = &mut document;
    for name in tables {
        table = table
            .entry(*name)
            .or_insert_with(|| toml::Value::Table(toml::Table::new()))
            .as_table_mut()
            .with_context(|| format!("{name} is no table"))?;
    }
    table.insert((*key).to_owned(), value.into());
    std::fs::write(file, toml::to_string(&document)?)?;
    Ok(())
}

/// Reads one value of a TOML file.
///
/// # Errors
///
/// When there is none.
pub fn value(file: &Path, path: &[&str]) -> Result<toml::Value> {
    let document: toml::Table = std::fs::read_to_string(file)?.parse()?;
    let mut value = toml::Value::Table(document);
    for name in path {
        value = value
            .get(name)
            .with_context(|| format!("{}: no {name}", file.display()))?
            .clone();
    }
    Ok(value)
}

/// A certificate of a PEM file, DER.
///
/// # Errors
///
/// When there is none.
pub fn pem(file: &Path) -> Result<Vec<u8>> {
    let text = std::fs::read(file).with_context(|| file.display().to_string())?;
    Ok(openssl::x509::X509::from_pem(&text)?.to_der()?)
}
