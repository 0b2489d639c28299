//! Which CA a client talks to is known before it says anything.

use anyhow::Result;
use assay_tests::installation::Installation;
use assay_tests::operator::Operator;

use super::Device;

#[tokio::test]
async fn a_server_of_another_ca_is_sent_nothing() -> Result<()> {
    let installation = Installation::start().await?;
    let device = Device::new(&installation, "box-1");
    let another = "00".repeat(32);
    let mut operator = Operator::connect(&installation.ready().dir).await?;
    let requests = |records: &[assay_tests::audit::Record]| {
        let is_request = |kind: &str| kind.starts_with("request.");
        records
            .iter()
            .filter(|record| is_request(record.kind()))
            .count()
    };
    let before = requests(&operator.audit(0).await?);

    let trusted = ["--ca-fingerprint", &another];
    let refused = device.enrol_by_challenge("devices", &trusted).await?;

    let refused = refused.failed()?.all();
    assert!(refused.contains("another one"), "{refused}");
    assert!(!device.file("pem").exists() && !device.file("key").exists());
    assert_eq!(requests(&operator.audit(0).await?), before);
    Ok(())
}
