//! Refusals have a budget of their own; enrolments do not queue behind them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use assay_tests::device::{Anchors, Device, Message};
use assay_tests::http;
use assay_tests::installation::Installation;
use assay_tests::metrics::Metrics;
use assay_tests::query::RENEWAL_REQ;
use assay_tests::wait;
use tokio::task::JoinSet;

use crate::with_limits;

/// What a device waits, in turn without and with a flood, so that what else the machine does meets both alike.
#[tokio::test]
async fn enrolments_keep_their_latency_under_a_flood_of_refusals() -> Result<()> {
    /// A queue behind the attackers shows in each round. Measured on two cores with nine busy processes per core, other work
    /// alone made one of 40 rounds look like it: fewer than one in eight, with 95 % confidence. All six do in fewer than four of
    /// 10^6 runs if they are independent.
    const ROUNDS: usize = 6;
    const ENROLMENTS: usize = 5;
    const SIGNED_PER_SECOND: u32 = 2;
    /// The attackers take processor time from everybody on the machine; what must not happen is a queue behind them.
    const FACTOR: u32 = 4;

    let limits = [("refusal_rate", i64::from(SIGNED_PER_SECOND).into())];
    let installation = with_limits(&limits).await?;
    let mut devices = devices(&installation, 2 * ROUNDS * ENROLMENTS).await?;
    let attack = Arc::new(attack(&installation).await?);
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let first = devices.split_off(devices.len() - ENROLMENTS);
        let second = devices.split_off(devices.len() - ENROLMENTS);
        let quiet = median(latencies(&installation, first).await?)?;

        let flood = Flood::start(&installation, &attack).await?;
        let loud = median(latencies(&installation, second).await?)?;
        let Flooded {
            signed,
            deferred,
            seconds,
        } = flood.stop().await?;
        assert!(
            deferred > signed,
            "{deferred} beyond the budget, {signed} within"
        );
        // The bucket, full at first, and what ran into it meanwhile.
        let allowed = f64::from(SIGNED_PER_SECOND) * (1.0 + seconds);
        assert!(
            f64::from(signed) <= allowed,
            "{signed} signed in {seconds} s"
        );
        rounds.push((quiet, loud));
        if loud <= quiet * FACTOR {
            return Ok(());
        }
    }
    bail!("without a flood and under one: {rounds:?}")
}

/// What does not open has a budget too: past it a stranger's message is not decrypted, and a device that is known renews.
#[tokio::test]
async fn past_the_budget_for_what_does_not_open_strangers_wait_and_renewals_go_on() -> Result<()> {
    const UNDECIPHERABLE_PER_SECOND: u32 = 5;
    const RENEWALS: u32 = 3;
    let limits = [
        ("refusal_rate", 100_000.into()),
        (
            "undecipherable_rate",
            i64::from(UNDECIPHERABLE_PER_SECOND).into(),
        ),
    ];
    let installation = with_limits(&limits).await?;
    let anchors = Anchors::of(&installation)?;
    let url = installation.url("devices")?;
    let (device, message) = devices(&installation, 1).await?.remove(0);
    let answer = device.post(url, &anchors, &message).await?;
    let device = device.holding(answer.certificate()?);
    let mut strangers = devices(&installation, 1).await?;
    let attack = Arc::new(attack(&installation).await?);

    let before = decryptions(&installation).await?;
    let flood = Flood::start(&installation, &attack).await?;
    for _ in 0..RENEWALS {
        let csr = Device::new()?.csr("CN=latency-0,O=Example", None, &[])?;
        let message = device.of_type(&anchors, RENEWAL_REQ, &csr).await?;
        device.post(url, &anchors, &message).await?.certificate()?;
    }
    let Flooded {
        signed,
        deferred,
        seconds,
    } = flood.stop().await?;
    let spent = decryptions(&installation).await? - before;
    assert!((spent - f64::from(signed + RENEWALS)).abs() < f64::EPSILON);
    // The bucket, full at first, what ran into it, and those that were at work when it was spent.
    let allowed = f64::from(UNDECIPHERABLE_PER_SECOND) * (1.0 + seconds);
    assert!(
        f64::from(signed) <= allowed + f64::from(ATTACKERS),
        "{signed} decrypted, {deferred} not, in {seconds} s"
    );

    let (stranger, message) = strangers.remove(0);
    wait::until("a first enrolment", wait::REACTION, async || {
        Ok(stranger.post(url, &anchors, &message).await.ok())
    })
    .await?
    .certificate()?;
    Ok(())
}

async fn decryptions(installation: &Installation) -> Result<f64> {
    let metrics = Metrics::scrape(&installation.ready().metrics.signer).await?;
    Ok(metrics.sum(
        "assay_token_operation_seconds_count",
        &["role=\"ra-decrypt\""],
    ))
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

async fn latencies(
    installation: &Installation,
    devices: Vec<(Device, Message)>,
) -> Result<Vec<Duration>> {
    let anchors = Anchors::of(installation)?;
    let url = installation.url("devices")?;
    let mut latencies = Vec::with_capacity(devices.len());
    for (device, message) in devices {
        let begin = Instant::now();
        let answer = device.post(url, &anchors, &message).await?;
        latencies.push(begin.elapsed());
        answer.certificate()?;
    }
    Ok(latencies)
}

fn median(mut latencies: Vec<Duration>) -> Result<Duration> {
    latencies.sort_unstable();
    let middle = latencies.get(latencies.len() / 2);
    middle.copied().context("no enrolment")
}

/// An envelope that opens to a CSR of another's key: it costs a decryption, and nothing public is wrong with it.
async fn attack(installation: &Installation) -> Result<Vec<u8>> {
    let (signer, stranger) = (Device::new()?, Device::new()?);
    let csr = stranger.csr("CN=flood,O=Example", Some("none"), &[])?;
    let anchors = Anchors::of(installation)?;
    Ok(signer.pkcs_req(&anchors, &csr).await?.bytes)
}

/// Each sends again as soon as it was answered, which is on a tick: together several times the budget.
const ATTACKERS: u32 = 4;

/// Attackers at work.
struct Flood {
    begin: Instant,
    counts: Arc<Counts>,
    attackers: JoinSet<Result<()>>,
}

#[derive(Default)]
struct Counts {
    stop: AtomicBool,
    signed: AtomicU32,
    deferred: AtomicU32,
}

/// What became of a flood.
struct Flooded {
    signed: u32,
    deferred: u32,
    seconds: f64,
}

impl Flood {
    /// Returns once the budget is spent, so that what is measured then is measured beyond it.
    async fn start(installation: &Installation, attack: &Arc<Vec<u8>>) -> Result<Self> {
        let url: Arc<str> = installation.url("devices")?.into();
        let counts = Arc::<Counts>::default();
        let begin = Instant::now();
        let mut attackers = JoinSet::new();
        for _ in 0..ATTACKERS {
            let (url, attack, counts) = (url.clone(), attack.clone(), counts.clone());
            attackers.spawn(async move {
                while !counts.stop.load(Ordering::Relaxed) {
                    match http::post(&url, &attack).await?.status {
                        200 => counts.signed.fetch_add(1, Ordering::Relaxed),
                        503 => counts.deferred.fetch_add(1, Ordering::Relaxed),
                        other => anyhow::bail!("HTTP {other}"),
                    };
                }
                Ok(())
            });
        }
        wait::until("the budget spent", wait::REACTION, async || {
            let deferred = counts.deferred.load(Ordering::Relaxed);
            let signed = counts.signed.load(Ordering::Relaxed);
            Ok((deferred > signed).then_some(()))
        })
        .await?;
        Ok(Self {
            begin,
            counts,
            attackers,
        })
    }

    async fn stop(mut self) -> Result<Flooded> {
        self.counts.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.attackers.join_next().await {
            ended??;
        }
        Ok(Flooded {
            signed: self.counts.signed.load(Ordering::Relaxed),
            deferred: self.counts.deferred.load(Ordering::Relaxed),
            seconds: self.begin.elapsed().as_secs_f64(),
        })
    }
}
