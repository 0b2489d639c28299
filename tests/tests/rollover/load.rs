//! The switch under load: devices that ask for the CA's certificates each time, that keep those of before, and that took
//! the next ones ahead, all at once.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::SystemTime;

use anyhow::{Context, Result, bail, ensure};
use assay_tests::certificate::{Judges, write_pem};
use assay_tests::device::{Device, KnownCa};
use assay_tests::installation::binary;
use assay_tests::tool::run;
use assay_tests::wait;
use tokio::process::Command;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use super::{Scene, subject};

/// Each kind of device enrols at least this often before the switch, and again once the next CA is named.
const LEAST: usize = 10;
/// Names that are added to the inventory whenever it has run out, so that no machine is too fast for them.
const SUPPLY: usize = 300;

const KINDS: [Knows; 3] = [Knows::Present, Knows::Old, Knows::Next];

/// What a device knows of the CA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Knows {
    /// It asks each time.
    Present,
    /// What it learnt before the switch.
    Old,
    /// What was announced.
    Next,
}

/// A certificate, DER, the CA that it was asked of, and whether that was after the switch.
struct Issued {
    certificate: Vec<u8>,
    known: Arc<KnownCa>,
    after: bool,
}

/// Devices at work, until told to stop.
struct Load {
    old: Arc<KnownCa>,
    next: Arc<KnownCa>,
    shared: Arc<Shared>,
    devices: JoinSet<Result<(Knows, Vec<Issued>)>>,
}

/// What all devices share.
struct Shared {
    url: String,
    challenge: String,
    switch_at: SystemTime,
    names: Mutex<Names>,
    /// Enrolments of each kind of device.
    enrolled: [AtomicUsize; KINDS.len()],
    stop: AtomicBool,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_enrolment_fails_while_a_ca_takes_over_and_both_chains_verify() -> Result<()> {
    let before = async |scene: &Scene| {
        let mut load = Load::start(scene).await?;
        load.enrols(LEAST).await?;
        Ok(load)
    };
    let (scene, mut load) = Scene::before_the_switch("1h", &[], before).await?;
    scene.switched(&load.next).await?;
    load.enrols(LEAST).await?;
    load.shared.stop.store(true, Ordering::Relaxed);
    let mut all = Vec::new();
    while let Some(ended) = load.devices.join_next().await {
        let (knows, issued) = ended??;
        let after = issued.iter().filter(|issued| issued.after).count();
        let before = issued.len() - after;
        ensure!(
            before >= LEAST && after >= LEAST,
            "{knows:?}: {before} before and {after} after the switch"
        );
        check_issuer(&load, knows, &issued)?;
        all.push(issued);
    }
    ensure!(all.len() == KINDS.len(), "{} kinds of devices", all.len());

    let both = [
        (&load.old, &scene.installation.ready().ca_pem),
        (&load.next, &scene.next_file("ca.pem")),
    ];
    for (known, ca) in both {
        let judges = Judges::under(&scene.installation, ca);
        let of_it = all
            .iter()
            .flatten()
            .filter(|issued| issued.known.ca == known.ca);
        // The judges are processes; what OpenSSL's library says of all of them was asked before.
        for issued in of_it.step_by(40) {
            let file = scene.installation.scratch().join("judged.pem");
            write_pem(&issued.certificate, &file)?;
            judges.accept(&file).await?;
        }
    }
    ensure!(scene.records("request.refused").await?.is_empty());
    ensure!(scene.records("request.deferred").await?.is_empty());
    for kind in ["ca.announced", "ca.switched"] {
        // The switch is recorded once the signer next looks at the time.
        wait::until(kind, wait::REACTION, async || {
            Ok((scene.records(kind).await?.len() == 1).then_some(()))
        })
        .await?;
    }
    scene.audited(&[]).await
}

impl Load {
    async fn start(scene: &Scene) -> Result<Self> {
        let old = scene.present().await?;
        let next = Arc::new(old.next(scene.url()?).await?);
        let old = Arc::new(old);
        ensure!(old.ca != next.ca, "the next CA is the old one");
        let mut load = Self {
            shared: Arc::new(Shared {
                url: scene.installation.url("fleet")?.to_owned(),
                challenge: scene.installation.ready().fleet_challenge.clone(),
                switch_at: scene.switch_at,
                names: Mutex::new(Names {
                    dir: scene.installation.ready().dir.clone(),
                    next: 0,
                    supplied: 0,
                }),
                enrolled: Default::default(),
                stop: AtomicBool::new(false),
            }),
            old,
            next,
            devices: JoinSet::new(),
        };
        for (kind, knows) in KINDS.into_iter().enumerate() {
            let known = match knows {
                Knows::Present => None,
                Knows::Old => Some(Arc::clone(&load.old)),
                Knows::Next => Some(Arc::clone(&load.next)),
            };
            let shared = Arc::clone(&load.shared);
            load.devices
                .spawn(async move { Ok((knows, shared.run(kind, known).await?)) });
        }
        Ok(load)
    }

    /// Waits until each kind of device has enrolled `count` times more; a device that fails ends the wait.
    async fn enrols(&mut self, count: usize) -> Result<()> {
        let shared = Arc::clone(&self.shared);
        let enrolled = || {
            shared
                .enrolled
                .iter()
                .map(|one| one.load(Ordering::Relaxed))
        };
        let wanted: Vec<_> = enrolled().map(|before| before + count).collect();
        wait::until("enrolments of each kind", wait::START, async || {
            if let Some(ended) = self.devices.try_join_next() {
                ended??;
                bail!("a device ended by itself");
            }
            let all = enrolled().zip(&wanted).all(|(now, wanted)| now >= *wanted);
            Ok(all.then_some(()))
        })
        .await
    }
}

impl Shared {
    /// Enrols one name after the other until told to stop, with what the device knows or, where that is nothing, what it
    /// asks for each time.
    async fn run(&self, kind: usize, known: Option<Arc<KnownCa>>) -> Result<Vec<Issued>> {
        let device = Device::new()?;
        let mut all = Vec::new();
        while !self.stop.load(Ordering::Relaxed) {
            let name = self.names.lock().await.take().await?;
            let after = SystemTime::now() >= self.switch_at;
            let asked = match &known {
                None => Arc::new(KnownCa::present(&self.url).await?),
                Some(known) => Arc::clone(known),
            };
            let subject = subject(&name);
            let answer = device
                .enrol(&self.url, &asked.anchors, &subject, &self.challenge)
                .await?;
            let certificate = answer.certificate()?.to_vec();
            all.push(Issued {
                certificate,
                known: asked,
                after,
            });
            let enrolled = self.enrolled.get(kind).context("no such kind")?;
            enrolled.fetch_add(1, Ordering::Relaxed);
        }
        Ok(all)
    }
}

/// Names on the inventory of `fleet`, which is extended whenever they have run out.
struct Names {
    dir: PathBuf,
    next: usize,
    supplied: usize,
}

impl Names {
    async fn take(&mut self) -> Result<String> {
        if self.next == self.supplied {
            let more = self.supplied..self.supplied + SUPPLY;
            let names: String = more.clone().map(|number| name(number) + "\n").collect();
            let file = self.dir.join("names.txt");
            std::fs::write(&file, names)?;
            let mut assay = Command::new(binary("assay")?);
            assay.arg("--dir").arg(&self.dir);
            assay.args(["inventory", "add", "--profile", "fleet", "--from"]);
            assay.arg(&file);
            run(&mut assay, &[]).await?.succeeded()?;
            self.supplied = more.end;
        }
        self.next += 1;
        Ok(name(self.next - 1))
    }
}

/// Each certificate is of the CA whose RA was asked; who asks each time gets first the one and then the other.
fn check_issuer(load: &Load, knows: Knows, issued: &[Issued]) -> Result<()> {
    for one in issued {
        ensure!(
            one.known.has_issued(&one.certificate)?,
            "{knows:?}: a certificate of another CA"
        );
    }
    let of_next = issued
        .iter()
        .filter(|issued| issued.known.ca == load.next.ca);
    let of_next = of_next.count();
    match knows {
        Knows::Old => ensure!(of_next == 0),
        Knows::Next => ensure!(of_next == issued.len()),
        Knows::Present => {
            let early = issued
                .iter()
                .any(|one| !one.after && one.known.ca == load.next.ca);
            ensure!(!early, "the next CA was named before its time");
            ensure!(
                of_next > 0 && of_next < issued.len(),
                "{of_next} of the next CA"
            );
        }
    }
    Ok(())
}

fn name(number: usize) -> String {
    format!("tracker-{number}")
}
