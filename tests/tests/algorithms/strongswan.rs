//! strongSwan's `pki --scep` with the algorithms that it has.

use anyhow::Result;
use assay_tests::certificate::Judges;
use assay_tests::tool::{command, run};

use crate::{LEGACY, Scene};

#[tokio::test]
async fn strongswan_enrols_with_each_algorithm_that_it_has() -> Result<()> {
    const PACKAGE: &str = "strongswan-pki";
    let scene = Scene::set(&[("legacy", LEGACY)]).await?;
    scene.advertised("legacy").await?;
    let installation = &scene.installation;
    let url = installation.url_of("legacy")?;
    let key = installation.scratch().join("gateway.key");
    let mut generate = command("pki", PACKAGE)?;
    generate.args(["--gen", "--type", "rsa", "--size", "2048"]);
    std::fs::write(&key, run(&mut generate, &[]).await?.succeeded()?.stdout)?;
    let cases: [&[&str]; 4] = [
        &["--cipher", "aes", "--digest", "sha512"],
        &["--cipher", "des3", "--digest", "sha1"],
        &["--rsa-padding", "pss"],
        &["--rsa-padding", "pss", "--digest", "sha512"],
    ];
    for (number, options) in cases.into_iter().enumerate() {
        let challenge = installation
            .challenge_of("legacy", &format!("CN=gateway-{number},O=Example"))
            .await?;
        let ready = installation.ready();
        let mut scep = command("pki", PACKAGE)?;
        scep.args([
            "--scep",
            "--outform",
            "pem",
            "--url",
            &url,
            "--password",
            &challenge,
            "--dn",
        ])
        .arg(format!("O=Example, CN=gateway-{number}"));
        scep.arg("--in").arg(&key);
        scep.arg("--cacert-enc").arg(&ready.ra_enc_pem);
        scep.arg("--cacert-sig").arg(&ready.ra_sign_pem);
        scep.arg("--cacert").arg(&ready.ca_pem);
        scep.arg("--cacert").arg(&ready.root_pem);
        let enrolled = run(scep.args(options), &[]).await?.succeeded()?;
        let certificate = installation.scratch().join("gateway.pem");
        std::fs::write(&certificate, enrolled.stdout)?;
        Judges::of(installation).accept(&certificate).await?;
    }
    let needed = scene.legacy().await?;
    let sha1: Vec<_> = needed
        .iter()
        .filter(|(quirk, ..)| quirk == "allow_sha1")
        .collect();
    assert_eq!(sha1.len(), 1, "{needed:?}");
    Ok(())
}
