//! What OCSP costs: the token nothing by questions, and a stated little by signing ahead.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use assay_tests::device::{Anchors, Device, Message};
use assay_tests::http;
use assay_tests::operator::Operator;
use assay_tests::store::{alter, multiply_certificates};
use assay_tests::wait;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use crate::Scene;

/// What is timed runs alone, also where tests share a process.
pub(crate) static ALONE: Mutex<()> = Mutex::const_new(());

/// A response is signed for CertIDs of SHA-1, and one for SHA-256.
pub(crate) const HASHES: f64 = 2.0;

const TRY_LATER: &[u8] = &[0x30, 3, 0x0a, 1, 3];
const UNAUTHORIZED: &[u8] = &[0x30, 3, 0x0a, 1, 6];

/// Roles whose operations come with time, whatever anybody asks: health, and the head of the log.
const OF_TIME: [&str; 2] = ["probe", "log-sign"];

/// Operations by role as the HSM service counts them, but for those that come with time, and its CPU seconds.
async fn token(scene: &Scene) -> Result<(BTreeMap<String, u64>, f64)> {
    let mut operator = Operator::connect(&scene.installation.ready().dir).await?;
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    let hsm = operator.status().await?.hsm.context("no HSM service")?;
    counts.extend(hsm.operations);
    counts.retain(|role, _| !OF_TIME.contains(&role.as_str()));
    Ok((counts, hsm.cpu_seconds))
}

/// The service reports its counts with each probe: waits until it has reported all responses that the signer has signed.
pub(crate) async fn counted(scene: &Scene) -> Result<(BTreeMap<String, u64>, f64)> {
    wait::until("the service's counts", wait::REACTION, async || {
        let signed = scene.signer().await?.sum("assay_ocsp_signed_total", &[]);
        let (counts, cpu) = token(scene).await?;
        let of_the_service = counts.get("ocsp-sign").copied().unwrap_or_default();
        Ok((of_the_service as f64 >= HASHES * signed).then_some((counts, cpu)))
    })
    .await
}

/// Asks without a pause, half of the questions about serials that nobody has, until told to stop.
struct Flood {
    stop: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    signed: Arc<AtomicUsize>,
    tasks: JoinSet<Result<()>>,
}

impl Flood {
    fn start(scene: &Scene, known: &[u8]) -> Result<Self> {
        const ATTACKERS: usize = 8;
        let mut flood = Self {
            stop: Arc::default(),
            asked: Arc::default(),
            signed: Arc::default(),
            tasks: JoinSet::new(),
        };
        let request = scene.responder.request(known)?;
        for attacker in 0..ATTACKERS {
            let (stop, asked, signed) = (
                Arc::clone(&flood.stop),
                Arc::clone(&flood.asked),
                Arc::clone(&flood.signed),
            );
            let (url, known) = (scene.responder.url().to_owned(), request.clone());
            flood.tasks.spawn(async move {
                let mut number = attacker;
                while !stop.load(Ordering::Relaxed) {
                    // The serial is the last of a request without extensions.
                    let mut body = known.clone();
                    if number % 2 == 1 {
                        let end = body.len().saturating_sub(8);
                        body.truncate(end);
                        body.extend(number.to_be_bytes());
                    }
                    let answer = http::post_as(&url, "application/ocsp-request", &body).await?;
                    let unsigned = [TRY_LATER, UNAUTHORIZED].contains(&answer.body.as_slice());
                    anyhow::ensure!(unsigned || answer.body.len() > 100, "{answer:?}");
                    asked.fetch_add(1, Ordering::Relaxed);
                    if !unsigned {
                        signed.fetch_add(1, Ordering::Relaxed);
                    }
                    number += ATTACKERS + 1;
                }
                Ok(())
            });
        }
        Ok(flood)
    }

    async fn reaches(&self, questions: usize) -> Result<()> {
        wait::until("a flood", wait::START, async || {
            Ok((self.asked.load(Ordering::Relaxed) >= questions).then_some(()))
        })
        .await
    }

    async fn stop(mut self) -> Result<(usize, usize)> {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.tasks.join_next().await {
            ended??;
        }
        Ok((
            self.asked.load(Ordering::Relaxed),
            self.signed.load(Ordering::Relaxed),
        ))
    }
}

#[tokio::test]
async fn a_flood_of_questions_costs_no_token_operation_and_keeps_nobody_from_enrolling()
-> Result<()> {
    const QUESTIONS: usize = 4_000;
    let _alone = ALONE.lock().await;
    let scene = Scene::set().await?;
    let known = scene.enrolled("pump-1").await?;
    let (before, _) = counted(&scene).await?;

    let flood = Flood::start(&scene, &known)?;
    flood.reaches(QUESTIONS).await?;
    let (during, _) = counted(&scene).await?;
    assert_eq!(before, during);
    // A device among them; and the status of the known one still goes from the signer to the frontend.
    let second = crate::enrol(&scene.installation, "pump-2").await?;
    let revoke = ["cert", "revoke", &assay_tests::query::serial_hex(&known)?];
    scene.installation.assay(&revoke).await?.succeeded()?;
    scene.until(&known, "unspecified").await?;
    let (asked, signed) = flood.stop().await?;
    assert!(signed > asked / 4, "{signed} of {asked}");
    scene.until(&second, "good").await?;

    let (after, _) = counted(&scene).await?;
    // The second device's responses, and those of the revocation.
    let responses = |counts: &BTreeMap<String, u64>| counts.get("ocsp-sign").copied();
    let more = responses(&after).zip(responses(&before));
    let more = more.map(|(after, before)| after - before);
    // Twice, where the schedule found the revoked one at the same moment.
    assert!(
        [Some(4), Some(6)].contains(&more),
        "{more:?} after {asked} questions"
    );
    println!("{asked} questions, {signed} of them answered by a response: no token operation");
    Ok(())
}

/// Prints how fast responses are signed ahead and what that takes of the token; enrolments beside it do not wait for its
/// end. `assay-bench ocsp` has a bound on their latency.
#[tokio::test]
async fn signing_ahead_is_cheap_and_enrolments_go_first() -> Result<()> {
    const CERTIFICATES: u32 = 2_000;
    const FLEET: f64 = 100_000.0;
    /// Enrolments that begin and end one after the other before all responses are signed: none queues behind them.
    const ENROLMENTS: usize = 8;
    /// Certificates per second: a small part of what the token can sign, so that enrolments come first on any machine.
    const RATE: u32 = 50;
    let _alone = ALONE.lock().await;
    let mut scene = Scene::set().await?;
    scene.enrolled("pump-0").await?;
    let beside = messages(&scene, "beside", ENROLMENTS).await?;
    let alone = messages(&scene, "alone", ENROLMENTS).await?;
    let alone = latency(&scene, &alone).await?;

    // As fast as it goes.
    scene.installation.stop().await?;
    multiply_certificates(&scene.installation.ready().dir, CERTIFICATES).await?;
    let config = scene.installation.path("signer.toml");
    assay_tests::installation::set(&config, &["ocsp", "rate"], 100_000)?;
    scene.serve().await?;
    let begin = Instant::now();
    let (first, cpu_before) = signed(&scene).await?;
    let last = wait::until("all responses", wait::START, async || {
        let (signed, _) = signed(&scene).await?;
        Ok((signed >= f64::from(CERTIFICATES)).then_some(signed))
    })
    .await?;
    let rate = (last - first) / begin.elapsed().as_secs_f64();
    let (_, cpu_after) = counted(&scene).await?;
    let cpu = (cpu_after - cpu_before) / (last - first).max(1.0);

    // At a low rate, with devices beside it.
    scene.installation.stop().await?;
    // All of them are due again.
    let due = "UPDATE ocsp_responses SET refresh_at = 2";
    alter(&scene.installation.ready().dir, due).await?;
    assay_tests::installation::set(&config, &["ocsp", "rate"], i64::from(RATE))?;
    scene.serve().await?;
    let beside = latency(&scene, &beside).await?;
    let due = scene.signer().await?.sum("assay_ocsp_signed_total", &[]);
    assert!(due < f64::from(CERTIFICATES), "over before the enrolments");
    println!(
        "{CERTIFICATES} certificates, two responses each: {rate:.0} certificates a second at most, {:.0} µs of the worker's \
         CPU each; {FLEET:.0} at 200 a second: {:.0} s of a day, {:.1} % of one core meanwhile; \
         an enrolment: {alone:?} alone, {beside:?} beside it",
        cpu * 1e6,
        FLEET / 200.0,
        cpu * 200.0 * 100.0,
    );
    Ok(())
}

async fn signed(scene: &Scene) -> Result<(f64, f64)> {
    let signed = scene.signer().await?.sum("assay_ocsp_signed_total", &[]);
    Ok((signed, token(scene).await?.1))
}

/// A device and what it posts to be enrolled.
pub(crate) type Waiting = (Device, Message);

pub(crate) async fn messages(scene: &Scene, name: &str, count: usize) -> Result<Vec<Waiting>> {
    let anchors = Anchors::of(&scene.installation)?;
    let mut messages = Vec::new();
    for number in 0..count {
        let subject = format!("CN={name}-{number},O=Example");
        let challenge = scene.installation.challenge_of("devices", &subject).await?;
        let device = Device::new()?;
        let csr = device.csr(&subject, Some(&challenge), &[])?;
        let message = device.pkcs_req(&anchors, &csr).await?;
        messages.push((device, message));
    }
    Ok(messages)
}

/// The median of what enrolments take, one after the other.
pub(crate) async fn latency(scene: &Scene, messages: &[Waiting]) -> Result<Duration> {
    let anchors = Anchors::of(&scene.installation)?;
    let url = scene.installation.url("devices")?;
    let mut took = Vec::new();
    for (device, message) in messages {
        let begin = Instant::now();
        let answer = device.post(url, &anchors, message).await?;
        took.push(begin.elapsed());
        answer.certificate()?;
    }
    took.sort_unstable();
    took.get(took.len() / 2).copied().context("no enrolment")
}
