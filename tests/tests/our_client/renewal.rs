//! A certificate is the source that authorises the next one.

use anyhow::Result;
use assay_tests::certificate::Judges;
use assay_tests::installation::Installation;

use super::{Device, field, serial};

#[tokio::test]
async fn a_renewal_has_the_old_names_over_a_new_key_or_the_same() -> Result<()> {
    let installation = Installation::start().await?;
    let (old, new, same) = (
        Device::new(&installation, "box-1"),
        Device::new(&installation, "box-1-new"),
        Device::new(&installation, "box-1-same"),
    );
    let subject = old.subject();
    let challenge = installation
        .challenge(&subject, &["dns:box-1.example"])
        .await?;
    old.enrol(
        "devices",
        &[
            "--subject",
            &subject,
            "--san",
            "dns:box-1.example",
            "--challenge",
            &challenge,
        ],
    )
    .await?
    .succeeded()?;

    let (certificate, key) = (old.path("pem"), old.path("key"));
    let renew = ["--renew", &certificate, &key];
    new.enrol("devices", &renew).await?.succeeded()?;
    same.enrol("devices", &[&renew[..], &["--same-key"]].concat())
        .await?
        .succeeded()?;

    let judges = Judges::of(&installation);
    let before = old.certificate()?;
    for (device, keeps_key) in [(&new, false), (&same, true)] {
        judges.accept(&device.file("pem")).await?;
        let after = device.certificate()?;
        assert_eq!(
            after.subject_name().to_der()?,
            before.subject_name().to_der()?
        );
        let names: Vec<_> = after
            .subject_alt_names()
            .into_iter()
            .flatten()
            .filter_map(|name| name.dnsname().map(str::to_owned))
            .collect();
        assert_eq!(names, ["box-1.example"]);
        assert_ne!(serial(&after)?, serial(&before)?);
        let kept = after.public_key()?.public_eq(&*before.public_key()?);
        assert_eq!(kept, keeps_key);
    }
    assert!(!same.file("key").exists());

    let shown = installation
        .assay(&["--json", "cert", "show", &serial(&before)?])
        .await?
        .succeeded()?;
    assert_eq!(field(&shown, "/superseded_by")?, same.serial()?);
    Ok(())
}

#[tokio::test]
async fn a_revoked_certificate_renews_nothing_and_leaves_no_key_behind() -> Result<()> {
    let installation = Installation::start().await?;
    let (old, new) = (
        Device::new(&installation, "box-2"),
        Device::new(&installation, "box-2-new"),
    );
    old.enrol_by_challenge("devices", &[]).await?.succeeded()?;
    installation
        .assay(&["cert", "revoke", &old.serial()?])
        .await?
        .succeeded()?;
    let refused = new
        .enrol("devices", &["--renew", &old.path("pem"), &old.path("key")])
        .await?
        .failed()?;
    assert!(refused.stderr.contains("refused"), "{}", refused.stderr);
    assert!(!new.file("key").exists() && !new.file("pem").exists());
    Ok(())
}
