//! Messages that were captured, altered or put together from the parts of others.

use anyhow::{Context, Result};
use assay_tests::device::{Device, Twist};

use crate::Scene;

/// Labels of the one private-key operation that hostile bytes could reach.
const DECRYPTION: [&str; 1] = ["role=\"ra-decrypt\""];

#[tokio::test]
async fn a_replayed_message_gets_the_stored_reply_without_a_key_operation() -> Result<()> {
    let mut scene = Scene::set().await?;
    let device = Device::new()?;
    let challenge = scene
        .installation
        .challenge("CN=sensor-1,O=Example", &[])
        .await?;
    let csr = device.csr("CN=sensor-1,O=Example", Some(&challenge), &[])?;
    let message = device.pkcs_req(&scene.anchors, &csr).await?;
    let (first, record) = scene.send("devices", &message).await?;
    assert_eq!(record.kind(), "request.issued");
    let (issued, operations) = (scene.issued().await?, scene.key_operations(&[]).await?);

    let (again, record) = scene.send("devices", &message).await?;

    assert_eq!(again, first);
    assert_eq!(record.kind(), "request.replayed");
    assert_eq!(scene.issued().await?, issued);
    assert!(operations > 0.0 && scene.key_operations(&[]).await? <= operations);
    Ok(())
}

#[tokio::test]
async fn an_unlisted_message_type_never_reaches_decryption() -> Result<()> {
    let mut scene = Scene::set().await?;
    let device = Device::new()?;
    let before = scene.key_operations(&DECRYPTION).await?;
    for message_type in ["18", "0", "1", "3", "23", "019", "-19", "abc"] {
        let challenge = scene
            .installation
            .challenge("CN=sensor-1,O=Example", &[])
            .await?;
        let csr = device.csr("CN=sensor-1,O=Example", Some(&challenge), &[])?;
        let twist = Twist {
            message_type: Some(message_type),
            ..Twist::default()
        };
        let altered = device.message(&scene.anchors, &csr, twist).await?;
        scene
            .refused("devices", &device, &altered)
            .await
            .context(message_type)?;
    }
    assert!(before > 0.0 && scene.key_operations(&DECRYPTION).await? <= before);
    Ok(())
}

#[tokio::test]
async fn a_csr_with_another_key_than_the_signers_is_refused() -> Result<()> {
    let mut scene = Scene::set().await?;
    let (victim, thief) = (Device::new()?, Device::new()?);
    let challenge = scene
        .installation
        .challenge("CN=sensor-1,O=Example", &[])
        .await?;
    let csr = victim.csr("CN=sensor-1,O=Example", Some(&challenge), &[])?;
    let resigned = thief.pkcs_req(&scene.anchors, &csr).await?;
    scene.refused("devices", &thief, &resigned).await?;

    // A captured CSR does not spend the challenge of its owner.
    let message = victim.pkcs_req(&scene.anchors, &csr).await?;
    let (cert_rep, _) = scene.send("devices", &message).await?;
    victim
        .read(&scene.anchors, &message, &cert_rep)
        .await?
        .certificate()?;
    Ok(())
}

#[tokio::test]
async fn a_reply_opens_for_the_verified_signer_and_for_no_other_certificate_in_the_bag()
-> Result<()> {
    let mut scene = Scene::set().await?;
    let (device, eavesdropper) = (Device::new()?, Device::new()?);
    let challenge = scene
        .installation
        .challenge("CN=sensor-1,O=Example", &[])
        .await?;
    let csr = device.csr("CN=sensor-1,O=Example", Some(&challenge), &[])?;
    let twist = Twist {
        bag: Some(vec![eavesdropper.certificate(), device.certificate()]),
        ..Twist::default()
    };
    let message = device.message(&scene.anchors, &csr, twist).await?;
    let (cert_rep, _) = scene.send("devices", &message).await?;
    assert!(
        eavesdropper
            .read(&scene.anchors, &message, &cert_rep)
            .await
            .is_err()
    );
    device
        .read(&scene.anchors, &message, &cert_rep)
        .await?
        .certificate()?;
    Ok(())
}
