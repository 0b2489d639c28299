//! Which key answers depends on the certificate that a request is enveloped to.

use anyhow::Result;
use assay_scep::FailInfo;
use assay_tests::device::{Anchors, Answer, Device};
use assay_tests::http;
use assay_tests::operator::Operator;
use openssl::asn1::Asn1Time;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::rsa::Rsa;
use openssl::x509::{X509, X509Builder};

use crate::{IN_FORCE, installation, legacy, single};

const SUBJECT: &str = "CN=sensor-1,O=Example";

#[tokio::test]
async fn a_device_that_kept_the_usual_list_is_served_by_it_and_needs_no_exception() -> Result<()> {
    let installation = installation(IN_FORCE).await?;
    let url = installation.url_of("single")?;
    let anchors = Anchors::of(&installation)?;
    let challenge = installation.challenge_of("single", SUBJECT).await?;
    let answer = Device::new()?
        .enrol(&url, &anchors, SUBJECT, &challenge)
        .await?;
    answer.certificate()?;
    assert_eq!(legacy(&installation).await?, []);
    Ok(())
}

#[tokio::test]
async fn a_profile_without_the_exception_does_not_take_the_single_certificate() -> Result<()> {
    let installation = installation(IN_FORCE).await?;
    let anchors = Anchors {
        ra_enc: single(&installation)?.ra_enc,
        ra_sign: Anchors::of(&installation)?.ra_sign,
    };
    let challenge = installation.challenge(SUBJECT, &[]).await?;
    let answer = Device::new()?
        .enrol(installation.url("devices")?, &anchors, SUBJECT, &challenge)
        .await?;
    assert_eq!(answer, Answer::Refused(FailInfo::BadRequest));
    Ok(())
}

#[tokio::test]
async fn what_does_not_open_is_refused_alike_under_either_key() -> Result<()> {
    let installation = installation(IN_FORCE).await?;
    let mut operator = Operator::connect(&installation.ready().dir).await?;
    let before = operator.audit(0).await?.len();
    let device = Device::new()?;
    let mut lengths = Vec::new();
    for anchors in [Anchors::of(&installation)?, single(&installation)?] {
        let forged = Anchors {
            ra_enc: of_another_key(&anchors.ra_enc)?,
            ..anchors.clone()
        };
        for (towards, content) in [
            // Bad padding of the content-encryption key, then a content that is no CSR.
            (&forged, device.csr(SUBJECT, Some("none of ours"), &[])?),
            (&anchors, b"no CSR".to_vec()),
        ] {
            let message = device.pkcs_req(towards, &content).await?;
            let response = http::post(&installation.url_of("single")?, &message.bytes).await?;
            let reply = message.verified(&anchors, &response.body)?;
            assert_eq!(reply.fail_info(), Some(FailInfo::BadRequest));
            assert_eq!(reply.fail_info_text(), None);
            // The two replies carry different certificates, each verified above, and nothing else that differs.
            lengths.push(response.body.len() - anchors.ra_sign.len());
        }
    }
    lengths.dedup();
    assert_eq!(lengths.len(), 1, "{lengths:?}");

    let records = operator.audit(0).await?;
    let refused: Vec<_> = records
        .iter()
        .skip(before)
        .filter(|record| record.kind() == "request.refused")
        .map(|record| (record.text("rule"), record.text("detail")))
        .collect();
    assert_eq!(refused, [("SIG-17", ""); 4]);
    Ok(())
}

/// A certificate that names the same recipient and holds a key that nobody has.
fn of_another_key(der: &[u8]) -> Result<Vec<u8>> {
    let original = X509::from_der(der)?;
    let key = PKey::from_rsa(Rsa::generate(2048)?)?;
    let (begin, end) = (Asn1Time::days_from_now(0)?, Asn1Time::days_from_now(1)?);
    let mut builder = X509Builder::new()?;
    builder.set_version(2)?;
    builder.set_subject_name(original.subject_name())?;
    builder.set_issuer_name(original.issuer_name())?;
    builder.set_serial_number(original.serial_number())?;
    builder.set_not_before(&begin)?;
    builder.set_not_after(&end)?;
    builder.set_pubkey(&key)?;
    builder.sign(&key, MessageDigest::sha256())?;
    Ok(builder.build().to_der()?)
}
