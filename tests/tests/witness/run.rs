//! The witness's process.

use std::path::PathBuf;

use anyhow::{Context, Result};
use assay_tests::http::{self, Response};
use assay_tests::installation::{auditor, binary};
use assay_tests::process::Service;
use assay_tests::wait;
use tempfile::TempDir;
use tokio::process::Command;

use super::{WITNESS, text};

/// The witness's key and memory, over all its runs.
pub(crate) struct Witness {
    pub(crate) dir: TempDir,
    pub(crate) vkey: String,
    service: Option<Service>,
    runs: usize,
}

impl Witness {
    pub(crate) async fn new() -> Result<Self> {
        let dir = TempDir::with_prefix("assay-witness-")?;
        let key = dir.path().join("key");
        let made = auditor(&["witness", "key", "--name", WITNESS, "--out", text(&key)?]).await?;
        Ok(Self {
            vkey: made.succeeded()?.text().trim().to_owned(),
            dir,
            service: None,
            runs: 0,
        })
    }

    pub(crate) fn key_file(&self) -> PathBuf {
        self.dir.path().join("key")
    }

    /// Starts it, on another port each time, and returns its URL.
    pub(crate) async fn start(&mut self, log: &str) -> Result<String> {
        self.runs += 1;
        let name = format!("witness-{}", self.runs);
        let mut command = Command::new(binary("assay-audit")?);
        command
            .args(["witness", "--listen", "127.0.0.1:0", "--log", log])
            .arg("--key")
            .arg(self.key_file())
            .arg("--state")
            .arg(self.dir.path().join("state"));
        let service = Service::spawn(&mut command, &name, self.dir.path())?;
        let url = wait::until("a witness that listens", wait::REACTION, async || {
            let printed = service.printed();
            let url = printed
                .split([' ', ','])
                .find(|word| word.starts_with("http://") && printed.contains("knows checkpoints"));
            Ok(url.map(str::to_owned))
        })
        .await
        .with_context(|| service.printed())?;
        self.service = Some(service);
        Ok(url)
    }

    pub(crate) async fn kill(&mut self) -> Result<()> {
        let service = self.service.take().context("the witness is not running")?;
        service.kill().await
    }
}

/// Posts to a witness.
pub(crate) async fn add(url: &str, body: &str) -> Result<Response> {
    http::post_text(&format!("{url}/add-checkpoint"), body).await
}
