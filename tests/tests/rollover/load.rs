//! The switch under load: devices that ask for the CA's certificates each time, that keep those of before, and that took
//! the next ones ahead, all at once.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Result, ensure};
use assay_tests::certificate::{Judges, write_pem};
use assay_tests::device::{Device, KnownCa};

use super::{Scene, subject};

/// How long the load goes on after the switch.
const AFTER: Duration = Duration::from_secs(6);
const LEAD: Duration = Duration::from_secs(8);
/// Names on the inventory; more than can be used in that time.
const NAMES: usize = 6_000;
/// Each kind of device enrols at least so often before the switch and after it.
const LEAST: usize = 10;

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

struct Load {
    url: String,
    challenge: String,
    switch_at: SystemTime,
    old: Arc<KnownCa>,
    next: Arc<KnownCa>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_enrolment_fails_while_a_ca_takes_over_and_both_chains_verify() -> Result<()> {
    let scene = Scene::announced(LEAD, "1h").await?;
    let names: Vec<String> = (0..NAMES).map(name).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    scene.installation.add_to_inventory(&names).await?;
    let old = scene.present().await?;
    let load = Arc::new(Load {
        url: scene.installation.url("fleet")?.to_owned(),
        challenge: scene.installation.ready().fleet_challenge.clone(),
        switch_at: scene.switch_at,
        next: Arc::new(old.next(scene.url()?).await?),
        old: Arc::new(old),
    });
    ensure!(load.old.ca != load.next.ca, "the next CA is the old one");

    let kinds = [Knows::Present, Knows::Old, Knows::Next];
    let devices = kinds.into_iter().zip((0..).step_by(NAMES / kinds.len()));
    let at_work: Vec<_> = devices
        .map(|(knows, first)| tokio::spawn(Arc::clone(&load).run(knows, first)))
        .collect();
    let mut all = Vec::new();
    for (knows, at_work) in kinds.into_iter().zip(at_work) {
        let issued = at_work.await??;
        let after = issued.iter().filter(|issued| issued.after).count();
        let before = issued.len() - after;
        ensure!(
            before >= LEAST && after >= LEAST,
            "{knows:?}: {before} before and {after} after the switch"
        );
        check_issuer(&load, knows, &issued)?;
        all.push(issued);
    }
    scene.switched(&load.next).await?;

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
        assert_eq!(scene.records(kind).await?.len(), 1, "{kind}");
    }
    scene.audited(&[]).await
}

impl Load {
    /// Enrols one name after the other until some time after the switch.
    async fn run(self: Arc<Self>, knows: Knows, first: usize) -> Result<Vec<Issued>> {
        let device = Device::new()?;
        let mut all = Vec::new();
        for number in first..first + NAMES / 3 {
            let now = SystemTime::now();
            if now >= self.switch_at + AFTER {
                return Ok(all);
            }
            let known = match knows {
                Knows::Present => Arc::new(KnownCa::present(&self.url).await?),
                Knows::Old => Arc::clone(&self.old),
                Knows::Next => Arc::clone(&self.next),
            };
            let subject = subject(&name(number));
            let answer = device
                .enrol(&self.url, &known.anchors, &subject, &self.challenge)
                .await?;
            let certificate = answer.certificate()?.to_vec();
            all.push(Issued {
                certificate,
                known,
                after: now >= self.switch_at,
            });
        }
        anyhow::bail!("{knows:?}: the names were used up before the end")
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
    format!("tracker-{number:04}")
}
