//! Revocation, hold and release reach relying parties through the CRL.

use anyhow::{Context, Result};
use assay_tests::certificate::write_pem;
use assay_tests::crl::{self, Crl};
use assay_tests::http;
use assay_tests::operator::Operator;
use assay_tests::process;
use assay_tests::query::serial_hex;
use serde_json::Value;

use crate::Scene;

/// Runs `assay cert …` and returns the number of the CRL that tells of it.
async fn change(scene: &Scene, arguments: &[&str]) -> Result<u64> {
    let arguments = [&["--json", "cert"], arguments].concat();
    let done = scene.installation.assay(&arguments).await?.succeeded()?;
    let done: Value = serde_json::from_slice(&done.stdout)?;
    done.get("crl_number")
        .and_then(Value::as_u64)
        .context("no CRL number")
}

#[tokio::test]
async fn each_change_is_on_a_crl_of_the_next_number_at_once() -> Result<()> {
    let mut scene = Scene::set().await?;
    let device = scene.enrol("devices", "pump-1").await?;
    let neighbour = scene.enrol("devices", "pump-2").await?;
    let serial = serial_hex(device.certificate())?;
    let pem = scene.installation.scratch().join("device.pem");
    write_pem(device.certificate(), &pem)?;
    let mut last = Crl::from_number(&scene.installation, 1).await?;
    last.check(&scene.installation, &pem).await?.succeeded()?;

    for (arguments, state, reason) in [
        (&["hold", &serial][..], "held", Some("Certificate Hold")),
        (&["release", &serial], "issued", None),
        (
            &["revoke", &serial, "--reason", "key-compromise"],
            "revoked",
            Some("Key Compromise"),
        ),
    ] {
        let number = change(&scene, arguments).await?;
        assert_eq!(number, last.number + 1, "{arguments:?}");
        let crl = Crl::from_number(&scene.installation, number).await?;
        assert_eq!(crl.number, number);
        assert_eq!(
            crl.reason(device.certificate())?.as_deref(),
            reason,
            "{arguments:?}"
        );
        assert_eq!(crl.reason(neighbour.certificate())?, None);
        assert_eq!(scene.state(device.certificate()).await?.0, state);
        let verdict = crl.check(&scene.installation, &pem).await?;
        match reason {
            None => drop(verdict.succeeded()?),
            Some(_) => {
                let verdict = verdict.failed()?.all();
                assert!(verdict.contains("certificate revoked"), "{verdict}");
            }
        }
        last = crl;
    }

    let release = ["cert", "release", &serial];
    let refused = scene.installation.assay(&release).await?.failed()?.all();
    assert!(refused.contains("not on hold"), "{refused}");
    let again = change(&scene, &["revoke", &serial]).await?;
    assert_eq!(again, last.number);
    Ok(())
}

#[tokio::test]
async fn the_frontend_serves_the_crl_while_the_signer_is_away_and_a_restart_keeps_its_number()
-> Result<()> {
    let mut scene = Scene::set().await?;
    let device = scene.enrol("devices", "pump-1").await?;
    let number = change(&scene, &["revoke", &serial_hex(device.certificate())?]).await?;
    let before = Crl::from_number(&scene.installation, number).await?;

    let signer = scene.installation.ready().pids.signer;
    process::kill_if_of(signer, &scene.installation.ready().dir);
    let kept = http::get(&crl::url(&scene.installation)?).await?;
    assert_eq!((kept.status, &kept.body), (200, &before.der));

    scene.installation.stop().await?;
    scene.installation.serve().await?;
    let after = Crl::from_number(&scene.installation, number).await?;
    assert!(after.number >= number, "{} < {number}", after.number);
    assert!(after.reason(device.certificate())?.is_some());
    scene.operator = Operator::connect(&scene.installation.ready().dir).await?;
    assert_eq!(scene.state(device.certificate()).await?.0, "revoked");
    Ok(())
}
