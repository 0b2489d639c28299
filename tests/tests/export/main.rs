//! The auditor's evidence, taken home: an export of a real log is whole, readable by programs of others, proven offline
//! without a signer, and not proven once it was touched.

mod damage;
mod journal;
mod pins;
mod range;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use assay_tests::device::{Anchors, Device};
use assay_tests::installation::{Installation, auditor, binary};
use assay_tests::process::Service;
use assay_tests::tool::{self, Ran};
use assay_tests::wait;
use openssl::sha::sha256;
use serde_json::Value;
use tokio::process::Command;

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path is not UTF-8")
}

fn json(ran: &Ran) -> Result<Value> {
    Ok(serde_json::from_str(&ran.text())?)
}

/// The material that an auditor gets: an export and, from elsewhere, what to hold it to.
struct Evidence {
    export: PathBuf,
    trust: PathBuf,
}

impl Evidence {
    async fn of(installation: &Installation, name: &str, range: &[&str]) -> Result<Self> {
        let evidence = Self {
            export: installation.scratch().join(name),
            trust: installation.scratch().join(format!("{name}.trust")),
        };
        installation.under_checkpoint().await?;
        let trust = ["audit", "trust", "--out", text(&evidence.trust)?];
        installation.assay(&trust).await?.succeeded()?;
        let export = [&["export", "--out", text(&evidence.export)?], range].concat();
        installation.assay(&export).await?.succeeded()?;
        Ok(evidence)
    }

    async fn verify(&self) -> Result<Ran> {
        let (export, trust) = (text(&self.export)?, text(&self.trust)?);
        auditor(&["--json", "verify", export, "--trust", trust]).await
    }
}

async fn all_records(installation: &Installation) -> Result<Vec<String>> {
    let list = ["audit", "list", "--raw", "--limit", "10000"];
    let ran = installation.assay(&list).await?.succeeded()?;
    // Told newest first.
    Ok(ran.text().lines().rev().map(str::to_owned).collect())
}

/// Every file below a directory, by its path in it.
fn files(dir: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut open = vec![dir.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = text(path.strip_prefix(dir)?)?.to_owned();
                found.insert(name, std::fs::read(&path)?);
            }
        }
    }
    Ok(found)
}

async fn enrol(installation: &Installation, name: &str) -> Result<Vec<u8>> {
    let subject = format!("CN={name},O=Example");
    let challenge = installation.challenge(&subject, &[]).await?;
    let anchors = Anchors::of(installation)?;
    let url = installation.url("devices")?;
    let answer = Device::new()?
        .enrol(url, &anchors, &subject, &challenge)
        .await?;
    Ok(answer.certificate()?.to_vec())
}

/// Issued, refused for its name, refused for its challenge, revoked, held and released; names added and struck off.
async fn a_busy_day(installation: &Installation) -> Result<[Vec<u8>; 3]> {
    let lost = enrol(installation, "day-1").await?;
    let held = enrol(installation, "day-2").await?;
    let kept = enrol(installation, "day-3").await?;
    let anchors = Anchors::of(installation)?;
    let url = installation.url("devices")?;
    let bound = installation.challenge("CN=day-4,O=Example", &[]).await?;
    for (subject, challenge) in [
        ("CN=other,O=Example", bound.as_str()),
        ("CN=x,O=Example", "guess"),
    ] {
        let refused = Device::new()?
            .enrol(url, &anchors, subject, challenge)
            .await;
        ensure!(refused?.certificate().is_err(), "{subject} was issued");
    }
    for (certificate, reason) in [(&lost, "keyCompromise"), (&held, "certificateHold")] {
        let serial = serial(certificate)?;
        let revoke = ["cert", "revoke", &serial, "--reason", reason];
        installation.assay(&revoke).await?.succeeded()?;
    }
    installation
        .assay(&["cert", "release", &serial(&held)?])
        .await?
        .succeeded()?;
    installation.add_to_inventory(&["pump-1", "pump-2"]).await?;
    let remove = ["inventory", "remove", "--profile", "fleet", "pump-2"];
    installation.assay(&remove).await?.succeeded()?;
    Ok([lost, held, kept])
}

fn serial(certificate: &[u8]) -> Result<String> {
    let certificate = openssl::x509::X509::from_der(certificate)?;
    Ok(hex::encode(certificate.serial_number().to_bn()?.to_vec()))
}

#[tokio::test]
async fn an_export_of_a_busy_day_is_whole_and_proven_without_the_signer() -> Result<()> {
    let mut installation = Installation::start().await?;
    let issued = a_busy_day(&installation).await?;
    let evidence = Evidence::of(&installation, "day", &[]).await?;
    let records = all_records(&installation).await?;
    // Whatever the proof needs is in the two directories.
    installation.stop().await?;

    let found = files(&evidence.export)?;
    let manifest: Value = serde_json::from_slice(&found["manifest.json"])?;
    let listed = manifest["files"].as_array().context("no files")?;
    assert_eq!(listed.len(), found.len() - 1, "of all but the manifest");
    for file in listed {
        let path = file["path"].as_str().context("no path")?;
        let content = &found[path];
        assert_eq!(file["sha256"], hex::encode(sha256(content)), "{path}");
        assert_eq!(file["octets"], content.len(), "{path}");
    }

    let size = manifest["size"].as_u64().context("no size")?;
    let entries = &found[&format!("tile/entries/000.p/{size}")];
    let mut rest = entries.as_slice();
    for record in &records[..usize::try_from(size)?] {
        let (length, after) = rest.split_first_chunk().context("a bundle is cut off")?;
        let (entry, after) = after.split_at(u16::from_be_bytes(*length).into());
        assert_eq!(entry, record.as_bytes(), "byte for byte as it is listed");
        rest = after;
    }
    assert!(rest.is_empty());

    let pem = evidence.export.join("certificates/000.pem");
    let read = [
        "crl2pkcs7",
        "-nocrl",
        "-certfile",
        text(&pem)?,
        "-outform",
        "DER",
    ];
    let mut openssl = tool::command("openssl", "openssl")?;
    let bag = tool::run(openssl.args(read), &[]).await?.succeeded()?;
    for certificate in &issued {
        let there = bag
            .stdout
            .windows(certificate.len())
            .any(|window| window == certificate);
        assert!(
            there,
            "each certificate is in the export, readable by OpenSSL"
        );
    }

    let verdict = json(&evidence.verify().await?.succeeded()?)?;
    assert_eq!(verdict["verdict"], "proven", "{verdict}");
    assert_eq!(verdict["size"], size, "{verdict}");
    Ok(())
}

#[tokio::test]
async fn what_is_there_is_never_overwritten_and_what_is_cut_off_is_not_kept() -> Result<()> {
    let installation = Installation::start().await?;
    installation.under_checkpoint().await?;
    let out = installation.scratch().join("export");
    let arguments = ["export", "--out", text(&out)?];
    std::fs::create_dir(&out)?;
    let ran = installation.assay(&arguments).await?.failed()?;
    assert_eq!(ran.status.code(), Some(2), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("nothing is ever overwritten"),
        "{}",
        ran.stderr
    );
    std::fs::remove_dir(&out)?;

    // A signer that stops answering in the middle: stopped by a signal here, it never sends the rest.
    let signer = std::fs::read_to_string(installation.path("run/signer.pid"))?;
    signal(signer.trim(), "STOP").await?;
    let mut command = Command::new(binary("assay")?);
    command
        .arg("--dir")
        .arg(installation.path(""))
        .args(arguments);
    let export = Service::spawn(&mut command, "export", installation.scratch())?;
    let partial = installation.scratch().join("export.partial");
    wait::until("an export on its way", wait::REACTION, async || {
        Ok(partial.exists().then_some(()))
    })
    .await?;
    let status = export.stop().await?;
    signal(signer.trim(), "CONT").await?;
    assert!(!status.success());
    assert!(!out.exists() && !partial.exists(), "nothing is left");
    installation.assay(&arguments).await?.succeeded()?;
    Ok(())
}

async fn signal(pid: &str, name: &str) -> Result<()> {
    let mut kill = tool::command("kill", "procps")?;
    tool::run(kill.args([&format!("-{name}"), pid]), &[])
        .await?
        .succeeded()?;
    Ok(())
}
