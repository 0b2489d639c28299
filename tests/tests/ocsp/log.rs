//! The audit log beside a responder: its counts are of the CA's key alone, and its heads wait for no response.

use anyhow::{Context, Result};
use assay_tests::audit::Record;
use assay_tests::installation::{auditor, set};
use assay_tests::query::serial_hex;
use assay_tests::store::{look, multiply_certificates};
use assay_tests::wait;
use serde_json::Value;

use crate::Scene;
use crate::load::counted;

#[tokio::test]
async fn responses_are_no_signatures_of_the_ca_and_an_export_is_proven_all_the_same() -> Result<()>
{
    let mut scene = Scene::set().await?;
    let device = scene.enrolled("pump-1").await?;
    scene.enrolled("pump-2").await?;
    let serial = serial_hex(&device)?;
    for change in ["hold", "release", "revoke"] {
        let change = ["cert", change, &serial];
        scene.installation.assay(&change).await?.succeeded()?;
    }
    let (operations, _) = counted(&scene).await?;
    let of_the_responder = operations.get("ocsp-sign").copied().unwrap_or_default();

    let records = records(&scene)?.len() as u64;
    wait::until("a head over all", wait::REACTION, async || {
        Ok((head(&scene).await? >= records).then_some(()))
    })
    .await?;
    let out = scene.installation.scratch().join("export");
    let trust = scene.installation.scratch().join("trust");
    let [out, trust] = [&out, &trust].map(|path| path.to_str().unwrap_or_default());
    let made = ["audit", "trust", "--out", trust];
    scene.installation.assay(&made).await?.succeeded()?;
    let made = ["export", "--out", out];
    scene.installation.assay(&made).await?.succeeded()?;
    scene.installation.stop().await?;
    let verify = ["--json", "verify", out, "--trust", trust];
    let ran = auditor(&verify).await?.succeeded()?;
    let verdict: Value = serde_json::from_str(&ran.text())?;
    assert_eq!(verdict["verdict"], "proven", "{verdict}");

    let (counted, explained) = of_the_last_run(&scene)?;
    assert_eq!(counted, explained, "certificates and CRLs");
    // Two certificates and three changes, by CertIDs of two hash algorithms: had they counted, it would show.
    assert!(of_the_responder >= 10, "{operations:?}");
    Ok(())
}

#[tokio::test]
async fn heads_are_signed_while_thousands_of_responses_wait() -> Result<()> {
    const CERTIFICATES: u32 = 20_000;
    let mut scene = Scene::set().await?;
    scene.enrolled("pump-0").await?;
    scene.installation.stop().await?;
    multiply_certificates(&scene.installation.ready().dir, CERTIFICATES).await?;
    let config = scene.installation.path("signer.toml");
    set(&config, &["ocsp", "rate"], 100_000)?;
    set(&config, &["audit", "checkpoint_interval"], "1s")?;
    scene.serve().await?;
    let signed =
        async || -> Result<f64> { Ok(scene.signer().await?.sum("assay_ocsp_signed_total", &[])) };
    let begun = wait::until("responses", wait::REACTION, async || {
        let signed = signed().await?;
        Ok((signed > 0.0).then_some(signed))
    })
    .await?;
    for number in 1..=2 {
        crate::enrol(&scene.installation, &format!("pump-{number}")).await?;
        let records = records(&scene)?.len() as u64;
        wait::until("a head over it", wait::REACTION, async || {
            Ok((head(&scene).await? >= records).then_some(()))
        })
        .await?;
    }
    let ended = signed().await?;
    assert!(
        begun < ended && ended < f64::from(CERTIFICATES),
        "from {begun} to {ended}"
    );
    Ok(())
}

/// Records under the newest head.
async fn head(scene: &Scene) -> Result<u64> {
    let note = scene.installation.assay(&["audit", "checkpoint"]).await?;
    let note = note.succeeded()?.text();
    let size = note.lines().nth(1).context("no size")?;
    Ok(size.parse()?)
}

fn records(scene: &Scene) -> Result<Vec<Record>> {
    let sqlite = look(&scene.installation.ready().dir)?;
    let mut query = sqlite.prepare("SELECT CAST(record AS TEXT) FROM audit ORDER BY sequence")?;
    let rows = query.query_map([], |row| row.get::<_, String>(0))?;
    rows.map(|row| Record::parse(&row?)).collect()
}

/// The HSM service's counts of the signer's last run, and how many signatures its records explain.
fn of_the_last_run(scene: &Scene) -> Result<(u64, u64)> {
    let records = records(scene)?;
    let boot = records.last().context("no record")?.text("boot_id");
    let of_the_run = records
        .iter()
        .filter(|record| record.text("boot_id") == boot);
    let (mut counted, mut explained) = (0, 0);
    for record in of_the_run {
        match record.kind() {
            "request.issued" | "crl.issued" => explained += 1,
            "hsm.counted" if record.is("last") => {
                counted += record.number("ca_signatures").context("no count")?;
            }
            _ => {}
        }
    }
    Ok((counted, explained))
}
