//! Clients enrol that know one RA certificate.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use assay_tests::certificate::Judges;
use assay_tests::installation::{Installation, pem};
use assay_tests::metrics::Metrics;
use assay_tests::operator::Operator;
use assay_tests::tool::{command, run};
use assay_tests::wait;

use crate::{ca_certificates, certificate, installation, legacy};

const PACKAGE: &str = "strongswan-pki";

#[tokio::test]
async fn strongswan_enrols_with_the_one_certificate_that_get_ca_cert_gives() -> Result<()> {
    let installation = installation().await?;
    let url = installation.url_of("single")?;
    let ra = fetch(&installation, &url).await?;
    let key = installation.scratch().join("gateway.key");
    let mut generate = command("pki", PACKAGE)?;
    generate.args(["--gen", "--type", "rsa", "--size", "2048"]);
    std::fs::write(&key, run(&mut generate, &[]).await?.succeeded()?.stdout)?;

    let challenge = installation
        .challenge_of("single", "CN=gateway-1,O=Example")
        .await?;
    let ready = installation.ready();
    let mut scep = command("pki", PACKAGE)?;
    scep.args(["--scep", "--outform", "pem", "--url", &url])
        .args(["--password", &challenge, "--dn", "O=Example, CN=gateway-1"]);
    scep.arg("--in").arg(&key);
    scep.arg("--cacert-enc").arg(&ra);
    scep.arg("--cacert-sig").arg(&ra);
    scep.arg("--cacert").arg(&ready.ca_pem);
    scep.arg("--cacert").arg(&ready.root_pem);
    let issued = run(&mut scep, &[]).await?.succeeded()?.stdout;
    let file = installation.scratch().join("gateway.pem");
    std::fs::write(&file, issued)?;
    Judges::of(&installation).accept(&file).await?;
    assert_eq!(
        legacy(&installation).await?,
        [("CN=gateway-1,O=Example".to_owned(), true)]
    );
    Ok(())
}

#[tokio::test]
async fn our_client_enrols_and_who_needed_the_key_is_counted_and_known_by_name() -> Result<()> {
    let installation = installation().await?;
    let ready = installation.ready();
    let expected = [
        pem(&certificate(&installation)?)?,
        pem(&ready.ca_pem)?,
        pem(&ready.root_pem)?,
    ];
    assert_eq!(ca_certificates(&installation, "single").await?, expected);
    let usual = ca_certificates(&installation, "devices").await?;
    assert_eq!(
        usual.get(..2).context("a shorter list")?,
        [pem(&ready.ra_enc_pem)?, pem(&ready.ra_sign_pem)?]
    );

    let subject = "CN=box-1,O=Example";
    let challenge = installation.challenge_of("single", subject).await?;
    let file = installation.scratch().join("box.pem");
    let key = installation.scratch().join("box.key");
    let (cert, key) = (file.to_string_lossy(), key.to_string_lossy());
    let enrol = [
        &["enrol", "--profile", "single", "--subject", subject][..],
        &["--challenge", &challenge, "--cert", &cert, "--key", &key],
    ];
    installation.assay(&enrol.concat()).await?.succeeded()?;
    Judges::of(&installation).accept(&file).await?;

    assert_eq!(legacy(&installation).await?, [(subject.to_owned(), true)]);
    let metrics = Metrics::scrape(&ready.metrics.signer).await?;
    let labels = ["profile=\"single\"", "quirk=\"single_ra\""];
    assert_eq!(metrics.sum("assay_signer_quirk_uses_total", &labels), 1.0);
    let used = ["role=\"ra-single\""];
    let operations = "assay_token_operation_seconds_count";
    assert_eq!(metrics.sum(operations, &used), 2.0);
    let mut operator = Operator::connect(&ready.dir).await?;
    wait::until("the HSM service's own count", wait::REACTION, async || {
        let hsm = operator.status().await?.hsm.unwrap_or_default();
        Ok((hsm.operations.get("ra-single") == Some(&2)).then_some(()))
    })
    .await?;
    let records = operator.audit(0).await?;
    let issued = records
        .iter()
        .find(|record| record.kind() == "request.issued" && record.text("profile") == "single");
    let issued = issued.context("no record")?;
    assert_eq!(issued.texts("quirks"), ["single_ra"]);
    Ok(())
}

/// The RA certificate that `--scepca` brings, after a look at all that it brings.
async fn fetch(installation: &Installation, url: &str) -> Result<PathBuf> {
    let folder = installation.scratch().join("strongswan");
    std::fs::create_dir(&folder)?;
    let mut scepca = command("pki", PACKAGE)?;
    scepca
        .args(["--scepca", "--url", url, "--outform", "pem", "--caout"])
        .arg(folder.join("ca.pem"));
    scepca.arg("--raout").arg(folder.join("ra.pem"));
    run(&mut scepca, &[]).await?.succeeded()?;

    let ready = installation.ready();
    let ra = pem(&certificate(installation)?)?;
    let mut expected = vec![ra.clone(), pem(&ready.ca_pem)?, pem(&ready.root_pem)?];
    let files = std::fs::read_dir(&folder)?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<PathBuf>>>()?;
    let mut fetched = files
        .iter()
        .map(|file| pem(file))
        .collect::<Result<Vec<_>>>()?;
    fetched.sort();
    expected.sort();
    assert_eq!(fetched, expected);
    let is_ra = |file: &&PathBuf| pem(Path::new(file)).is_ok_and(|der| der == ra);
    files
        .iter()
        .find(is_ra)
        .cloned()
        .context("no RA certificate")
}
