//! Renewal by our own client: over each curve, by a fresh challenge.

use anyhow::Result;
use assay_tests::certificate::Judges;

use super::{PROFILE, Scene, subject};

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
