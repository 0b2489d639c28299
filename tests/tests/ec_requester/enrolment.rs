//! First enrolments: the reply is opened by OpenSSL's command line, which knows the challenge and nothing of ours.

use anyhow::{Context, Result, ensure};
use assay_tests::certificate::Judges;
use assay_tests::device::Device;
use assay_tests::operator::Operator;
use assay_tests::{http, store, tool};
use openssl::x509::X509;
use std::path::Path;

use super::{P256, P384, PROFILE, Scene, subject};

#[tokio::test]
async fn openssl_opens_the_reply_to_each_curve_under_the_challenge() -> Result<()> {
    let mut scene = Scene::set().await?;
    let judges = Judges::of(&scene.installation);
    for (curve, name) in [(P256, "sensor-1"), (P384, "sensor-2")] {
        let challenge = scene.challenge(name).await?;
        let device = Device::on_curve(curve, &challenge)?;
        let csr = device.csr(&subject(name), Some(&challenge), &[])?;
        let message = device.pkcs_req(&scene.anchors, &csr).await?;
        let url = scene.installation.url_of(PROFILE)?;
        let reply = http::post(&url, &message.bytes).await?;
        ensure!(reply.status == 200, "HTTP {}", reply.status);
        message.verified(&scene.anchors, &reply.body)?;

        let issued =
            opened_by_openssl(scene.installation.scratch(), &reply.body, &challenge).await?;
        let file = scene.installation.scratch().join(format!("{name}.pem"));
        std::fs::write(&file, issued.to_pem()?)?;
        judges.accept(&file).await?;
        assert_eq!(issued.public_key()?.public_key_to_der()?, device.spki()?);

        // Nobody else's challenge opens it.
        let other = opened_by_openssl(scene.installation.scratch(), &reply.body, "another").await;
        assert!(other.is_err());
    }

    let records = scene.operator.audit(0).await?;
    let issued: Vec<_> = records
        .iter()
        .filter(|record| record.kind() == "request.issued")
        .map(|record| record.text("reply_envelope"))
        .collect();
    assert_eq!(issued.iter().filter(|kind| **kind == "password").count(), 2);
    let metrics = scene.metrics().await?;
    let labels = ["profile=\"elliptic\"", "outcome=\"issued\""];
    let counted = metrics.sum("assay_signer_password_replies_total", &labels);
    assert!((counted - 2.0).abs() < f64::EPSILON, "{counted}");
    Ok(())
}

/// The first certificate of a CertRep, by three commands of OpenSSL.
async fn opened_by_openssl(scratch: &Path, cert_rep: &[u8], password: &str) -> Result<X509> {
    let (rep, envelope, list) = (
        scratch.join("rep.der"),
        scratch.join("envelope.der"),
        scratch.join("list.der"),
    );
    std::fs::write(&rep, cert_rep)?;
    let (rep, envelope, list) = (path(&rep)?, path(&envelope)?, path(&list)?);
    // Whose signature it is was verified before.
    let verify = ["cms", "-verify", "-noverify", "-binary", "-inform", "DER"];
    openssl(&[&verify[..], &["-in", rep, "-out", envelope]].concat()).await?;
    let decrypt = ["cms", "-decrypt", "-binary", "-inform", "DER"];
    let by = ["-pwri_password", password, "-in", envelope, "-out", list];
    openssl(&[&decrypt[..], &by].concat()).await?;
    let printed = openssl(&["pkcs7", "-inform", "DER", "-print_certs", "-in", list]).await?;
    let certificates = X509::stack_from_pem(&printed)?;
    certificates.into_iter().next().context("no certificate")
}

async fn openssl(arguments: &[&str]) -> Result<Vec<u8>> {
    let mut command = tool::command("openssl", "openssl")?;
    command.args(arguments);
    Ok(tool::run(&mut command, &[]).await?.succeeded()?.stdout)
}

fn path(file: &Path) -> Result<&str> {
    file.to_str().context("a path in UTF-8")
}

/// Recovery finishes a certificate without its CertRep: nobody knows the challenge any more. The device brings it again.
#[tokio::test]
async fn a_reply_that_was_lost_is_made_anew_from_the_same_message() -> Result<()> {
    let mut scene = Scene::set().await?;
    let challenge = scene.challenge("sensor-1").await?;
    let device = Device::on_curve(P384, &challenge)?;
    let csr = device.csr(&subject("sensor-1"), Some(&challenge), &[])?;
    let message = device.pkcs_req(&scene.anchors, &csr).await?;
    let (first, _) = scene.post(PROFILE, &device, &message).await?;
    let certificate = first.certificate()?.to_vec();

    scene.installation.stop().await?;
    let dir = scene.installation.ready().dir.clone();
    assert!(store::lose_replies(&dir).await? >= 1);
    assert!(!scene.installation.logs()?.contains(&challenge));
    for file in std::fs::read_dir(dir.join("state"))? {
        let file = file?;
        if !file.file_type()?.is_file() {
            continue;
        }
        let octets = std::fs::read(file.path())?;
        let mut windows = octets.windows(challenge.len());
        assert!(!windows.any(|window| window == challenge.as_bytes()));
    }

    scene.installation.serve().await?;
    scene.operator = Operator::connect(&dir).await?;
    let (again, record) = scene.post(PROFILE, &device, &message).await?;
    assert_eq!(again.certificate()?, certificate);
    assert_eq!(record.kind(), "request.replayed");
    let (stored, _) = scene.post(PROFILE, &device, &message).await?;
    assert_eq!(stored.certificate()?, certificate);
    Ok(())
}
