//! strongSwan's `pki --scepca` and `pki --scep`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use assay_tests::installation::{Installation, pem};
use assay_tests::tool::{Ran, command, run};
use tokio::process::Command;

use crate::hold_to_policy;

const PACKAGE: &str = "strongswan-pki";

/// What `--scepca` brought, told apart by content: strongSwan numbers its files.
struct Anchors {
    ca: PathBuf,
    ra_enc: PathBuf,
    ra_sign: PathBuf,
}

#[tokio::test]
async fn a_device_enrols_with_its_one_time_challenge() -> Result<()> {
    let installation = Installation::start().await?;
    let challenge = installation
        .challenge("CN=gateway-1,O=Example", &["dns:gateway-1.example.com"])
        .await?;
    let url = installation.url("devices")?;
    let anchors = fetch_anchors(&installation, url).await?;
    let key = generate_key(&installation).await?;

    let mut enrol = scep(
        &installation,
        url,
        &anchors,
        &key,
        "O=Example, CN=gateway-1",
    )?;
    enrol.args(["--san", "gateway-1.example.com", "--password", &challenge]);
    let certificate = installation.scratch().join("gateway.pem");
    std::fs::write(
        &certificate,
        run(&mut enrol, &[]).await?.succeeded()?.stdout,
    )?;

    hold_to_policy(
        &installation,
        &certificate,
        "gateway-1",
        &["gateway-1.example.com"],
    )
    .await
}

#[tokio::test]
async fn a_fleet_device_enrols_by_inventory_and_static_challenge_under_an_rsa_ca() -> Result<()> {
    let installation = Installation::start_with(&["--ca-key", "rsa3072"]).await?;
    installation.add_to_inventory(&["tracker-0001"]).await?;
    let url = installation.url("fleet")?;
    let anchors = fetch_anchors(&installation, url).await?;
    let key = generate_key(&installation).await?;

    let enrol = enrol_fleet(&installation, &anchors, &key, "O=Example, CN=tracker-0001").await?;
    let certificate = installation.scratch().join("tracker.pem");
    std::fs::write(&certificate, enrol.succeeded()?.stdout)?;
    hold_to_policy(&installation, &certificate, "tracker-0001", &[]).await?;

    let stranger = enrol_fleet(&installation, &anchors, &key, "O=Example, CN=tracker-0002").await?;
    let refused = stranger.failed()?.all();
    assert!(refused.contains("badRequest"), "{refused}");
    Ok(())
}

async fn enrol_fleet(
    installation: &Installation,
    anchors: &Anchors,
    key: &Path,
    subject: &str,
) -> Result<Ran> {
    let mut enrol = scep(
        installation,
        installation.url("fleet")?,
        anchors,
        key,
        subject,
    )?;
    enrol.args(["--password", &installation.ready().fleet_challenge]);
    run(&mut enrol, &[]).await
}

async fn fetch_anchors(installation: &Installation, url: &str) -> Result<Anchors> {
    let folder = installation.scratch().join("strongswan");
    std::fs::create_dir(&folder)?;
    let mut scepca = command("pki", PACKAGE)?;
    scepca
        .args(["--scepca", "--url", url, "--outform", "pem", "--caout"])
        .arg(folder.join("ca.pem"));
    scepca.arg("--raout").arg(folder.join("ra.pem"));
    run(&mut scepca, &[]).await?.succeeded()?;

    let mut fetched = Vec::new();
    for entry in std::fs::read_dir(&folder)? {
        let file = entry?.path();
        fetched.push((pem(&file)?, file));
    }
    let find = |wanted: &Path| -> Result<PathBuf> {
        let der = pem(wanted)?;
        let found = fetched.iter().find(|(known, _)| *known == der);
        let (_, file) = found.with_context(|| format!("GetCACert lacks {}", wanted.display()))?;
        Ok(file.clone())
    };
    let ready = installation.ready();
    Ok(Anchors {
        ca: find(&ready.ca_pem)?,
        ra_enc: find(&ready.ra_enc_pem)?,
        ra_sign: find(&ready.ra_sign_pem)?,
    })
}

async fn generate_key(installation: &Installation) -> Result<PathBuf> {
    let mut generate = command("pki", PACKAGE)?;
    generate.args([
        "--gen",
        "--type",
        "rsa",
        "--size",
        "2048",
        "--outform",
        "pem",
    ]);
    let key = installation.scratch().join("strongswan.key");
    std::fs::write(&key, run(&mut generate, &[]).await?.succeeded()?.stdout)?;
    Ok(key)
}

fn scep(
    installation: &Installation,
    url: &str,
    anchors: &Anchors,
    key: &Path,
    subject: &str,
) -> Result<Command> {
    let mut scep = command("pki", PACKAGE)?;
    scep.args([
        "--scep",
        "--url",
        url,
        "--dn",
        subject,
        "--outform",
        "pem",
        "--in",
    ])
    .arg(key);
    scep.arg("--cacert-enc")
        .arg(&anchors.ra_enc)
        .arg("--cacert-sig")
        .arg(&anchors.ra_sign);
    scep.arg("--cacert").arg(&anchors.ca);
    scep.arg("--cacert").arg(&installation.ready().root_pem);
    Ok(scep)
}
