//! GetCert and GetCRL: for who holds a certificate in force, and for nobody else.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use assay_scep::FailInfo;
use assay_tests::crl::Crl;
use assay_tests::device::Device;
use assay_tests::http;
use assay_tests::query::{serial, serial_hex};
use openssl::x509::X509;

use crate::Scene;

const REFUSAL: (FailInfo, &str) = (FailInfo::BadCertId, "SIG-15");

#[tokio::test]
async fn a_holder_gets_certificates_by_serial_number_and_the_latest_crl() -> Result<()> {
    let mut scene = Scene::set().await?;
    let device = scene.enrol("devices", "pump-1").await?;
    let other = scene.enrol("devices", "pump-2").await?;
    let url = scene.installation.url_of("devices")?;
    for wanted in [&device, &other] {
        let number = serial(wanted.certificate())?;
        let query = device.get_cert(&scene.anchors, &scene.ca, &number).await?;
        let (answer, _) = scene.post("devices", &device, &query).await?;
        assert_eq!(answer.certificate()?, wanted.certificate());
    }

    let own = serial(device.certificate())?;
    let query = device.get_crl(&scene.anchors, &scene.ca, &own).await?;
    let first = device.fetch_crl(&url, &scene.anchors, &query).await?;
    let first = Crl::judged(&scene.installation, first).await?;
    assert_eq!(first.reason(other.certificate())?, None);
    let revoked = serial_hex(other.certificate())?;
    scene
        .installation
        .assay(&["cert", "revoke", &revoked])
        .await?
        .succeeded()?;
    let query = device.get_crl(&scene.anchors, &scene.ca, &own).await?;
    let second = device.fetch_crl(&url, &scene.anchors, &query).await?;
    let second = Crl::judged(&scene.installation, second).await?;
    assert!(second.number > first.number);
    assert!(second.reason(other.certificate())?.is_some());
    Ok(())
}

#[tokio::test]
async fn strangers_and_unknown_numbers_get_bad_cert_id() -> Result<()> {
    let mut scene = Scene::set().await?;
    let device = scene.enrol("devices", "pump-1").await?;
    let stranger = Device::new()?;
    let own = serial(device.certificate())?;
    let unknown = [0x7f; 16];
    let root = X509::from_pem(&std::fs::read(&scene.installation.ready().root_pem)?)?;
    let cases = [
        ("a stranger", &stranger, &scene.ca.clone(), &own[..]),
        ("an unknown number", &device, &scene.ca.clone(), &unknown),
        ("another issuer", &device, &root, &own),
    ];
    for (case, asker, issuer, number) in cases {
        let query = asker.get_cert(&scene.anchors, issuer, number).await?;
        scene
            .refused("devices", asker, &query, REFUSAL)
            .await
            .context(case)?;
        let query = asker.get_crl(&scene.anchors, issuer, number).await?;
        scene
            .refused("devices", asker, &query, REFUSAL)
            .await
            .context(case)?;
    }

    // Who lost his certificate asks no more.
    scene
        .installation
        .assay(&["cert", "hold", &serial_hex(device.certificate())?])
        .await?
        .succeeded()?;
    let query = device.get_cert(&scene.anchors, &scene.ca, &own).await?;
    scene.refused("devices", &device, &query, REFUSAL).await
}

#[tokio::test]
async fn every_reply_has_a_nonce_of_its_own() -> Result<()> {
    let scene = Scene::set().await?;
    let device = scene.enrol("devices", "pump-1").await?;
    let own = serial(device.certificate())?;
    let url = scene.installation.url_of("devices")?;
    let mut nonces = BTreeSet::new();
    for number in [&own[..], &own, &[0x7f]] {
        let query = device.get_cert(&scene.anchors, &scene.ca, number).await?;
        let reply = http::post(&url, &query.bytes).await?;
        let reply = query.verified(&scene.anchors, &reply.body)?;
        let nonce = reply.sender_nonce().as_bytes().to_vec();
        assert_eq!(nonce.len(), 16);
        assert!(nonces.insert(nonce), "a nonce came twice");
    }
    Ok(())
}
