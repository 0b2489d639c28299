//! Names and extensions that the policy does not have.

use anyhow::{Context, Result};
use assay_tests::device::{Device, dns_names, extension};

use crate::Scene;

/// id-ce-basicConstraints and `SEQUENCE { TRUE }`.
const BASIC_CONSTRAINTS: &str = "2.5.29.19";
const CA_TRUE: [u8; 5] = [0x30, 0x03, 0x01, 0x01, 0xff];

/// id-ce-extKeyUsage and a sequence of id-kp-serverAuth.
const EXTENDED_KEY_USAGE: &str = "2.5.29.37";
const SERVER_AUTH: [u8; 12] = [
    0x30, 0x0a, 0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01,
];

/// id-ce-keyUsage and the BIT STRING keyCertSign, cRLSign.
const KEY_USAGE: &str = "2.5.29.15";
const CERTIFICATE_SIGN: [u8; 4] = [0x03, 0x02, 0x01, 0x06];

/// szOID_NTDS_CA_SECURITY_EXT, which maps a certificate to a Windows account.
const SID_EXTENSION: &str = "1.3.6.1.4.1.311.25.2";

#[tokio::test]
async fn a_name_off_policy_is_refused_whatever_the_challenge_allows() -> Result<()> {
    let mut scene = Scene::set().await?;
    let device = Device::new()?;
    for subject in [
        "CN=sensor-1,O=Evil",
        "CN=sensor-1",
        "CN=sensor-1,OU=Extra,O=Example",
        "O=Example,CN=sensor-1",
        "CN=Sensor-1,O=Example",
    ] {
        let challenge = scene
            .installation
            .challenge("CN=sensor-1,O=Example", &[])
            .await?;
        let csr = device.csr(subject, Some(&challenge), &[])?;
        let message = device.pkcs_req(&scene.anchors, &csr).await?;
        scene
            .refused("devices", &device, &message)
            .await
            .context(subject)?;
    }
    Ok(())
}

#[tokio::test]
async fn extensions_that_the_policy_does_not_issue_are_refused() -> Result<()> {
    let mut scene = Scene::set().await?;
    let device = Device::new()?;
    for (what, smuggled) in [
        ("CA:TRUE", extension(BASIC_CONSTRAINTS, true, &CA_TRUE)?),
        (
            "serverAuth",
            extension(EXTENDED_KEY_USAGE, false, &SERVER_AUTH)?,
        ),
        (
            "keyCertSign",
            extension(KEY_USAGE, true, &CERTIFICATE_SIGN)?,
        ),
        (
            "a Windows SID",
            extension(SID_EXTENSION, false, &[0x30, 0x00])?,
        ),
        ("another name", dns_names(&["admin.example.com"])?),
        (
            "one name more",
            dns_names(&["sensor-1.example.com", "admin.example.com"])?,
        ),
    ] {
        let sans = ["dns:sensor-1.example.com"];
        let challenge = scene
            .installation
            .challenge("CN=sensor-1,O=Example", &sans)
            .await?;
        let csr = device.csr("CN=sensor-1,O=Example", Some(&challenge), &[smuggled])?;
        let message = device.pkcs_req(&scene.anchors, &csr).await?;
        scene
            .refused("devices", &device, &message)
            .await
            .context(what)?;
    }
    Ok(())
}
