//! No certificate where its reply could not be enveloped: said before any operation of the CA, and before decryption where
//! the cause is public.

use anyhow::{Context, Result};
use assay_scep::FailInfo::{self, BadAlg, BadRequest};
use assay_tests::device::{Answer, Device, Message};
use assay_tests::http;
use openssl::nid::Nid;
use openssl::x509::X509;

use super::{P256, P384, PROFILE, Scene, subject};

const NAME: &str = "sensor-1";

impl Scene {
    /// The message is refused by this rule, nothing was signed by the CA, and nothing decrypted where `before_decryption`.
    async fn refuses(
        &mut self,
        profile: &str,
        device: &Device,
        message: &Message,
        (fail_info, rule): (FailInfo, &str),
        before_decryption: bool,
    ) -> Result<()> {
        let (signed, decrypted) = (
            self.operations("ca-sign").await?,
            self.operations("ra-decrypt").await?,
        );
        let issued = self.operator.certificates().await?.len();
        let (answer, record) = self.post(profile, device, message).await?;
        assert_eq!(record.text("rule"), rule, "{record:?}");
        assert_eq!(answer, Answer::Refused(fail_info), "{record:?}");
        assert_eq!(self.operator.certificates().await?.len(), issued);
        assert!((self.operations("ca-sign").await? - signed).abs() < f64::EPSILON);
        let more = self.operations("ra-decrypt").await? - decrypted;
        assert_eq!(more < 0.5, before_decryption, "{rule}: {more}");
        Ok(())
    }

    async fn pkcs_req(&self, device: &Device, challenge: Option<&str>) -> Result<Message> {
        let csr = device.csr(&subject(NAME), challenge, &[])?;
        device.pkcs_req(&self.anchors, &csr).await
    }
}

#[tokio::test]
async fn a_profile_that_cannot_answer_refuses_before_decryption() -> Result<()> {
    let mut scene = Scene::set().await?;
    let approval = "ticket = 'EC-1'\n[keys]\ncurves = [\"p256\"]\n[certificate]\nkey_usage = [\"digitalSignature\"]\n\
                    [approval]\nexpires = \"1h\"\n";
    let shared = "ticket = 'EC-2'\n[keys]\ncurves = [\"p256\"]\n[certificate]\nkey_usage = [\"digitalSignature\"]\n";
    scene
        .installation
        .add_profile("waiting", "devices", approval)
        .await?;
    scene
        .installation
        .add_profile("shared", "fleet", shared)
        .await?;
    let challenge = scene.challenge(NAME).await?;
    let device = Device::on_curve(P256, &challenge)?;
    let on_p521 = Device::on_curve(Nid::SECP521R1, &challenge)?;
    for (profile, device, expected) in [
        ("waiting", &device, (BadRequest, "SIG-18")),
        ("shared", &device, (BadRequest, "SIG-20")),
        // Profiles that list no curve, or another one.
        ("devices", &device, (BadAlg, "SCEP:signer-key-algorithm")),
        (PROFILE, &on_p521, (BadAlg, "SCEP:signer-key-algorithm")),
    ] {
        let message = scene.pkcs_req(device, Some(&challenge)).await?;
        scene
            .refuses(profile, device, &message, expected, true)
            .await?;
    }
    // None of it used up the challenge.
    let message = scene.pkcs_req(&device, Some(&challenge)).await?;
    scene
        .post(PROFILE, &device, &message)
        .await?
        .0
        .certificate()?;
    Ok(())
}

#[tokio::test]
async fn a_request_without_a_fitting_challenge_is_refused_before_the_ca_signs() -> Result<()> {
    let mut scene = Scene::set().await?;
    let challenge = scene.challenge(NAME).await?;
    let fleet = scene.installation.ready().fleet_challenge.clone();
    let device = Device::on_curve(P256, &challenge)?;
    for (challenge, rule) in [
        (None, "SIG-19"),
        (Some(""), "SIG-19"),
        (Some(fleet.as_str()), "SIG-20"),
        (Some("a-challenge-that-was-never-issued"), "CHA-01"),
    ] {
        let message = scene.pkcs_req(&device, challenge).await?;
        scene
            .refuses(PROFILE, &device, &message, (BadRequest, rule), false)
            .await?;
    }
    // A CSR of another key, on the same curve and on none: the uniform failure.
    for other in [Device::on_curve(P256, &challenge)?, Device::new()?] {
        let csr = other.csr(&subject(NAME), Some(&challenge), &[])?;
        let message = device.pkcs_req(&scene.anchors, &csr).await?;
        scene
            .refuses(PROFILE, &device, &message, (BadRequest, "SIG-17"), false)
            .await?;
    }
    let message = scene.pkcs_req(&device, Some(&challenge)).await?;
    scene
        .post(PROFILE, &device, &message)
        .await?
        .0
        .certificate()?;
    // Spent by then, and another CSR.
    let thief = Device::on_curve(P256, &challenge)?;
    let message = scene.pkcs_req(&thief, Some(&challenge)).await?;
    scene
        .refuses(PROFILE, &thief, &message, (BadRequest, "SIG-02"), false)
        .await
}

#[tokio::test]
async fn queries_and_polls_by_an_elliptic_curve_key_are_refused_before_decryption() -> Result<()> {
    let mut scene = Scene::set().await?;
    let device = scene.enrol(P256, NAME).await?;
    let ca = X509::from_pem(&std::fs::read(&scene.installation.ready().ca_pem)?)?;
    let serial = assay_tests::query::serial(device.certificate())?;
    let queries = [
        device.get_cert(&scene.anchors, &ca, &serial).await?,
        device.get_crl(&scene.anchors, &ca, &serial).await?,
        device.poll(&scene.anchors, &ca, "any").await?,
    ];
    for query in queries {
        scene
            .refuses(PROFILE, &device, &query, (BadRequest, "SIG-19"), true)
            .await?;
    }
    Ok(())
}

/// What comes out of the envelope may be anything: one answer without a text, for an elliptic-curve signer as for others.
#[tokio::test]
async fn every_failure_up_to_the_equality_of_keys_is_the_uniform_one() -> Result<()> {
    let mut scene = Scene::set().await?;
    let challenge = scene.challenge(NAME).await?;
    let device = Device::on_curve(P256, &challenge)?;
    let good = device.csr(&subject(NAME), Some(&challenge), &[])?;
    let mut flipped = good.clone();
    *flipped.last_mut().context("an empty CSR")? ^= 1;
    let of_others = [
        Device::on_curve(P256, &challenge)?,
        Device::on_curve(P384, &challenge)?,
        Device::new()?,
    ];
    let mut contents = vec![b"no CSR".to_vec(), Vec::new(), flipped];
    for other in of_others {
        contents.push(other.csr(&subject(NAME), Some(&challenge), &[])?);
    }
    for content in contents {
        let message = device.pkcs_req(&scene.anchors, &content).await?;
        let url = scene.installation.url_of(PROFILE)?;
        let reply = http::post(&url, &message.bytes).await?;
        let reply = message.verified(&scene.anchors, &reply.body)?;
        assert_eq!(reply.fail_info(), Some(BadRequest));
        assert_eq!(reply.fail_info_text(), None);
        let records = scene.operator.audit(0).await?;
        let last = records.last().context("an empty log")?;
        assert_eq!(last.text("rule"), "SIG-17", "{last:?}");
        assert_eq!(last.text("challenge_id"), "");
    }
    let message = device.pkcs_req(&scene.anchors, &good).await?;
    scene
        .post(PROFILE, &device, &message)
        .await?
        .0
        .certificate()?;
    Ok(())
}
