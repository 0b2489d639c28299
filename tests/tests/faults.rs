//! Each process is killed in the middle of enrolments, as a power cut or an out-of-memory kill would: nothing that was
//! acknowledged is lost, nothing is signed that was not decided, and what was decided is finished.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use assay_tests::audit::Record;
use assay_tests::device::{Anchors, Device, Message};
use assay_tests::http;
use assay_tests::installation::{Installation, set};
use assay_tests::metrics::Metrics;
use assay_tests::operator::Operator;
use assay_tests::store::{block_writes, open_intents};
use assay_tests::tiers::Tiers;
use assay_tests::{process, wait};
use openssl::x509::X509;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Devices that enrol at a time, each with a key of its own.
const DEVICES: usize = 6;

/// Enrolments of each device in a round.
const ENROLMENTS: usize = 5;

/// Acknowledged enrolments after which the kill comes, so that it comes in the middle.
const BEFORE_THE_KILL: usize = 8;

/// Rounds of a process whose kill leaves nothing behind by design.
const ROUNDS: usize = 3;

/// A kill of the signer leaves an open intent in about every second round, so that this many rounds have none in less than
/// one of 10^8 runs.
const ROUNDS_UNTIL_AN_OPEN_INTENT: usize = 30;

/// Counts token operations by role, on the signer's metrics.
const TOKEN_OPERATIONS: &str = "assay_token_operation_seconds_count";

/// An enrolment that has its CertRep or still waits for one.
struct Enrolment {
    device: Arc<Device>,
    message: Message,
    certificate: Option<Vec<u8>>,
}

/// Two services under load, and what the devices were told so far.
struct Scene {
    installation: Installation,
    tiers: Tiers,
    anchors: Anchors,
    devices: Vec<Arc<Device>>,
    enrolled: Vec<Enrolment>,
}

impl Scene {
    async fn set() -> Result<Self> {
        let mut installation = Installation::start().await?;
        installation.stop().await?;
        // With one session the queue before the token is long, and so is the time an intent is open.
        set(&installation.path("hsm.toml"), &["threads"], 1)?;
        let tiers = Tiers::start(&installation).await?;
        let anchors = Anchors::of(&installation)?;
        let devices = (0..DEVICES)
            .map(|_| Device::new().map(Arc::new))
            .collect::<Result<_>>()?;
        Ok(Self {
            installation,
            tiers,
            anchors,
            devices,
            enrolled: Vec::new(),
        })
    }

    /// Enrolments that nobody has asked for yet, each with its own challenge and name.
    async fn prepare(&self, round: usize) -> Result<Vec<Enrolment>> {
        let names: Vec<String> = (0..DEVICES * ENROLMENTS)
            .map(|nth| format!("CN=device-{round}-{nth},O=Example"))
            .collect();
        let file = self.installation.scratch().join("subjects.txt");
        std::fs::write(&file, names.join("\n"))?;
        let file = file.to_string_lossy();
        let arguments = [
            "challenge",
            "issue",
            "--profile",
            "devices",
            "--from",
            &file,
        ];
        let challenges = self
            .installation
            .assay(&arguments)
            .await?
            .succeeded()?
            .text();
        let mut enrolments = Vec::new();
        for ((name, challenge), device) in names
            .iter()
            .zip(challenges.lines())
            .zip(self.devices.iter().cycle())
        {
            let csr = device.csr(name, Some(challenge), &[])?;
            let message = device.pkcs_req(&self.anchors, &csr).await?;
            enrolments.push(Enrolment {
                device: Arc::clone(device),
                message,
                certificate: None,
            });
        }
        ensure!(enrolments.len() == names.len(), "a challenge a line");
        Ok(enrolments)
    }

    /// Starts to send enrolments from all devices at once; the number acknowledged is announced as it grows.
    fn load(
        &self,
        enrolments: Vec<Enrolment>,
    ) -> (JoinSet<Vec<Enrolment>>, watch::Receiver<usize>) {
        let (acknowledged, watched) = watch::channel(0);
        let acknowledged = Arc::new(acknowledged);
        let mut rest = enrolments.into_iter();
        let mut load = JoinSet::new();
        for _ in 0..DEVICES {
            let share: Vec<Enrolment> = rest.by_ref().take(ENROLMENTS).collect();
            let (url, anchors) = (self.tiers.url("devices"), self.anchors.clone());
            let acknowledged = Arc::clone(&acknowledged);
            load.spawn(async move {
                let mut done = Vec::new();
                for mut enrolment in share {
                    if send(&mut enrolment, &url, &anchors).await.is_ok() {
                        acknowledged.send_modify(|count| *count += 1);
                    }
                    done.push(enrolment);
                }
                done
            });
        }
        (load, watched)
    }

    /// Sends again, byte for byte, what got no answer, until each device has its certificate.
    async fn finish(&mut self, enrolments: Vec<Enrolment>) -> Result<()> {
        let url = self.tiers.url("devices");
        for mut enrolment in enrolments {
            if enrolment.certificate.is_none() {
                wait::until(
                    "a device comes again and is served",
                    wait::REACTION,
                    async || Ok(send(&mut enrolment, &url, &self.anchors).await.ok()),
                )
                .await?;
            }
            self.enrolled.push(enrolment);
        }
        Ok(())
    }

    /// What must hold after every round.
    async fn holds(&self) -> Result<()> {
        let mut operator = Operator::connect(&self.installation.ready().dir).await?;
        let records = operator.audit(0).await?;
        let decided = serials(&records, "intent.opened");
        let issued = serials(&records, "request.issued");
        let listed = operator.certificates().await?;

        let mut told = BTreeSet::new();
        for enrolment in &self.enrolled {
            let certificate = enrolment
                .certificate
                .as_ref()
                .context("a device without a certificate")?;
            let serial = serial(certificate)?;
            let kept = operator
                .certificate(&serial)
                .await
                .context("an acknowledged certificate is lost")?;
            assert_eq!(
                &kept.der, certificate,
                "{serial} is another certificate now"
            );
            assert!(told.insert(serial), "two devices have one serial");
        }
        for certificate in &listed {
            let serial = &certificate.serial;
            assert!(
                decided.contains_key(serial),
                "{serial} was signed without an intent"
            );
            assert_eq!(
                issued.get(serial),
                decided.get(serial),
                "{serial}: one record, of what was decided"
            );
        }
        assert_eq!(
            issued.len(),
            listed.len(),
            "a record for each certificate and the other way round"
        );
        assert_eq!(operator.status().await?.open_intents, 0);
        // The demo enrolled one device of its own; nobody else has a certificate.
        assert_eq!(listed.len(), told.len() + 1, "one certificate a challenge");
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_signer_loses_nothing_acknowledged_and_finishes_what_it_decided() -> Result<()> {
    let mut scene = Scene::set().await?;
    let mut left_open = 0;
    let mut round = 0;
    while round < ROUNDS || left_open == 0 {
        ensure!(
            round < ROUNDS_UNTIL_AN_OPEN_INTENT,
            "no kill left an open intent"
        );
        let (load, mut acknowledged) = scene.load(scene.prepare(round).await?);
        acknowledged
            .wait_for(|count| *count >= BEFORE_THE_KILL)
            .await?;
        scene.tiers.kill_signer().await?;
        let enrolments = load.join_all().await.into_iter().flatten().collect();
        let open = open_intents(&scene.installation.ready().dir)?;

        scene.tiers.restart().await?;
        scene.finish(enrolments).await?;

        scene.holds().await?;
        let mut operator = Operator::connect(&scene.installation.ready().dir).await?;
        let issued = serials(&operator.audit(0).await?, "request.issued");
        for (serial, tbs_digest) in &open {
            let finished = issued.get(serial);
            assert_eq!(
                finished,
                Some(tbs_digest),
                "the open intent {serial} was not finished as it was"
            );
        }
        left_open += open.len();
        round += 1;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_frontend_loses_nothing_and_serves_again_after_a_restart() -> Result<()> {
    let mut scene = Scene::set().await?;
    for round in 0..ROUNDS {
        let (load, mut acknowledged) = scene.load(scene.prepare(round).await?);
        acknowledged
            .wait_for(|count| *count >= BEFORE_THE_KILL)
            .await?;
        scene.tiers.kill_frontend().await?;
        let enrolments = load.join_all().await.into_iter().flatten().collect();
        scene.tiers.restart().await?;
        scene.finish(enrolments).await?;
        scene.holds().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_hsm_service_is_found_again_while_the_signer_runs_on() -> Result<()> {
    let mut scene = Scene::set().await?;
    let signer = scene.tiers.signer()?;
    for round in 0..ROUNDS {
        let (load, mut acknowledged) = scene.load(scene.prepare(round).await?);
        acknowledged
            .wait_for(|count| *count >= BEFORE_THE_KILL)
            .await?;
        let killed = scene.tiers.kill_hsm().await?;
        let enrolments = load.join_all().await.into_iter().flatten().collect();
        scene.finish(enrolments).await?;
        scene.tiers.until_ready().await?;
        scene.holds().await?;
        assert_ne!(scene.tiers.hsm().await?, killed);
    }
    assert_eq!(scene.tiers.signer()?, signer);
    assert!(process::is_running(signer));
    Ok(())
}

#[tokio::test]
async fn nothing_is_signed_while_the_log_cannot_be_written() -> Result<()> {
    let installation = Installation::start().await?;
    let ready = installation.ready();
    let url = installation.url("devices")?;
    let challenge = installation.challenge("CN=sensor-1,O=Example", &[]).await?;
    let anchors = Anchors::of(&installation)?;
    let device = Device::new()?;
    let csr = device.csr("CN=sensor-1,O=Example", Some(&challenge), &[])?;
    let message = device.pkcs_req(&anchors, &csr).await?;
    let signed = async || {
        let metrics = Metrics::scrape(&ready.metrics.signer).await?;
        Ok::<f64, anyhow::Error>(metrics.sum(TOKEN_OPERATIONS, &["role=\"ca-sign\""]))
    };
    let before = signed().await?;

    let blocked = block_writes(&ready.dir)?;
    let put_off = http::post(url, &message.bytes).await?;
    assert_eq!(put_off.status, 503, "{}", put_off.text());
    assert!(signed().await? <= before);
    drop(blocked);

    device.post(url, &anchors, &message).await?.certificate()?;
    assert!(signed().await? > before);
    Ok(())
}

async fn send(enrolment: &mut Enrolment, url: &str, anchors: &Anchors) -> Result<()> {
    let answer = enrolment
        .device
        .post(url, anchors, &enrolment.message)
        .await?;
    enrolment.certificate = Some(answer.certificate()?.to_vec());
    Ok(())
}

/// Serial and TBS digest of each record of a kind; a serial may come once only.
fn serials(records: &[Record], kind: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for record in records.iter().filter(|record| record.kind() == kind) {
        let serial = record.text("serial").to_owned();
        let twice = found.insert(serial.clone(), record.text("tbs_digest").to_owned());
        assert!(twice.is_none(), "{serial} has two records of {kind}");
    }
    found
}

fn serial(certificate: &[u8]) -> Result<String> {
    let serial = X509::from_der(certificate)?.serial_number().to_bn()?;
    Ok(hex::encode(serial.to_vec()))
}
