//! How old the CRL and the responses are can be watched, and it is told before either ends.

use anyhow::Result;
use assay_tests::installation::{Installation, set};
use assay_tests::ocsp::Responder;
use assay_tests::wait;

use crate::{Scene, ready};

/// Seconds from thisUpdate to nextUpdate.
const VALIDITY: u8 = 12;

#[tokio::test]
async fn crl_and_responses_that_are_not_renewed_are_told_before_they_end() -> Result<()> {
    let mut installation = Installation::start_with(&["--ocsp"]).await?;
    installation.stop().await?;
    for part in ["crl", "ocsp"] {
        let file = installation.path("signer.toml");
        set(&file, &[part, "validity"], format!("{VALIDITY}s"))?;
        set(&file, &[part, "refresh"], "2s")?;
    }
    installation.serve().await?;
    let scene = Scene {
        responder: Responder::of(&installation)?,
        installation,
    };
    scene.enrolled("pump-1").await?;

    // Until the lists of before, which were good for days, have been replaced.
    let names = ["assay_crl_left_seconds", "assay_ocsp_left_seconds"];
    wait::until("gauges of both", wait::REACTION, async || {
        let metrics = scene.signer().await?;
        let fresh = names.iter().all(|name| {
            metrics.has(name) && (1.0..=f64::from(VALIDITY)).contains(&metrics.sum(name, &[]))
        });
        let age = metrics.has("assay_crl_age_seconds")
            && metrics.sum("assay_crl_age_seconds", &[]) < f64::from(VALIDITY);
        Ok((fresh && age).then_some(()))
    })
    .await?;
    let metrics = scene.signer().await?;
    for name in ["assay_ocsp_due", "assay_ocsp_responder_left_seconds"] {
        assert!(metrics.has(name), "{name}: {metrics:?}");
    }
    let signed = metrics.sum("assay_ocsp_responses", &["state=\"signed\""]);
    assert!(signed >= 1.0, "{metrics:?}");

    let (here, away) = (
        scene.installation.path("token/tokens"),
        scene.installation.path("token/away"),
    );
    let warnings = async || -> Result<String> {
        Ok(ready(&scene.installation).await?["warnings"].to_string())
    };
    let wanted = [
        "crl: the latest list ends",
        "ocsp: ",
        "are due and the first of them ends soon",
    ];
    std::fs::rename(&here, &away)?;
    wait::until("both warnings", wait::REACTION, async || {
        let told = warnings().await?;
        Ok(wanted.iter().all(|part| told.contains(part)).then_some(()))
    })
    .await?;
    std::fs::rename(&away, &here)?;
    wait::until("no warning", wait::REACTION, async || {
        let told = warnings().await?;
        Ok((!wanted.iter().any(|part| told.contains(part))).then_some(()))
    })
    .await
}
