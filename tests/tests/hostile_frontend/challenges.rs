//! Challenges of others, spent ones, and one used many times at once.

use anyhow::{Context, Result};
use assay_proto::v1::pki_operation_reply::Outcome;
use assay_tests::device::{Device, extension};

use crate::Scene;

/// More at once than the signer works on at once.
const PARALLEL_USES: usize = 100;

#[tokio::test]
async fn a_challenge_opens_no_other_profile_than_its_own() -> Result<()> {
    let mut scene = Scene::set().await?;
    scene.installation.add_to_inventory(&["sensor-1"]).await?;
    let device = Device::new()?;

    let one_time = scene
        .installation
        .challenge("CN=sensor-1,O=Example", &[])
        .await?;
    let csr = device.csr("CN=sensor-1,O=Example", Some(&one_time), &[])?;
    let message = device.pkcs_req(&scene.anchors, &csr).await?;
    scene.refused("fleet", &device, &message).await?;

    let fleet = scene.installation.ready().fleet_challenge.clone();
    let csr = device.csr("CN=sensor-1,O=Example", Some(&fleet), &[])?;
    let message = device.pkcs_req(&scene.anchors, &csr).await?;
    scene.refused("devices", &device, &message).await?;
    Ok(())
}

#[tokio::test]
async fn a_challenge_of_another_device_or_of_nobody_is_refused() -> Result<()> {
    let mut scene = Scene::set().await?;
    let device = Device::new()?;
    let theirs = scene
        .installation
        .challenge("CN=sensor-2,O=Example", &[])
        .await?;
    for challenge in [
        Some(theirs.as_str()),
        Some("a-challenge-that-was-never-issued"),
        Some(""),
        None,
    ] {
        let csr = device.csr("CN=sensor-1,O=Example", challenge, &[])?;
        let message = device.pkcs_req(&scene.anchors, &csr).await?;
        scene
            .refused("devices", &device, &message)
            .await
            .with_context(|| format!("{challenge:?}"))?;
    }
    // The refusals spent nothing of the device that the challenge belongs to.
    let csr = device.csr("CN=sensor-2,O=Example", Some(&theirs), &[])?;
    let message = device.pkcs_req(&scene.anchors, &csr).await?;
    let (cert_rep, record) = scene.send("devices", &message).await?;
    device
        .read(&scene.anchors, &message, &cert_rep)
        .await?
        .certificate()?;
    assert_eq!(record.kind(), "request.issued");
    Ok(())
}

#[tokio::test]
async fn a_spent_challenge_is_refused_for_another_csr() -> Result<()> {
    let mut scene = Scene::set().await?;
    let challenge = scene
        .installation
        .challenge("CN=sensor-1,O=Example", &[])
        .await?;
    let device = Device::new()?;
    let csr = device.csr("CN=sensor-1,O=Example", Some(&challenge), &[])?;
    let message = device.pkcs_req(&scene.anchors, &csr).await?;
    let (cert_rep, _) = scene.send("devices", &message).await?;
    device
        .read(&scene.anchors, &message, &cert_rep)
        .await?
        .certificate()?;

    let thief = Device::new()?;
    let csr = thief.csr("CN=sensor-1,O=Example", Some(&challenge), &[])?;
    let message = thief.pkcs_req(&scene.anchors, &csr).await?;
    scene.refused("devices", &thief, &message).await?;
    Ok(())
}

#[tokio::test]
async fn a_hundred_parallel_uses_of_a_challenge_issue_one_certificate() -> Result<()> {
    let mut scene = Scene::set().await?;
    let challenge = scene
        .installation
        .challenge("CN=sensor-1,O=Example", &[])
        .await?;
    let device = Device::new()?;
    let before = scene.issued().await?;
    let mut messages = Vec::new();
    for nth in 0..PARALLEL_USES {
        // An extension that is ignored makes each CSR another one, so that none is a retransmission.
        let key_identifier = [&[0x04, 0x02][..], &u16::try_from(nth)?.to_be_bytes()].concat();
        let different = extension("2.5.29.14", false, &key_identifier)?;
        let csr = device.csr("CN=sensor-1,O=Example", Some(&challenge), &[different])?;
        messages.push(device.pkcs_req(&scene.anchors, &csr).await?);
    }
    let mut uses = tokio::task::JoinSet::new();
    for message in messages {
        let mut attacker = scene.attacker.clone();
        uses.spawn(async move {
            let outcome = attacker.pki_operation("devices", &message.bytes).await;
            (message, outcome)
        });
    }
    let mut winners = 0;
    for (message, outcome) in uses.join_all().await {
        // Past the refusal budget the signer puts requests off; that is no certificate either.
        if let Outcome::CertRep(cert_rep) = outcome? {
            let answer = device.read(&scene.anchors, &message, &cert_rep).await?;
            winners += usize::from(answer.certificate().is_ok());
        }
    }
    assert_eq!(winners, 1);
    assert_eq!(scene.issued().await?, before + 1);
    Ok(())
}
