//! Requests that wait for approval while the CA changes.

use anyhow::{Context, Result, ensure};
use assay_tests::device::{Answer, Device, KnownCa};
use openssl::x509::X509;

use super::{Scene, subject};

const APPROVAL: &str = "ticket = 'ROLLOVER-1'\n[approval]\nexpires = '1h'\n";

#[tokio::test]
async fn a_request_that_waits_over_the_switch_is_issued_under_the_ca_whose_ra_is_polled()
-> Result<()> {
    let (
        scene,
        Waiting {
            url,
            old,
            next,
            devices,
        },
    ) = Scene::before_the_switch("1h", &[], wait_for_approval).await?;
    scene.switched(&next).await?;
    let listed = scene
        .installation
        .assay(&["--json", "request", "list"])
        .await?;
    let listed: serde_json::Value = serde_json::from_str(&listed.succeeded()?.text())?;
    for request in listed.as_array().context("no list")? {
        let id = super::text(request, "id")?;
        scene
            .installation
            .assay(&["request", "approve", id])
            .await?
            .succeeded()?;
    }
    for ((device, transaction), known) in devices.iter().zip([&old, &next]) {
        let issuer = X509::from_der(&known.ca)?;
        let poll = device.poll(&known.anchors, &issuer, transaction).await?;
        let answer = device.post(&url, &known.anchors, &poll).await?;
        ensure!(known.has_issued(answer.certificate()?)?);
    }
    Ok(())
}

/// Devices whose requests wait, each with its transactionID, and the two CAs.
struct Waiting {
    url: String,
    old: KnownCa,
    next: KnownCa,
    devices: Vec<(Device, String)>,
}

async fn wait_for_approval(scene: &Scene) -> Result<Waiting> {
    scene
        .installation
        .add_profile("approved", "devices", APPROVAL)
        .await?;
    let url = scene.installation.url_of("approved")?;
    let old = scene.present().await?;
    let next = old.next(&url).await?;
    let mut devices = Vec::new();
    for name in ["keeps-the-old", "learns-the-new"] {
        let challenge = scene
            .installation
            .challenge_of("approved", &subject(name))
            .await?;
        let device = Device::new()?;
        let csr = device.csr(&subject(name), Some(&challenge), &[])?;
        let message = device.pkcs_req(&old.anchors, &csr).await?;
        assert_eq!(
            device.post(&url, &old.anchors, &message).await?,
            Answer::Pending
        );
        devices.push((device, message.transaction_id().to_owned()));
    }
    Ok(Waiting {
        url,
        old,
        next,
        devices,
    })
}
