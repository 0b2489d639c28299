//! The cost of the processes, and the schedule as the signer reports it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::task::JoinHandle;

use super::http::Http;
use super::stand::{Ready, Stand};
use crate::admin::Admin;
use crate::cpu::{Cpu, Pids};
use crate::failure::{Failure, OrFail, Outcome};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(250);
/// The HSM service tells its counts with each health probe, once per second.
const TOLD: Duration = Duration::from_secs(10);
/// The role of the responder's key.
const ROLE: &str = "ocsp-sign";

pub(super) struct Meter {
    http: Http,
    metrics: String,
    admin: Admin,
    pids: Pids,
    signer: u32,
    extremes: Arc<Mutex<Extremes>>,
    task: JoinHandle<()>,
}

/// What stands at a moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    pub(super) at: Instant,
    /// Certificates whose responses were signed.
    pub(super) signed: f64,
    /// Of the responder's key.
    pub(super) operations: u64,
    pub(super) cpu: Cpu,
}

/// The most and the least seen since the last [`Meter::reset`], but for the store's, which are of the whole run.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Extremes {
    /// Responses that were to be signed.
    pub(super) due: f64,
    /// Until the end of the response that was due first, seconds.
    pub(super) left_seconds: f64,
    /// Octets of the file that SQLite keeps what is not yet in the database in.
    pub(super) wal_octets: u64,
}

impl Extremes {
    const NONE: Self = Self {
        due: 0.0,
        left_seconds: f64::MAX,
        wal_octets: 0,
    };
}

impl Meter {
    pub(super) async fn start(stand: &Stand, ready: &Ready, http: Http) -> Outcome<Self> {
        let installation = stand.installation();
        let mut admin = Admin::connect(&installation).await?;
        let pids = Pids::find(&installation, &admin.status().await?)?;
        let metrics = ready.signer_metrics().to_owned();
        let extremes = Arc::new(Mutex::new(Extremes::NONE));
        let mut wal = stand.state().into_os_string();
        wal.push("-wal");
        let task = tokio::spawn(watch(
            http.clone(),
            metrics.clone(),
            wal.into(),
            Arc::clone(&extremes),
        ));
        Ok(Self {
            http,
            metrics,
            admin,
            pids,
            signer: ready.pids.signer,
            extremes,
            task,
        })
    }

    pub(super) async fn read(&mut self) -> Outcome<Reading> {
        let text = scrape(&self.http, &self.metrics).await?;
        Ok(Reading {
            at: Instant::now(),
            signed: value(&text, "assay_ocsp_signed_total").unwrap_or_default(),
            operations: self.operations().await?,
            cpu: self.pids.read()?,
        })
    }

    /// Waits until so many were signed since the start of the signer.
    pub(super) async fn wait_for(&self, signed: f64, deadline: Instant) -> Outcome<bool> {
        loop {
            let text = scrape(&self.http, &self.metrics).await?;
            if value(&text, "assay_ocsp_signed_total").unwrap_or_default() >= signed {
                return Ok(true);
            }
            if Instant::now() > deadline {
                return Ok(false);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// A reading at a quiet moment: the HSM service has reported all that was signed, or there is a difference.
    pub(super) async fn settled(&mut self, hashes: u64) -> Outcome<Reading> {
        let deadline = Instant::now() + TOLD;
        loop {
            let reading = self.read().await?;
            if reading.operations >= count(reading.signed) * hashes || Instant::now() > deadline {
                return Ok(reading);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Whether they are the same processes as at the beginning.
    pub(super) async fn check(&mut self, stand: &Stand) -> Outcome {
        let now = Pids::find(&stand.installation(), &self.admin.status().await?)?;
        if now == self.pids {
            return Ok(());
        }
        Err(
            Failure::failed("a process was replaced during the benchmark: its CPU time is lost")
                .next("see the logs, and run it again"),
        )
    }

    pub(super) fn extremes(&self) -> Extremes {
        *lock(&self.extremes)
    }

    pub(super) fn reset(&self) {
        let mut extremes = lock(&self.extremes);
        *extremes = Extremes {
            wal_octets: extremes.wal_octets,
            ..Extremes::NONE
        };
    }

    /// Octets of memory that the signer had at most.
    pub(super) fn memory(&self) -> Outcome<u64> {
        let what = "cannot read the signer's memory";
        let path = format!("/proc/{}/status", self.signer);
        let text = std::fs::read_to_string(path).or_fail(what)?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
        Ok(kib.ok_or_else(|| Failure::failed(what))? * 1_024)
    }

    async fn operations(&mut self) -> Outcome<u64> {
        let status = self.admin.status().await?;
        let of = |role: &str| -> u64 {
            status
                .hsm
                .iter()
                .filter_map(|hsm| hsm.operations.get(role))
                .sum()
        };
        Ok(of(ROLE))
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn watch(http: Http, metrics: String, wal: PathBuf, extremes: Arc<Mutex<Extremes>>) {
    loop {
        // A signer that does not answer is reported by the next reading.
        let text = scrape(&http, &metrics).await.unwrap_or_default();
        let octets = std::fs::metadata(&wal).map_or(0, |file| file.len());
        {
            let mut seen = lock(&extremes);
            seen.wal_octets = seen.wal_octets.max(octets);
            if let Some(due) = value(&text, "assay_ocsp_due") {
                seen.due = seen.due.max(due);
            }
            if let Some(left) = value(&text, "assay_ocsp_left_seconds") {
                seen.left_seconds = seen.left_seconds.min(left);
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn scrape(http: &Http, url: &str) -> Outcome<String> {
    Ok(String::from_utf8_lossy(&http.get(url).await?).into_owned())
}

/// Of the first series of this name, whatever its labels: there is one CA.
fn value(text: &str, name: &str) -> Option<f64> {
    text.lines().find_map(|line| {
        let rest = line.strip_prefix(name)?;
        let (labels, value) = rest.rsplit_once(' ')?;
        let is_series = labels.is_empty() || labels.starts_with('{');
        is_series.then(|| value.parse().ok()).flatten()
    })
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a counter, far below 2^52"
)]
pub(super) fn count(signed: f64) -> u64 {
    signed as u64
}

fn lock(extremes: &Mutex<Extremes>) -> std::sync::MutexGuard<'_, Extremes> {
    extremes.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_read_with_its_labels_and_without() {
        let text = "# HELP assay_ocsp_due Responses.\nassay_ocsp_due_not 1\nassay_ocsp_due{ca=\"first\"} 7\nassay_total 3\n";
        assert_eq!(value(text, "assay_ocsp_due"), Some(7.0));
        assert_eq!(value(text, "assay_total"), Some(3.0));
        assert_eq!(value(text, "assay_ocsp"), None);
    }
}
