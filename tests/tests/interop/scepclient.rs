//! scepclient 2.1, which can do single DES and SHA-1 only, whatever is advertised.

use anyhow::{Context, Result};
use assay_tests::audit::terminal;
use assay_tests::installation::{Installation, pem};
use assay_tests::operator::Operator;
use assay_tests::tool::{command, run};
use openssl::sha::sha256;

#[tokio::test]
async fn single_des_is_refused_as_bad_alg_and_the_client_is_told() -> Result<()> {
    let installation = Installation::start().await?;
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
    client.args([
        "-private-key",
        "legacy.key",
        "-certificate",
        "legacy.pem",
        "-challenge",
        &challenge,
    ]);
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
    // It panics on the EC certificate of the CA unless told which one to encrypt to.
    let ra_enc = hex::encode(sha256(&pem(&installation.ready().ra_enc_pem)?));
    client.args([
        "-ca-fingerprint",
        &ra_enc,
        "-server-url",
        installation.url("devices")?,
    ]);
    let refused = run(&mut client, &[]).await?.failed()?.all();

    assert!(refused.contains("badAlg"), "{refused}");
    assert!(!installation.scratch().join("legacy.pem").exists());
    let records = operator.audit(last).await?;
    let [record] = terminal(&records)[..] else {
        panic!("not one terminal record: {records:?}");
    };
    assert_eq!(
        (record.kind(), record.number("fail_info")),
        ("request.refused", Some(0))
    );
    Ok(())
}
