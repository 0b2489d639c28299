//! The responder's certificate is short-lived: it is renewed over the same key, and may come long after the first devices.

use anyhow::{Context, Result};
use assay_tests::http;
use assay_tests::installation::{Installation, pem};
use assay_tests::ocsp::Responder;
use assay_tests::query::serial;
use assay_tests::wait;
use openssl::x509::X509;
use serde_json::Value;

use crate::{Scene, ready};

#[tokio::test]
async fn a_renewed_certificate_answers_for_devices_of_before_and_its_end_is_told_ahead()
-> Result<()> {
    let mut scene = Scene::set().await?;
    let old = scene.enrolled("pump-1").await?;
    let file = scene.installation.path("certificates/ocsp.pem");
    let before = pem(&file)?;
    let warnings = ready(&scene.installation).await?["warnings"].to_string();
    assert!(!warnings.contains("ocsp"), "{warnings}");

    let renew = ["ocsp", "--days", "3"];
    let said = scene
        .installation
        .ceremony(&renew)
        .await?
        .succeeded()?
        .text();
    assert!(said.contains("restart assay-hsm and the signer"), "{said}");
    assert!(!said.contains("[ocsp]"), "{said}");
    let after = pem(&file)?;
    assert_ne!(serial(&before)?, serial(&after)?);
    let key = |der: &[u8]| Ok::<_, anyhow::Error>(X509::from_der(der)?.public_key()?);
    let (before, after) = (key(&before)?, key(&after)?);
    assert!(before.public_eq(&after));

    scene.installation.stop().await?;
    scene.serve().await?;
    // Signed before the renewal, and good for as long as it says.
    assert_eq!(scene.responder.status(&old).await?, "good");
    let new = scene.enrolled("pump-2").await?;
    assert_eq!(scene.responder.gnutls(&new).await?, "good");
    wait::until("the warning", wait::REACTION, async || {
        let ready = ready(&scene.installation).await?;
        assert_eq!(ready["ready"], true);
        let told = ready["warnings"].to_string();
        Ok(told
            .contains("ocsp: the responder's certificate ends in 2 days")
            .then_some(()))
    })
    .await?;
    let details = &ready(&scene.installation).await?["details"];
    let told = |part: &str| details[part].as_str().context(part.to_owned());
    assert!(told("crl")?.contains("number "), "{details}");
    assert!(told("ocsp")?.contains(" responses, "), "{details}");
    Ok(())
}

#[tokio::test]
async fn a_responder_that_comes_later_answers_for_the_devices_of_before() -> Result<()> {
    let mut installation = Installation::start().await?;
    let device = crate::enrol(&installation, "pump-1").await?;
    let scep = installation.url("devices")?;
    let url = scep.replace("/scep/devices", "/ocsp");
    assert_eq!(http::get(&url).await?.status, 404);

    let made = installation.ceremony(&["ocsp", "--json"]).await?;
    let made: Value = serde_json::from_slice(&made.succeeded()?.stdout)?;
    let lines = made["lines"].as_str().context("no lines")?;
    let config = installation.path("signer.toml");
    std::fs::write(&config, std::fs::read_to_string(&config)? + lines)?;
    installation.stop().await?;
    installation.serve().await?;
    let scene = Scene {
        responder: Responder::of(&installation)?,
        installation,
    };
    scene.until(&device, "good").await?;

    // Without the table all is as it was.
    let Scene {
        mut installation, ..
    } = scene;
    let text = std::fs::read_to_string(&config)?;
    std::fs::write(&config, text.replace(lines, ""))?;
    installation.stop().await?;
    installation.serve().await?;
    let url = installation.ready().ocsp_url.clone().context("no URL")?;
    assert_eq!(http::get(&url).await?.status, 404);
    Ok(())
}
