//! Responses are there for each hash algorithm, and outlast the signer's absence.

use anyhow::Result;
use assay_tests::installation::Installation;
use assay_tests::ocsp::Responder;
use assay_tests::tiers::Tiers;
use assay_tests::wait;

use crate::Scene;

#[tokio::test]
async fn a_cert_id_of_sha_256_is_answered() -> Result<()> {
    let scene = Scene::set().await?;
    let device = scene.enrolled("pump-1").await?;
    let ran = scene.responder.openssl(&[&device], &["-sha256"]).await?;
    let said = ran.succeeded()?.all();
    assert!(said.contains("Response verify OK"), "{said}");
    assert!(said.contains(": good"), "{said}");
    assert_eq!(scene.responder.gnutls(&device).await?, "good");
    Ok(())
}

#[tokio::test]
async fn a_frontend_tells_what_it_told_before_while_the_signer_is_away() -> Result<()> {
    let mut installation = Installation::start_with(&["--ocsp"]).await?;
    let known = crate::enrol(&installation, "pump-1").await?;
    let other = crate::enrol(&installation, "pump-2").await?;
    installation.stop().await?;
    let mut tiers = Tiers::start(&installation).await?;
    let scep = tiers.url("devices");
    let url = scep.replace("/scep/devices", "/ocsp");
    let responder = Responder::at(&url, &installation);
    let good = |said: Result<String>| said.is_ok_and(|said| said == "good");
    wait::until("the response", wait::REACTION, async || {
        Ok(good(responder.status(&known).await).then_some(()))
    })
    .await?;

    tiers.kill_signer().await?;
    assert_eq!(responder.status(&known).await?, "good");
    let said = responder.openssl(&[&other], &[]).await?.failed()?.all();
    assert!(said.contains("trylater (3)"), "{said}");
    tiers.restart().await?;
    wait::until("the other response", wait::REACTION, async || {
        Ok(good(responder.status(&other).await).then_some(()))
    })
    .await
}
