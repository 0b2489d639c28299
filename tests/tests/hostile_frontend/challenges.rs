//! One challenge, used many times at once.

use anyhow::Result;
use assay_proto::v1::pki_operation_reply::Outcome;
use assay_tests::device::{Device, extension};

use crate::Scene;

/// More at once than the signer works on at once.
const PARALLEL_USES: usize = 100;

#[tokio::test]
async fn a_hundred_parallel_uses_of_a_challenge_issue_one_certificate() -> Result<()> {
    let mut scene = Scene::set().await?;
    let challenge = scene
        .installation
        .challenge("CN=sensor-1,O=Example", &[])
        .await?;
    let device = Device::new()?;
    let before = scene.issued().await?;
    let mut messages = Vec::new();
    for nth in 0..PARALLEL_USES {
        // An extension that is ignored makes each CSR another one, so that none is a retransmission.
        let key_identifier = [&[0x04, 0x02][..], &u16::try_from(nth)?.to_be_bytes()].concat();
        let different = extension("2.5.29.14", false, &key_identifier)?;
        let csr = device.csr("CN=sensor-1,O=Example", Some(&challenge), &[different])?;
        messages.push(device.pkcs_req(&scene.anchors, &csr).await?);
    }
    let mut uses = tokio::task::JoinSet::new();
    for message in messages {
        let mut attacker = scene.attacker.clone();
        uses.spawn(async move {
            let outcome = attacker.pki_operation("devices", &message.bytes).await;
            (message, outcome)
        });
    }
    let mut winners = 0;
    for (message, outcome) in uses.join_all().await {
        // Past the refusal budget the signer puts requests off; that is no certificate either.
        if let Outcome::CertRep(cert_rep) = outcome? {
            let answer = device.read(&scene.anchors, &message, &cert_rep).await?;
            winners += usize::from(answer.certificate().is_ok());
        }
    }
    assert_eq!(winners, 1);
    assert_eq!(scene.issued().await?, before + 1);
    Ok(())
}
