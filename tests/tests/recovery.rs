//! A signer that lost its state serves again, by the commands of docs/recovery.md, from a backup and the journal of the HSM service.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use assay_operator::services;
use assay_tests::crl::Crl;
use assay_tests::device::{Anchors, Device};
use assay_tests::installation::{Installation, auditor, service};
use assay_tests::query::serial_hex;
use assay_tests::store::Snapshot;
use assay_tests::tiers::Tiers;
use assay_tests::tool::Ran;
use assay_tests::{tool, wait};
use serde_json::Value;
use tokio::process::Command;

struct Scene {
    installation: Installation,
    tiers: Tiers,
    anchors: Anchors,
}

impl Scene {
    async fn start() -> Result<Self> {
        let mut installation = Installation::start().await?;
        installation.stop().await?;
        Ok(Self {
            anchors: Anchors::of(&installation)?,
            tiers: Tiers::start(&installation).await?,
            installation,
        })
    }

    async fn enrol(&self, name: &str) -> Result<Vec<u8>> {
        let subject = format!("CN={name},O=Example");
        let challenge = self.installation.challenge(&subject, &[]).await?;
        let url = self.tiers.url("devices");
        let device = Device::new()?;
        let answer = device.enrol(&url, &self.anchors, &subject, &challenge);
        Ok(answer.await?.certificate()?.to_vec())
    }

    fn file(&self, name: &str) -> PathBuf {
        self.installation.scratch().join(name)
    }

    /// As the user of the service.
    async fn run(&self, name: &str, arguments: &[&str]) -> Result<Ran> {
        let dir = &self.installation.ready().dir;
        let (program, _) = service(dir, name)?;
        let mut command = Command::from(program.command());
        command.args(arguments);
        tool::run(&mut command, &[]).await
    }

    async fn signer(&self, arguments: &[&str]) -> Result<Ran> {
        let config = self.installation.path("signer.toml");
        let config = ["--config", &config.to_string_lossy()];
        self.run("signer", &[&config[..], arguments].concat()).await
    }

    async fn export_journal(&self, name: &str) -> Result<PathBuf> {
        let config = self.installation.path("hsm.toml");
        let arguments = ["journal", "export", "--config", &config.to_string_lossy()];
        let exported = self.run("hsm", &arguments).await?.succeeded()?;
        let file = self.file(name);
        std::fs::write(&file, exported.stdout)?;
        Ok(file)
    }

    async fn export(&self, name: &str) -> Result<PathBuf> {
        self.installation.under_checkpoint().await?;
        let export = self.file(name);
        let made = ["export", "--out", &export.to_string_lossy()];
        self.installation.assay(&made).await?.succeeded()?;
        Ok(export)
    }

    async fn verify(&self, export: &Path, more: &[&str]) -> Result<Value> {
        let trust = self.file("trust");
        if !trust.exists() {
            let made = ["audit", "trust", "--out", &trust.to_string_lossy()];
            self.installation.assay(&made).await?.succeeded()?;
        }
        let [export, trust] = [export, &trust].map(|file| file.to_string_lossy().into_owned());
        let verify = ["--json", "verify", &export, "--trust", &trust];
        let ran = auditor(&[&verify[..], more].concat()).await?;
        Ok(serde_json::from_str(&ran.text())?)
    }

    /// The first CRL that lists a certificate.
    async fn listing(&self, certificate: &[u8]) -> Result<Crl> {
        let url = self.tiers.url("devices");
        let url = url.replace("scep/devices", "crl/ca.crl");
        let lists = |crl: &Crl| Ok(crl.reason(certificate)?.is_some());
        Crl::once(&self.installation, &url, lists).await
    }
}

#[tokio::test]
async fn a_signer_that_lost_its_state_serves_again_from_a_backup_and_the_journal() -> Result<()> {
    let mut scene = Scene::start().await?;
    let kept = scene.enrol("pump-1").await?;
    let dir = scene.installation.ready().dir.clone();
    let scratch = scene.installation.scratch().to_owned();
    let backup = wait::until("a backup", wait::REACTION, async || {
        Snapshot::under_a_head(&dir, &scratch)
    });
    let backup = backup.await?;
    let lost = scene.enrol("pump-2").await?;
    let serials = [serial_hex(&kept)?, serial_hex(&lost)?];
    let revoke = ["cert", "revoke", &serials[0], "--reason", "key-compromise"];
    scene.installation.assay(&revoke).await?.succeeded()?;
    let earlier = scene.export("earlier").await?;

    scene.tiers.kill_signer().await?;
    backup.restore()?;
    let refused = scene.signer(&[]).await?.failed()?.all();
    ensure!(
        refused.contains("the state is older than the log"),
        "{refused}"
    );
    ensure!(refused.contains("docs/recovery.md"), "{refused}");

    let journal = scene.export_journal("journal").await?;
    let journal = journal.to_string_lossy().into_owned();
    let propose = [
        "--propose-recovery",
        "--journal",
        &journal,
        "--policy-floor",
        "3",
        "--reason",
        "a test",
    ];
    let proposed = scene.signer(&propose).await?.succeeded()?;
    let statement = scene.file("statement.json");
    std::fs::write(&statement, proposed.stdout)?;
    let statement = statement.to_string_lossy().into_owned();
    let (certificate, key) = scene.installation.credential("approver-1");
    let approve = [
        "recover",
        "approve",
        &statement,
        "--certificate",
        &certificate,
        "--key",
        &key,
    ];
    let approved = scene.installation.assay(&approve).await?.succeeded()?.all();
    ensure!(approved.contains("a number above 3"), "{approved}");
    let approval = format!("{statement}.approver-1.p7s");
    let recover = |approval| {
        let arguments = ["--recover", &statement, "--journal", &journal];
        [&arguments[..], &["--approval", approval]].concat()
    };
    let refused = scene.signer(&recover(&certificate)).await?.failed()?.all();
    ensure!(
        refused.contains("the statement is not approved"),
        "{refused}"
    );
    let done = scene.signer(&recover(&approval)).await?.succeeded()?.all();
    ensure!(done.contains("1 certificates and 1 revocations"), "{done}");

    scene.tiers.start_again().await?;
    ensure!(
        scene.enrol("pump-3").await.is_err(),
        "a stopped profile issued"
    );
    let listed = ["cert", "list", "--state", "recovered"];
    let listed = scene.installation.assay(&listed).await?.succeeded()?.text();
    ensure!(listed.contains(&serials[1]), "{listed}");
    let proposal = scene.installation.new_proposal();
    let files = scene.installation.ready().policy_dir.clone();
    let resume = ["--resume", "devices"];
    let proposed = scene.installation.propose(&files, &proposal, &resume);
    proposed.await?.succeeded()?;
    let approved = scene.installation.approve(&proposal, "approver-1").await?;
    approved.succeeded()?;
    scene.installation.activate(&proposal).await?.succeeded()?;
    let new = scene.enrol("pump-4").await?;
    let crl = scene.listing(&kept).await?;
    assert_eq!(crl.reason(&kept)?.as_deref(), Some("Key Compromise"));
    assert_eq!((crl.reason(&lost)?, crl.reason(&new)?), (None, None));

    let mut attempt = 0;
    let (export, journal) = wait::until("both at one checkpoint", wait::REACTION, async || {
        attempt += 1;
        let export = scene.export(&format!("export-{attempt}")).await?;
        let journal = scene.export_journal(&format!("journal-{attempt}")).await?;
        let journal = journal.to_string_lossy().into_owned();
        let report = scene.verify(&export, &["--journal", &journal]).await?;
        let bad = report["bad"].as_array().context("no findings")?;
        let moved = bad.iter().any(|it| it["check"] == "VER-34");
        Ok((!moved).then_some((export, journal)))
    })
    .await?;
    let report = scene.verify(&export, &["--journal", &journal]).await?;
    assert_eq!(report["bad"], Value::Array(Vec::new()), "{report:#}");
    assert_eq!(report["verdict"], "incomplete", "{report:#}");
    let open = report["open"].as_array().context("no findings")?;
    ensure!(open.iter().any(|it| it["check"] == "VER-37"), "{report:#}");
    let lost_records = ["--lost-records", &earlier.to_string_lossy()];
    let more = [&["--journal", journal.as_str()][..], &lost_records].concat();
    let report = scene.verify(&export, &more).await?;
    assert_eq!(report["bad"], Value::Array(Vec::new()), "{report:#}");
    let open = report["open"].as_array().context("no findings")?;
    ensure!(open.iter().all(|it| it["check"] != "VER-37"), "{report:#}");
    if services::have_own_users() {
        assert_eq!(report["verdict"], "proven", "{report:#}");
    }
    Ok(())
}
