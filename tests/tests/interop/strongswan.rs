//! strongSwan's `pki --scepca` and `pki --scep`.

use std::path::{Path, PathBuf};

use anyhow::Result;
use assay_tests::installation::{Installation, pem};
use assay_tests::operator::Operator;
use assay_tests::strongswan::{self, Anchors};
use assay_tests::tool::{Ran, run};
use assay_tests::wait;
use openssl::x509::X509;
use tokio::process::Command;

use crate::hold_to_policy;

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

#[tokio::test]
async fn a_device_renews_its_certificate_over_a_new_key() -> Result<()> {
    let installation = Installation::start().await?;
    let challenge = installation
        .challenge("CN=gateway-1,O=Example", &["dns:gateway-1.example.com"])
        .await?;
    let url = installation.url("devices")?;
    let anchors = fetch_anchors(&installation, url).await?;
    let subject = "O=Example, CN=gateway-1";
    let old_key = generate_key(&installation).await?;
    let mut enrol = scep(&installation, url, &anchors, &old_key, subject)?;
    enrol.args(["--san", "gateway-1.example.com", "--password", &challenge]);
    let old = installation.scratch().join("old.pem");
    std::fs::write(&old, run(&mut enrol, &[]).await?.succeeded()?.stdout)?;

    let kept_key = installation.scratch().join("old.key");
    std::fs::rename(&old_key, &kept_key)?;
    let new_key = generate_key(&installation).await?;
    let mut renew = scep(&installation, url, &anchors, &new_key, subject)?;
    renew.args(["--san", "gateway-1.example.com", "--cert"]);
    renew.arg(&old).arg("--key").arg(&kept_key);
    let new = installation.scratch().join("new.pem");
    std::fs::write(&new, run(&mut renew, &[]).await?.succeeded()?.stdout)?;

    let (old, renewed) = (pem(&old)?, pem(&new)?);
    let key = |der: &[u8]| X509::from_der(der)?.public_key()?.public_key_to_der();
    assert_ne!(key(&old)?, key(&renewed)?);
    hold_to_policy(&installation, &new, "gateway-1", &["gateway-1.example.com"]).await
}

#[tokio::test]
async fn a_device_polls_until_an_operator_approves() -> Result<()> {
    let installation = Installation::start().await?;
    let approval = "ticket = 'INTEROP-1'\n[approval]\nexpires = '1h'\n";
    installation
        .add_profile("approved", "devices", approval)
        .await?;
    let challenge = installation
        .challenge_of("approved", "CN=gateway-1,O=Example")
        .await?;
    let url = installation.url_of("approved")?;
    let anchors = fetch_anchors(&installation, &url).await?;
    let key = generate_key(&installation).await?;
    let mut enrol = scep(
        &installation,
        &url,
        &anchors,
        &key,
        "O=Example, CN=gateway-1",
    )?;
    enrol.args(["--password", &challenge, "--interval", "1s"]);
    let mut operator = Operator::connect(&installation.ready().dir).await?;

    let approve = async {
        let polled = wait::until("a poll", wait::REACTION, async || {
            let records = operator.audit(0).await?;
            let polled = records
                .iter()
                .find(|record| record.kind() == "request.polled");
            Ok(polled.map(|record| record.text("pending_id").to_owned()))
        });
        let id = polled.await?;
        let approve = ["request", "approve", &id];
        installation.assay(&approve).await?.succeeded()
    };
    let (enrolled, approved) = tokio::join!(run(&mut enrol, &[]), approve);
    approved?;
    let certificate = installation.scratch().join("gateway.pem");
    std::fs::write(&certificate, enrolled?.succeeded()?.stdout)?;
    hold_to_policy(&installation, &certificate, "gateway-1", &[]).await
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

/// What `--scepca` brings is what the installation has.
async fn fetch_anchors(installation: &Installation, url: &str) -> Result<Anchors> {
    let anchors = Anchors::fetch(&installation.scratch().join("strongswan"), url).await?;
    let ready = installation.ready();
    for (fetched, wanted) in [
        (&anchors.ca, &ready.ca_pem),
        (&anchors.ra_enc, &ready.ra_enc_pem),
        (&anchors.ra_sign, &ready.ra_sign_pem),
    ] {
        assert_eq!(pem(fetched)?, pem(wanted)?, "{}", wanted.display());
    }
    Ok(anchors)
}

async fn generate_key(installation: &Installation) -> Result<PathBuf> {
    let key = installation.scratch().join("strongswan.key");
    strongswan::generate_key(&key).await?;
    Ok(key)
}

fn scep(
    installation: &Installation,
    url: &str,
    anchors: &Anchors,
    key: &Path,
    subject: &str,
) -> Result<Command> {
    anchors.enrol(url, key, subject, &installation.ready().root_pem)
}
