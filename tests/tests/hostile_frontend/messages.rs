//! Messages that were captured, altered or put together from the parts of others.

use anyhow::Result;
use assay_tests::device::{Device, Twist};

use crate::Scene;

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
    let (issued, operations) = (scene.issued().await?, scene.key_operations().await?);

    let (again, record) = scene.send("devices", &message).await?;

    assert_eq!(again, first);
    assert_eq!(record.kind(), "request.replayed");
    assert_eq!(scene.issued().await?, issued);
    assert!(operations > 0.0 && scene.key_operations().await? <= operations);
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
