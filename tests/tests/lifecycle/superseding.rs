//! What becomes of a certificate when its successor is there.

use anyhow::Result;
use assay_tests::crl::Crl;
use assay_tests::device::Device;
use assay_tests::query::{RENEWAL_REQ, serial_hex};
use assay_tests::wait;

use crate::{Scene, subject};

#[tokio::test]
async fn a_superseded_certificate_is_revoked_after_the_grace_of_its_profile() -> Result<()> {
    let mut scene = Scene::set().await?;
    let changes = "ticket = 'LIFE-7'\n[renewal]\nsupersede = 'revoke'\nrevoke_after = '1s'\n";
    scene
        .installation
        .add_profile("replaced", "devices", changes)
        .await?;
    let old = scene.enrol("replaced", "pump-1").await?;
    let first = Crl::from_number(&scene.installation, 1).await?;
    assert_eq!(first.reason(old.certificate())?, None);

    let csr = Device::new()?.csr(&subject("pump-1"), None, &[])?;
    let message = old.of_type(&scene.anchors, RENEWAL_REQ, &csr).await?;
    let (answer, _) = scene.post("replaced", &old, &message).await?;
    let new = answer.certificate()?.to_vec();

    let crl = Crl::from_number(&scene.installation, first.number + 1).await?;
    let reason = crl.reason(old.certificate())?;
    assert_eq!(reason.as_deref(), Some("Superseded"));
    assert_eq!(crl.reason(&new)?, None);
    let revoked = wait::until("revocation in the index", wait::REACTION, async || {
        let (state, successor) = scene.state(old.certificate()).await?;
        Ok((state == "revoked").then_some(successor))
    });
    assert_eq!(revoked.await?, serial_hex(&new)?);
    assert_eq!(scene.state(&new).await?.0, "issued");
    Ok(())
}
