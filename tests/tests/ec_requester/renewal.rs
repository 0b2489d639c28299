//! Renewals: the old certificate authorises, and a fresh challenge is what the reply is enveloped under.

use anyhow::Result;
use assay_scep::FailInfo::BadRequest;
use assay_tests::certificate::Judges;
use assay_tests::device::{Answer, Device};

use super::{P256, P384, PROFILE, Scene, subject};

const RENEWAL_REQ: &str = "17";

impl Scene {
    /// A RenewalReq of `old` for a new key with this challenge; the rule that refused it, or none.
    async fn renew(&mut self, old: &Device, name: &str, challenge: Option<&str>) -> Result<String> {
        let new = Device::on_curve(P384, "unused")?;
        let old = old.knowing(challenge.unwrap_or_default());
        let csr = new.csr(&subject(name), challenge, &[])?;
        let message = old.of_type(&self.anchors, RENEWAL_REQ, &csr).await?;
        let before = self.operations("ca-sign").await?;
        let (answer, record) = self.post(PROFILE, &old, &message).await?;
        let signed = self.operations("ca-sign").await? - before;
        match answer {
            Answer::Issued(_) => assert!(signed > 0.5),
            refused @ (Answer::Refused(_) | Answer::Pending) => {
                assert_eq!(refused, Answer::Refused(BadRequest));
                assert!(signed < 0.5, "{record:?}");
            }
        }
        Ok(record.text("rule").to_owned())
    }
}

#[tokio::test]
async fn a_renewal_needs_a_fresh_challenge_for_its_names_and_uses_it_up() -> Result<()> {
    let mut scene = Scene::set().await?;
    let first = scene.challenge("sensor-1").await?;
    let device = Device::on_curve(P256, &first)?;
    let csr = device.csr(&subject("sensor-1"), Some(&first), &[])?;
    let message = device.pkcs_req(&scene.anchors, &csr).await?;
    let (answer, _) = scene.post(PROFILE, &device, &message).await?;
    let old = device.holding(answer.certificate()?);

    let theirs = scene.challenge("sensor-2").await?;
    let fresh = scene.challenge("sensor-1").await?;
    for (challenge, rule) in [
        (None, "SIG-19"),
        // The first enrolment's, which a renewal by an RSA key may send again.
        (Some(first.as_str()), "SIG-02"),
        (Some(theirs.as_str()), "SIG-20"),
        (Some("a-challenge-that-was-never-issued"), "SIG-11"),
        (Some(fresh.as_str()), ""),
        (Some(fresh.as_str()), "SIG-02"),
    ] {
        let refused = scene.renew(&old, "sensor-1", challenge).await?;
        assert_eq!(refused, rule, "{challenge:?}");
    }
    // Nothing was taken from the other device.
    let other = Device::on_curve(P256, &theirs)?;
    let csr = other.csr(&subject("sensor-2"), Some(&theirs), &[])?;
    let message = other.pkcs_req(&scene.anchors, &csr).await?;
    scene
        .post(PROFILE, &other, &message)
        .await?
        .0
        .certificate()?;
    Ok(())
}

#[tokio::test]
async fn our_client_enrols_over_each_curve_and_renews_by_a_fresh_challenge() -> Result<()> {
    let scene = Scene::set().await?;
    let installation = &scene.installation;
    let file = |name: &str| {
        let path = installation.scratch().join(name);
        path.to_string_lossy().into_owned()
    };
    let judges = Judges::of(installation);
    for (curve, bits) in [("p256", 256), ("p384", 384)] {
        let (key, certificate) = (file(&format!("{curve}.key")), file(&format!("{curve}.pem")));
        let (name, challenge) = (subject(curve), scene.challenge(curve).await?);
        let enrol = ["enrol", "--profile", PROFILE, "--key-type", curve];
        let files = ["--key", &key, "--cert", &certificate];
        let by = ["--subject", &name, "--challenge", &challenge];
        installation
            .assay(&[&enrol[..], &files, &by].concat())
            .await?
            .succeeded()?;
        judges.accept(certificate.as_ref()).await?;
        let issued = std::fs::read(&certificate)?;
        let issued = openssl::x509::X509::from_pem(&issued)?.public_key()?;
        assert_eq!(issued.bits(), bits);

        let (new_key, new) = (format!("{key}.new"), format!("{certificate}.new"));
        let files = ["--key", &new_key, "--cert", &new];
        let renew = ["--renew", &certificate, &key];
        let without = installation
            .assay(&[&enrol[..], &files, &renew].concat())
            .await?
            .failed()?;
        assert!(
            without.stderr.contains("--challenge-file"),
            "{}",
            without.stderr
        );

        let challenge = file("challenge.txt");
        std::fs::write(&challenge, scene.challenge(curve).await?)?;
        let by = ["--challenge-file", &challenge];
        installation
            .assay(&[&enrol[..], &files, &renew, &by].concat())
            .await?
            .succeeded()?;
        judges.accept(new.as_ref()).await?;
    }
    Ok(())
}
