//! scepclient 2.1, which can do single DES and SHA-1 only, whatever is advertised.

use anyhow::{Context, Result};
use assay_tests::audit::terminal;
use assay_tests::installation::{Installation, set};
use assay_tests::operator::Operator;
use assay_tests::tiers::Tiers;
use assay_tests::tool::{command, run};

#[tokio::test]
async fn single_des_is_refused_as_bad_alg_and_the_client_is_told() -> Result<()> {
    let installation = installation_of_rsa_certificates_only().await?;
    let tiers = Tiers::start(&installation).await?;
    let challenge = installation.challenge("CN=legacy-1,O=Example", &[]).await?;
    let mut operator = Operator::connect(&installation.ready().dir).await?;
    let last = operator
        .audit(0)
        .await?
        .last()
        .context("an empty log")?
        .sequence();

    let mut client = command("scepclient", "scep")?;
    client.current_dir(installation.scratch());
    client.args(["-private-key", "legacy.key", "-certificate", "legacy.pem"]);
    client.args([
        "-cn",
        "legacy-1",
        "-organization",
        "Example",
        "-ou",
        "",
        "-country",
        "",
    ]);
    client.args([
        "-challenge",
        &challenge,
        "-server-url",
        &tiers.url("devices"),
    ]);
    let refused = run(&mut client, &[]).await?.failed()?.all();

    assert!(refused.contains("badAlg"), "{refused}");
    assert!(!installation.scratch().join("legacy.pem").exists());
    let records = operator.audit(last).await?;
    let ended = terminal(&records);
    let [record] = ended[..] else {
        panic!("not one terminal record: {records:?}");
    };
    assert_eq!(
        (record.kind(), record.number("fail_info")),
        ("request.refused", Some(0))
    );
    Ok(())
}

/// scepclient encrypts to every certificate that GetCACert gives, which it can do for RSA only, and takes the reply's
/// signer to be one of them.
async fn installation_of_rsa_certificates_only() -> Result<Installation> {
    let mut installation = Installation::start_with(&["--ca-key", "rsa2048"]).await?;
    installation.stop().await?;
    let no_root = toml::Value::Array(Vec::new());
    set(
        &installation.path("signer.toml"),
        &["certificates", "chain"],
        no_root,
    )?;
    Ok(installation)
}
