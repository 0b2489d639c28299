//! How old the CRL and the responses are, and how long they last, is in the metrics.

use anyhow::Result;
use assay_tests::wait;

use crate::Scene;

/// Seconds from thisUpdate to nextUpdate of lists, and from one list to the next.
const LIST: [f64; 2] = [7.0 * 86_400.0, 86_400.0];
/// Seconds from thisUpdate to nextUpdate of a response.
const RESPONSE: f64 = 3.0 * 86_400.0;

#[tokio::test]
async fn the_age_and_the_end_of_crl_and_responses_are_gauges() -> Result<()> {
    let scene = Scene::set().await?;
    scene.enrolled("pump-1").await?;
    let [validity, refresh] = LIST;
    wait::until("gauges of both", wait::REACTION, async || {
        let metrics = scene.signer().await?;
        let within = |name: &str, least: f64, most: f64| {
            metrics.has(name) && (least..=most).contains(&metrics.sum(name, &[]))
        };
        let all = within("assay_crl_left_seconds", 1.0, validity)
            && within("assay_crl_age_seconds", 0.0, refresh)
            && within("assay_ocsp_left_seconds", 1.0, RESPONSE)
            && metrics.sum("assay_ocsp_responses", &["state=\"signed\""]) >= 1.0;
        Ok(all.then_some(()))
    })
    .await?;
    let metrics = scene.signer().await?;
    for name in ["assay_ocsp_due", "assay_ocsp_responder_left_seconds"] {
        assert!(metrics.has(name), "{name}: {metrics:?}");
    }
    Ok(())
}
