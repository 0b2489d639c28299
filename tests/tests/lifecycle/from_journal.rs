//! A certificate that the HSM service signed and the signer does not know: its database was set back. An operator revokes it
//! from the journal.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use assay_operator::services;
use assay_tests::crl::Crl;
use assay_tests::device::{Anchors, Device};
use assay_tests::installation::{Installation, auditor, service, set};
use assay_tests::ocsp::Responder;
use assay_tests::query::serial_hex;
use assay_tests::store::Snapshot;
use assay_tests::tiers::Tiers;
use assay_tests::{tool, wait};
use serde_json::Value;
use tokio::process::Command;

const INTERVAL: [&str; 2] = ["audit", "checkpoint_interval"];

struct Pair {
    installation: Installation,
    tiers: Tiers,
    anchors: Anchors,
}

impl Pair {
    /// A pair whose signer forgot the two certificates that come with it.
    async fn after_a_setback() -> Result<(Self, [Vec<u8>; 2])> {
        let mut installation = Installation::start_with(&["--ocsp"]).await?;
        installation.stop().await?;
        // The HSM service signs no head over the records that are lost, so that the log still continues its tree.
        let signer = installation.path("signer.toml");
        set(&signer, &INTERVAL, "1h")?;
        let mut pair = Self {
            anchors: Anchors::of(&installation)?,
            tiers: Tiers::start(&installation).await?,
            installation,
        };
        let before = wait::until("the head of the start", wait::REACTION, async || {
            Snapshot::under_a_head(&pair.installation.ready().dir, pair.installation.scratch())
        })
        .await?;
        let hidden = [pair.enrol("hidden-1").await?, pair.enrol("hidden-2").await?];
        pair.tiers.kill_signer().await?;
        before.restore()?;
        set(&signer, &INTERVAL, "1s")?;
        pair.tiers.start_again().await?;
        Ok((pair, hidden))
    }

    async fn enrol(&self, name: &str) -> Result<Vec<u8>> {
        let subject = format!("CN={name},O=Example");
        let challenge = self.installation.challenge(&subject, &[]).await?;
        let url = self.tiers.url("devices");
        let answer = Device::new()?
            .enrol(&url, &self.anchors, &subject, &challenge)
            .await?;
        Ok(answer.certificate()?.to_vec())
    }

    /// Where the frontend serves this path.
    fn at(&self, path: &str) -> String {
        self.tiers.url("devices").replace("scep/devices", path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.installation.scratch().join(name)
    }

    /// As the user of the HSM service, who alone may read it.
    async fn export_journal(&self, name: &str) -> Result<PathBuf> {
        let (program, _) = service(&self.installation.ready().dir, "hsm")?;
        let mut command = Command::from(program.command());
        command.args(["journal", "export", "--config"]);
        command.arg(self.installation.path("hsm.toml"));
        let exported = tool::run(&mut command, &[]).await?.succeeded()?;
        let file = self.file(name);
        std::fs::write(&file, exported.stdout)?;
        Ok(file)
    }

    async fn revoke(&self, file: &Path, what: &str) -> Result<tool::Ran> {
        let file = file.to_string_lossy();
        let arguments = ["--json", "cert", "revoke", what, "--from-journal", &file];
        let reason = ["--reason", "key-compromise"];
        self.installation
            .assay(&[&arguments[..], &reason].concat())
            .await
    }

    /// The CRL that lists a certificate, as soon as the frontend serves it.
    async fn listed(&self, certificate: &[u8]) -> Result<Crl> {
        let lists = |crl: &Crl| Ok(crl.reason(certificate)?.is_some());
        Crl::once(&self.installation, &self.at("crl/ca.crl"), lists).await
    }

    /// The verifier's report on the log and the journal, once no record is made between the two exports.
    async fn verified(&self) -> Result<Value> {
        let trust = self.file("trust");
        let made = ["audit", "trust", "--out", &trust.to_string_lossy()];
        self.installation.assay(&made).await?.succeeded()?;
        let mut attempt = 0;
        wait::until(
            "both exports at one checkpoint",
            wait::REACTION,
            async || {
                attempt += 1;
                self.installation.under_checkpoint().await?;
                let export = self.file(&format!("export-{attempt}"));
                let made = ["export", "--out", &export.to_string_lossy()];
                self.installation.assay(&made).await?.succeeded()?;
                let journal = self.export_journal(&format!("journal-{attempt}")).await?;
                let [export, trust, journal] =
                    [&export, &trust, &journal].map(|file| file.to_string_lossy().into_owned());
                let verify = ["verify", &export, "--trust", &trust, "--journal", &journal];
                let ran = auditor(&[&["--json"][..], &verify].concat()).await?;
                let report: Value = serde_json::from_str(&ran.text())?;
                let bad = report.get("bad").and_then(Value::as_array);
                let bad = bad.context("no findings")?;
                let moved = |it: &Value| it.get("check").is_some_and(|it| it == "VER-34");
                Ok((!bad.iter().any(moved)).then_some(report))
            },
        )
        .await
    }
}

#[tokio::test]
async fn what_only_the_journal_knows_is_revoked_everywhere_and_named_by_the_verifier() -> Result<()>
{
    let (pair, [first, second]) = Pair::after_a_setback().await?;
    let causes = wait::until("a cause", wait::REACTION, async || {
        let answer = pair.tiers.readiness().await?;
        let causes = String::from_utf8_lossy(&answer.body).into_owned();
        Ok(causes
            .contains("that the log does not have")
            .then_some(causes))
    })
    .await?;
    ensure!(
        causes.contains("the HSM service signed 2 certificates"),
        "{causes}"
    );
    // Nothing is issued meanwhile.
    ensure!(pair.enrol("pump-1").await.is_err());
    let serials = [serial_hex(&first)?, serial_hex(&second)?];
    let revoke = ["cert", "revoke", &serials[0]];
    let refused = pair.installation.assay(&revoke).await?.failed()?;
    ensure!(
        refused.all().contains("no certificate has the serial"),
        "{}",
        refused.all()
    );

    let journal = pair.export_journal("journal").await?;
    let done = pair.revoke(&journal, &serials[0]).await?.succeeded()?;
    let done: Value = serde_json::from_str(&done.text())?;
    assert_eq!(
        (&done["imported"], &done["changed"]),
        (&true.into(), &true.into())
    );
    let crl = pair.listed(&first).await?;
    assert_eq!(crl.reason(&first)?.as_deref(), Some("Key Compromise"));
    let responder = Responder::at(&pair.at("ocsp"), &pair.installation);
    assert_eq!(responder.status(&first).await?, "keyCompromise");

    // The other one is found by itself, and what the signer knows is left alone.
    let done = pair.revoke(&journal, "--all-unknown").await?.succeeded()?;
    let done: Value = serde_json::from_str(&done.text())?;
    assert_eq!(done["revoked"].as_array().map(Vec::len), Some(1), "{done}");
    assert_eq!(done["revoked"][0]["serial"], serials[1].as_str());
    assert_eq!(done["left"], Value::Array(Vec::new()));
    pair.tiers.until_ready().await?;
    let crl = pair.listed(&second).await?;
    let known = pair.enrol("pump-2").await?;
    assert_eq!(crl.reason(&known)?, None);
    let shown = ["cert", "show", &serials[1]];
    let shown = pair.installation.assay(&shown).await?.succeeded()?.text();
    ensure!(
        shown.contains("imported from the journal, revoked since"),
        "{shown}"
    );
    let listed = ["cert", "list", "--state", "imported"];
    let listed = pair.installation.assay(&listed).await?.succeeded()?.text();
    assert!(
        serials
            .iter()
            .all(|serial| listed.contains(serial.as_str())),
        "{listed}"
    );

    let report = pair.verified().await?;
    assert_eq!(report["bad"], Value::Array(Vec::new()), "{report}");
    if services::have_own_users() {
        assert_eq!(report["verdict"], "proven", "{report}");
    }
    let events = report["journal"]["events"]
        .as_array()
        .context("no events")?;
    let named = events
        .iter()
        .filter(|it| it["kind"] == "certificate.imported");
    let named: Vec<_> = named.filter_map(|it| it["detail"].as_str()).collect();
    assert_eq!(named.len(), 2, "{report}");
    for (detail, serial) in named.iter().zip(&serials) {
        ensure!(detail.starts_with(serial.as_str()), "{detail}");
    }

    // An export that does not hold, or does not have it, revokes nothing.
    let damaged = pair.file("damaged");
    let bytes = std::fs::read(&journal)?;
    std::fs::write(&damaged, &bytes[..bytes.len() - 1])?;
    let unknown = "4a".repeat(17);
    for (file, what, said) in [
        (&damaged, serials[0].as_str(), "the export ends early"),
        (&damaged, "--all-unknown", "the export ends early"),
        (&journal, &unknown, "no entry has the serial number"),
    ] {
        let refused = pair.revoke(file, what).await?.failed()?.all();
        ensure!(refused.contains(said), "{refused}");
        ensure!(refused.contains(&*file.to_string_lossy()), "{refused}");
    }
    Ok(())
}
