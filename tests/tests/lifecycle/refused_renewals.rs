//! Renewals that must not be, each for one reason, named by its rule.

use anyhow::{Context, Result};
use assay_scep::FailInfo;
use assay_tests::device::{Device, dns_names};
use assay_tests::query::{PKCS_REQ, RENEWAL_REQ};
use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::x509::{X509, X509Builder};

use crate::{Scene, subject};

/// Both message types by which a certificate may sign its own renewal.
const EITHER: [&str; 2] = [RENEWAL_REQ, PKCS_REQ];

fn bad_request(rule: &str) -> (FailInfo, &str) {
    (FailInfo::BadRequest, rule)
}

#[tokio::test]
async fn who_holds_no_certificate_of_ours_renews_nothing() -> Result<()> {
    let mut scene = Scene::set().await?;
    let owner = scene.enrol("devices", "pump-1").await?;
    let name = subject("pump-1");

    let stranger = Device::new()?;
    let csr = stranger.csr(&name, None, &[])?;
    let message = stranger.of_type(&scene.anchors, RENEWAL_REQ, &csr).await?;
    let refusal = bad_request("SIG-09");
    scene
        .refused("devices", &stranger, &message, refusal)
        .await
        .context("self-signed")?;

    let ours = X509::from_der(owner.certificate())?;
    let unknown = BigNum::from_u32(4_711)?;
    for (case, serial) in [
        ("a serial number of ours", ours.serial_number().to_bn()?),
        ("another serial number", unknown),
    ] {
        let forged = forged(&scene, &stranger, &serial)?;
        for message_type in EITHER {
            let message = forged.of_type(&scene.anchors, message_type, &csr).await?;
            scene
                .refused("devices", &forged, &message, refusal)
                .await
                .context(case)?;
        }
    }
    Ok(())
}

/// A certificate of another CA that took our name, for a device's own key.
fn forged(scene: &Scene, device: &Device, serial: &BigNum) -> Result<Device> {
    let (rogue, key) = (
        openssl::rsa::Rsa::generate(2_048)?,
        PKey::public_key_from_der(&device.spki()?)?,
    );
    let (begin, end) = (Asn1Time::days_from_now(0)?, Asn1Time::days_from_now(1)?);
    let mut builder = X509Builder::new()?;
    let serial = serial.to_asn1_integer()?;
    builder.set_serial_number(&serial)?;
    builder.set_subject_name(X509::from_der(device.certificate())?.subject_name())?;
    builder.set_issuer_name(scene.ca.subject_name())?;
    builder.set_not_before(&begin)?;
    builder.set_not_after(&end)?;
    builder.set_pubkey(&key)?;
    let rogue = PKey::from_rsa(rogue)?;
    builder.sign(&rogue, MessageDigest::sha256())?;
    Ok(device.holding(&builder.build().to_der()?))
}

#[tokio::test]
async fn other_names_another_profile_and_a_wrong_challenge_are_refused() -> Result<()> {
    let mut scene = Scene::set().await?;
    scene
        .installation
        .add_profile("others", "devices", "ticket = 'LIFE-1'\n")
        .await?;
    scene.installation.add_to_inventory(&["pump-1"]).await?;
    let device = scene.enrol("devices", "pump-1").await?;
    let new = Device::new()?;
    let own = subject("pump-1");
    let sans = [dns_names(&["pump-1.example.com"])?];
    let other_challenge = scene
        .installation
        .challenge(&subject("pump-9"), &[])
        .await?;
    for (case, profile, csr, rule) in [
        (
            "another CN",
            "devices",
            new.csr(&subject("pump-2"), None, &[])?,
            "SUB-05",
        ),
        (
            "a SAN more",
            "devices",
            new.csr(&own, None, &sans)?,
            "SAN-04",
        ),
        (
            "another profile",
            "others",
            new.csr(&own, None, &[])?,
            "REN-02",
        ),
        (
            "a profile without renewal",
            "fleet",
            new.csr(&own, None, &[])?,
            "REN-01",
        ),
        (
            "a wrong challenge",
            "devices",
            new.csr(&own, Some("guessed"), &[])?,
            "SIG-11",
        ),
    ] {
        for message_type in EITHER {
            let message = device.of_type(&scene.anchors, message_type, &csr).await?;
            scene
                .refused(profile, &device, &message, bad_request(rule))
                .await
                .context(case)?;
        }
    }
    // Somebody else's challenge is not used up by a renewal that brings it along.
    let csr = new.csr(&subject("pump-9"), Some(&other_challenge), &[])?;
    let message = device.of_type(&scene.anchors, PKCS_REQ, &csr).await?;
    scene
        .refused("devices", &device, &message, bad_request("SUB-05"))
        .await?;
    let message = new.pkcs_req(&scene.anchors, &csr).await?;
    scene
        .post("devices", &new, &message)
        .await?
        .0
        .certificate()?;
    Ok(())
}

/// The policy of today runs whole: a profile that turned to an inventory renews whom the inventory names.
#[tokio::test]
async fn a_device_that_the_inventory_does_not_name_cannot_renew() -> Result<()> {
    let mut scene = Scene::set().await?;
    let before = "ticket = 'LIFE-5'\n";
    scene
        .installation
        .add_profile("vehicles", "devices", before)
        .await?;
    let device = scene.enrol("vehicles", "truck-1").await?;
    let after = "ticket = 'LIFE-6'\nversion = 2\n[enrolment]\ninventory = 'vehicles'\n\
                 [renewal]\nwindow = '90d'\n";
    scene
        .installation
        .add_profile("vehicles", "fleet", after)
        .await?;
    let new = Device::new()?;
    let csr = new.csr(&subject("truck-1"), None, &[])?;
    let message = device.of_type(&scene.anchors, RENEWAL_REQ, &csr).await?;
    scene
        .refused("vehicles", &device, &message, bad_request("CHA-05"))
        .await?;

    let file = scene.installation.scratch().join("vehicles.txt");
    std::fs::write(&file, "truck-1\n")?;
    let file = file.to_string_lossy().into_owned();
    scene
        .installation
        .assay(&["inventory", "add", "--profile", "vehicles", "--from", &file])
        .await?
        .succeeded()?;
    let message = device.of_type(&scene.anchors, RENEWAL_REQ, &csr).await?;
    scene
        .post("vehicles", &device, &message)
        .await?
        .0
        .certificate()?;
    Ok(())
}
