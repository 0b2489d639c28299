//! The HSM service, the signer and the frontend of an installation, each started and killed by the test itself.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use anyhow::{Context, Result};
use assay_runtime::ready::Ready;
use rustix::process::Pid;

use crate::installation::{self, Installation, set};
use crate::operator::Operator;
use crate::process::{self, Service};
use crate::restarted::Restarted;
use crate::wait;
use crate::{hsm, http};

/// The services over the directory of an installation whose demo has been stopped.
#[derive(Debug)]
pub struct Tiers {
    hsm: Restarted,
    signer: Option<Service>,
    frontend: Option<Service>,
    dir: PathBuf,
    scratch: PathBuf,
    addresses: Addresses,
}

#[derive(Debug)]
struct Addresses {
    http: String,
    signer_ops: String,
    frontend_ops: String,
}

impl Tiers {
    /// Serves the directory of a stopped demo with services of our own, on free ports that stay the same over restarts.
    ///
    /// # Errors
    ///
    /// When either does not come up.
    pub async fn start(installation: &Installation) -> Result<Self> {
        let dir = installation.ready().dir.clone();
        let scratch = installation.scratch().to_owned();
        let signer_config = dir.join("signer.toml");
        let frontend_config = dir.join("frontend.toml");
        for listener in ["enrolment", "administration", "ops"] {
            set(&signer_config, &[listener, "listen"], "127.0.0.1:0")?;
        }
        let hsm = hsm::start(&dir, &scratch)?;
        let (signer, bound) = service("signer", &dir, &scratch).await?;
        let told = "the signer's ready file lacks an address";
        let enrolment = bound.enrolment.context(told)?.to_string();
        let administration = bound.administration.context(told)?.to_string();
        let signer_ops = bound.ops.context(told)?.to_string();
        set(&signer_config, &["enrolment", "listen"], enrolment.as_str())?;
        set(
            &signer_config,
            &["administration", "listen"],
            administration.as_str(),
        )?;
        set(&signer_config, &["ops", "listen"], signer_ops.as_str())?;
        set(
            &dir.join("assay.toml"),
            &["administration", "address"],
            administration.as_str(),
        )?;

        set(&frontend_config, &["signer", "address"], enrolment.as_str())?;
        set(&frontend_config, &["http", "listen"], "127.0.0.1:0")?;
        set(&frontend_config, &["ops", "listen"], "127.0.0.1:0")?;
        let (frontend, bound) = service("frontend", &dir, &scratch).await?;
        let told = "the frontend's ready file lacks an address";
        let http = bound.http.context(told)?.to_string();
        set(&frontend_config, &["http", "listen"], http.as_str())?;
        let frontend_ops = bound.ops.context(told)?.to_string();
        set(&frontend_config, &["ops", "listen"], frontend_ops.as_str())?;

        let addresses = Addresses {
            http,
            signer_ops,
            frontend_ops,
        };
        let tiers = Self {
            hsm,
            signer: Some(signer),
            frontend: Some(frontend),
            dir,
            scratch,
            addresses,
        };
        tiers.until_ready().await?;
        Ok(tiers)
    }

    /// The SCEP URL of a profile.
    pub fn url(&self, profile: &str) -> String {
        format!("http://{}/scep/{profile}", self.addresses.http)
    }

    /// The signer's process, while it runs.
    ///
    /// # Errors
    ///
    /// When it was killed and not started again.
    pub fn signer(&self) -> Result<Pid> {
        Ok(self
            .signer
            .as_ref()
            .context("the signer is not running")?
            .pid())
    }

    /// The frontend's process, while it runs.
    ///
    /// # Errors
    ///
    /// When it was killed and not started again.
    pub fn frontend(&self) -> Result<Pid> {
        Ok(self
            .frontend
            .as_ref()
            .context("the frontend is not running")?
            .pid())
    }

    /// The process of the HSM service that the signer is connected to, as it tells an operator.
    ///
    /// # Errors
    ///
    /// When the signer does not answer, or has no connection.
    pub async fn hsm(&self) -> Result<Pid> {
        let status = Operator::connect(&self.dir).await?.status().await?;
        process::pid_of(status.hsm.context("no HSM service")?.pid)
    }

    /// All that the HSM service logged so far, over all its starts.
    pub fn hsm_log(&self) -> String {
        hsm::printed(&self.scratch)
    }

    /// Whether the signer says that it is ready, and the causes when not.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub async fn readiness(&self) -> Result<http::Response> {
        readiness(&self.addresses.signer_ops).await
    }

    /// The frontend's readiness, with details.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub async fn frontend_readiness(&self) -> Result<http::Response> {
        readiness(&self.addresses.frontend_ops).await
    }

    /// SIGABRT to both, as a fault in them would raise it, and how each ended.
    ///
    /// # Errors
    ///
    /// When one is not running, or does not end.
    pub async fn abort(&mut self) -> Result<[ExitStatus; 2]> {
        let frontend = self
            .frontend
            .take()
            .context("the frontend is not running")?;
        let signer = self.signer.take().context("the signer is not running")?;
        Ok([frontend.abort().await?, signer.abort().await?])
    }

    /// SIGKILL to the signer alone.
    ///
    /// # Errors
    ///
    /// When it is not running.
    pub async fn kill_signer(&mut self) -> Result<()> {
        self.signer
            .take()
            .context("the signer is not running")?
            .kill()
            .await
    }

    /// Ends the signer alone, in order.
    ///
    /// # Errors
    ///
    /// When it is not running, or does not end well.
    pub async fn stop_signer(&mut self) -> Result<()> {
        let signer = self.signer.take().context("the signer is not running")?;
        let printed = signer.printed();
        let status = signer.stop().await?;
        anyhow::ensure!(
            status.success(),
            "the signer ended with {status}:\n{printed}"
        );
        Ok(())
    }

    /// SIGKILL to the frontend alone.
    ///
    /// # Errors
    ///
    /// When it is not running.
    pub async fn kill_frontend(&mut self) -> Result<()> {
        self.frontend
            .take()
            .context("the frontend is not running")?
            .kill()
            .await
    }

    /// SIGKILL to the HSM service, which is then started again.
    ///
    /// # Errors
    ///
    /// When it is not running.
    pub async fn kill_hsm(&self) -> Result<Pid> {
        let hsm = self.hsm.pid().context("no HSM service")?;
        process::kill(hsm).await?;
        Ok(hsm)
    }

    /// Starts whatever is not running.
    ///
    /// # Errors
    ///
    /// When it does not come up.
    pub async fn restart(&mut self) -> Result<()> {
        self.start_again().await?;
        self.until_ready().await
    }

    /// Starts again what is not running, and waits until it listens, ready or not.
    ///
    /// # Errors
    ///
    /// When that does not come in time.
    pub async fn start_again(&mut self) -> Result<()> {
        if self.signer.is_none() {
            self.signer = Some(service("signer", &self.dir, &self.scratch).await?.0);
        }
        if self.frontend.is_none() {
            self.frontend = Some(service("frontend", &self.dir, &self.scratch).await?.0);
        }
        Ok(())
    }

    /// Starts the signer again with a wall clock that is this number of days ahead of all others; behind, where it is negative.
    ///
    /// # Errors
    ///
    /// When it does not come up, or the package faketime is not installed.
    pub async fn start_signer_days_ahead(&mut self, days: i64) -> Result<()> {
        const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";
        anyhow::ensure!(
            Path::new(LIBRARY).exists(),
            "the package faketime is not installed"
        );
        let (_program, mut command) = installation::service(&self.dir, "signer")?;
        command
            .env("LD_PRELOAD", LIBRARY)
            .env("FAKETIME", format!("{:+}", days * 86_400))
            // Deadlines run as they are.
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("DONT_FAKE_MONOTONIC", "1");
        let mut command = command.into();
        let started = Service::start::<Ready>(&mut command, "signer", &self.scratch);
        self.signer = Some(started.await?.0);
        Ok(())
    }

    /// Waits until both services say that they are ready.
    ///
    /// # Errors
    ///
    /// When that does not come in time.
    pub async fn until_ready(&self) -> Result<()> {
        for ops in [&self.addresses.signer_ops, &self.addresses.frontend_ops] {
            wait::until("a service ready", wait::REACTION, async || {
                let answer = readiness(ops).await;
                Ok(answer
                    .is_ok_and(|answer| answer.status == 200)
                    .then_some(()))
            })
            .await?;
        }
        Ok(())
    }
}

async fn readiness(ops: &str) -> Result<http::Response> {
    http::get(&format!("http://{ops}/readyz")).await
}

async fn service(name: &str, dir: &Path, scratch: &Path) -> Result<(Service, Ready)> {
    let (_program, command) = installation::service(dir, name)?;
    Service::start(&mut command.into(), name, scratch).await
}
