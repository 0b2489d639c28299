//! What a request needed beyond the profile's lists: recorded, counted, kept with the device, and off at its end.

use anyhow::Result;
use assay_scep::{Cipher, Digest};
use assay_tests::metrics::Metrics;
use assay_tests::operator::Operator;
use assay_tests::wait;
use openssl::asn1::Asn1Time;
use openssl::x509::X509;

use crate::{ENDED, Form, LEGACY, Scene};

#[tokio::test]
async fn who_needs_an_exception_is_known_by_name_and_refused_once_it_has_ended() -> Result<()> {
    let scene = Scene::set(&[("legacy", LEGACY)]).await?;
    let mut operator = Operator::connect(&scene.installation.ready().dir).await?;
    let old = Form {
        digest: Digest::Sha1,
        csr_digest: Digest::Sha1,
        cipher: Cipher::DesEde3Cbc,
        ..Form::default()
    };
    let issued = scene.enrol("legacy", old, "old-1").await?;
    let [certificate, chain @ ..] = issued.as_slice() else {
        anyhow::bail!("SUCCESS without a certificate");
    };
    assert!(!chain.is_empty(), "chain_in_reply");
    let now = Asn1Time::days_from_now(0)?;
    let age = X509::from_der(certificate)?.not_before().diff(&now)?;
    // The profile's own hour, and the nine of the skew.
    assert!((0, 10 * 3_600) <= (age.days, age.secs), "{age:?}");
    scene.enrol("legacy", Form::default(), "new-1").await?;

    let records = operator.audit(0).await?;
    let needed: Vec<String> = records
        .iter()
        .filter(|record| record.kind() == "request.issued" && record.text("profile") == "legacy")
        .map(|record| record.texts("quirks").join(" "))
        .collect();
    let changes = "chain_in_reply not_before_skew";
    assert_eq!(
        needed,
        [
            format!("allow_sha1 allow_3des {changes}"),
            changes.to_owned()
        ]
    );
    let metrics = Metrics::scrape(&scene.installation.ready().metrics.signer).await?;
    let counted = |quirk: &str| {
        let labels = ["profile=\"legacy\"", &format!("quirk=\"{quirk}\"")];
        metrics.sum("assay_signer_quirk_uses_total", &labels)
    };
    assert_eq!(
        ["allow_sha1", "allow_3des", "chain_in_reply"].map(counted),
        [1.0, 1.0, 2.0]
    );
    let row = |quirk: &str, name: &str, allowed: bool, until: &str| {
        (
            quirk.to_owned(),
            format!("CN={name},O=Example"),
            allowed,
            until.to_owned(),
        )
    };
    let kept = scene.legacy().await?;
    assert_eq!(kept.len(), 6, "{kept:?}");
    assert!(
        kept.contains(&row("allow_sha1", "old-1", true, "")),
        "{kept:?}"
    );
    assert!(
        !kept.contains(&row("allow_sha1", "new-1", true, "")),
        "{kept:?}"
    );

    scene
        .installation
        .add_profile("legacy", "devices", ENDED)
        .await?;
    for form in [
        Form {
            digest: Digest::Sha1,
            ..Form::default()
        },
        Form {
            cipher: Cipher::DesEde3Cbc,
            ..Form::default()
        },
    ] {
        assert!(!scene.takes("legacy", form).await?, "{form:?}");
    }
    wait::until("the end to be advertised", wait::REACTION, async || {
        let caps = scene.advertised("legacy").await?;
        Ok((!caps.contains("SHA-1") && !caps.contains("DES3")).then_some(()))
    })
    .await?;
    let kept = scene.legacy().await?;
    let ended = "2025-06-01T00:00:00Z";
    assert!(
        kept.contains(&row("allow_3des", "old-1", false, ended)),
        "{kept:?}"
    );
    assert!(
        kept.contains(&row("chain_in_reply", "new-1", false, "")),
        "{kept:?}"
    );
    Ok(())
}
