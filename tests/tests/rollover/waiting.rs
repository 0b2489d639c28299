//! Requests that wait for approval while the CA changes.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use assay_tests::device::{Answer, Device};
use openssl::x509::X509;

use super::{Scene, subject};

const APPROVAL: &str = "ticket = 'ROLLOVER-1'\n[approval]\nexpires = '1h'\n";

#[tokio::test]
async fn a_request_that_waits_over_the_switch_is_issued_under_the_ca_whose_ra_is_polled()
-> Result<()> {
    // Long enough for a second version of the policy.
    let scene = Scene::announced(Duration::from_secs(10), "1h").await?;
    scene
        .installation
        .add_profile("approved", "devices", APPROVAL)
        .await?;
    let url = scene.installation.url_of("approved")?;
    let old = scene.present().await?;
    let next = old.next(&url).await?;
    let mut waiting = Vec::new();
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
        waiting.push((device, message.transaction_id().to_owned()));
    }
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
    for ((device, transaction), known) in waiting.iter().zip([&old, &next]) {
        let issuer = X509::from_der(&known.ca)?;
        let poll = device.poll(&known.anchors, &issuer, transaction).await?;
        let answer = device.post(&url, &known.anchors, &poll).await?;
        ensure!(known.has_issued(answer.certificate()?)?);
    }
    Ok(())
}
