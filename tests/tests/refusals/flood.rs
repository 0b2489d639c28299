//! Refusals have a budget of their own; enrolments do not queue behind them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use assay_tests::device::{Anchors, Device, Message};
use assay_tests::http;
use assay_tests::installation::Installation;
use assay_tests::wait;

use crate::with_limits;

/// What a device waits, with and without a flood, each its own device with a challenge of its own.
#[tokio::test]
async fn enrolments_keep_their_latency_under_a_flood_of_refusals() -> Result<()> {
    const ENROLMENTS: usize = 15;
    const ATTACKERS: usize = 6;
    const SIGNED_PER_SECOND: u32 = 20;
    /// The attackers take processor time from everybody on the machine; what must not happen is a queue behind them.
    const FACTOR: u32 = 5;

    let limits = [("refusal_rate", i64::from(SIGNED_PER_SECOND).into())];
    let installation = with_limits(&limits).await?;
    let mut devices = devices(&installation, 2 * ENROLMENTS).await?;
    let under_flood = devices.split_off(ENROLMENTS);

    let quiet = median_latency(&installation, devices).await?;
    let flood = Flood::start(&installation, ATTACKERS).await?;
    let begin = Instant::now();
    let loud = median_latency(&installation, under_flood).await;
    let (signed, deferred) = flood.stop().await?;
    let seconds = begin.elapsed().as_secs_f64();

    let loud = loud?;
    assert!(
        loud <= quiet * FACTOR,
        "{loud:?} under a flood, {quiet:?} without"
    );
    assert!(
        deferred > 0,
        "the flood did not pass the budget: {signed} refusals in {seconds} s"
    );
    // The bucket was full when the flood began, and it began before the clock did.
    let allowed = f64::from(SIGNED_PER_SECOND) * (seconds + 2.0);
    assert!(
        f64::from(u32::try_from(signed)?) <= allowed,
        "{signed} signed in {seconds} s"
    );
    Ok(())
}

/// Devices with their requests, ready to be sent.
async fn devices(installation: &Installation, count: usize) -> Result<Vec<(Device, Message)>> {
    let anchors = Anchors::of(installation)?;
    let mut devices = Vec::with_capacity(count);
    for nth in 0..count {
        let subject = format!("CN=latency-{nth},O=Example");
        let challenge = installation.challenge(&subject, &[]).await?;
        let device = Device::new()?;
        let csr = device.csr(&subject, Some(&challenge), &[])?;
        let message = device.pkcs_req(&anchors, &csr).await?;
        devices.push((device, message));
    }
    Ok(devices)
}

async fn median_latency(
    installation: &Installation,
    devices: Vec<(Device, Message)>,
) -> Result<Duration> {
    let anchors = Anchors::of(installation)?;
    let url = installation.url("devices")?;
    let mut latencies = Vec::with_capacity(devices.len());
    for (device, message) in devices {
        let begin = Instant::now();
        let answer = device.post(url, &anchors, &message).await?;
        latencies.push(begin.elapsed());
        answer.certificate()?;
    }
    latencies.sort_unstable();
    latencies
        .get(latencies.len() / 2)
        .copied()
        .context("no enrolment")
}

/// Attackers that send an envelope which opens to another's CSR, as fast as they are answered.
struct Flood {
    stop: Arc<AtomicBool>,
    signed: Arc<AtomicU64>,
    deferred: Arc<AtomicU64>,
    attackers: tokio::task::JoinSet<Result<()>>,
}

impl Flood {
    /// Returns once the budget is spent.
    async fn start(installation: &Installation, attackers: usize) -> Result<Self> {
        let (signer, stranger) = (Device::new()?, Device::new()?);
        let csr = stranger.csr("CN=flood,O=Example", Some("none"), &[])?;
        let anchors = Anchors::of(installation)?;
        let message = Arc::new(signer.pkcs_req(&anchors, &csr).await?.bytes);
        let url: Arc<str> = installation.url("devices")?.into();
        let mut flood = Self {
            stop: Arc::default(),
            signed: Arc::default(),
            deferred: Arc::default(),
            attackers: tokio::task::JoinSet::new(),
        };
        for _ in 0..attackers {
            let (stop, message, url) = (flood.stop.clone(), message.clone(), url.clone());
            let (signed, deferred) = (flood.signed.clone(), flood.deferred.clone());
            flood.attackers.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    match http::post(&url, &message).await?.status {
                        200 => signed.fetch_add(1, Ordering::Relaxed),
                        503 => deferred.fetch_add(1, Ordering::Relaxed),
                        other => anyhow::bail!("HTTP {other}"),
                    };
                }
                Ok(())
            });
        }
        wait::until("the budget spent", wait::REACTION, async || {
            Ok((flood.deferred.load(Ordering::Relaxed) > 0).then_some(()))
        })
        .await?;
        Ok(flood)
    }

    /// How many refusals were signed, and how many put off.
    async fn stop(mut self) -> Result<(u64, u64)> {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.attackers.join_next().await {
            ended??;
        }
        Ok((
            self.signed.load(Ordering::Relaxed),
            self.deferred.load(Ordering::Relaxed),
        ))
    }
}
