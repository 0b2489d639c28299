//! A certificate of ours is the source that authorises its successor.

use anyhow::{Context, Result};
use assay_tests::certificate::{Judges, write_pem};
use assay_tests::device::{Device, dns_names};
use assay_tests::query::{PKCS_REQ, RENEWAL_REQ, serial_hex};
use openssl::x509::X509;

use crate::{Scene, subject};

/// RFC 8894 section 2.3: some clients say RenewalReq, others PKCSReq under the certificate they have.
#[tokio::test]
async fn either_message_type_renews_over_a_new_key_under_the_issued_certificate() -> Result<()> {
    let mut scene = Scene::set().await?;
    for (message_type, name) in [(RENEWAL_REQ, "pump-1"), (PKCS_REQ, "pump-2")] {
        let old = scene.enrol("devices", name).await?;
        let new = Device::new()?;
        let csr = new.csr(&subject(name), None, &[])?;
        let message = old.of_type(&scene.anchors, message_type, &csr).await?;

        let (answer, record) = scene.post("devices", &old, &message).await?;

        let certificate = answer.certificate()?;
        let record = record.context(message_type)?;
        assert_eq!(record.kind(), "request.issued");
        assert_eq!(
            X509::from_der(certificate)?
                .public_key()?
                .public_key_to_der()?,
            new.spki()?
        );
        let file = scene.installation.scratch().join("renewed.pem");
        write_pem(certificate, &file)?;
        Judges::of(&scene.installation).accept(&file).await?;
        // devices.toml: supersede = "keep".
        let (state, successor) = scene.state(old.certificate()).await?;
        assert_eq!(
            (state.as_str(), successor),
            ("issued", serial_hex(certificate)?)
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_renewal_keeps_its_names_and_takes_the_challenge_of_the_first_enrolment_again()
-> Result<()> {
    let mut scene = Scene::set().await?;
    let name = subject("pump-1");
    let challenge = scene
        .installation
        .challenge(&name, &["dns:pump-1.example.com"])
        .await?;
    let sans = [dns_names(&["pump-1.example.com"])?];
    let device = Device::new()?;
    let csr = device.csr(&name, Some(&challenge), &sans)?;
    let message = device.pkcs_req(&scene.anchors, &csr).await?;
    let (first, _) = scene.post("devices", &device, &message).await?;
    let device = device.holding(first.certificate()?);

    // As clients do that keep their configuration: the challenge is spent, and of no more use than none.
    let new = Device::new()?;
    let csr = new.csr(&name, Some(&challenge), &sans)?;
    let message = device.of_type(&scene.anchors, RENEWAL_REQ, &csr).await?;
    let (second, record) = scene.post("devices", &device, &message).await?;

    let record = record.context("no record")?;
    assert_eq!(record.kind(), "request.issued", "{record:?}");
    let names = X509::from_der(second.certificate()?)?.subject_alt_names();
    let names = names.context("no SAN")?;
    let name = names.get(0).and_then(|name| name.dnsname());
    assert_eq!(name, Some("pump-1.example.com"));
    Ok(())
}

#[tokio::test]
async fn a_renewal_over_the_same_key_is_a_new_certificate_where_the_profile_allows_it() -> Result<()>
{
    let mut scene = Scene::set().await?;
    let device = scene.enrol("devices", "pump-1").await?;
    let csr = device.csr(&subject("pump-1"), None, &[])?;
    let message = device.of_type(&scene.anchors, RENEWAL_REQ, &csr).await?;
    let (answer, _) = scene.post("devices", &device, &message).await?;
    let certificate = answer.certificate()?;
    assert_ne!(certificate, device.certificate());
    assert_eq!(
        X509::from_der(certificate)?
            .public_key()?
            .public_key_to_der()?,
        device.spki()?
    );
    Ok(())
}
