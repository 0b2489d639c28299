//! One address in a hurry is asked to wait; nobody else is.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context, Result};
use assay_tests::device::{Anchors, Device};
use assay_tests::http;
use assay_tests::installation::{Installation, set};
use assay_tests::metrics::Metrics;
use assay_tests::wait;

const RATE: u32 = 2;
const BURST: u32 = 5;
const GREEDY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const OTHER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);

/// What one address met.
struct Met {
    relayed: u32,
    turned_away: u32,
    seconds: f64,
}

#[tokio::test]
async fn one_address_past_its_rate_is_put_off_and_the_others_are_served() -> Result<()> {
    let mut installation = Installation::start().await?;
    installation.stop().await?;
    let file = installation.path("frontend.toml");
    for (key, value) in [("address_rate", RATE), ("address_burst", BURST)] {
        set(&file, &["limits", key], i64::from(value))?;
    }
    installation.serve().await?;
    let url: Arc<str> = installation.url("devices")?.into();
    let before = at_the_signer(&installation).await?;

    let stop = Arc::new(AtomicBool::new(false));
    let hurry = tokio::spawn(hurry(url.clone(), Arc::clone(&stop)));
    wait::until("a request put off", wait::REACTION, async || {
        let metrics = Metrics::scrape(&installation.ready().metrics.frontend).await?;
        let put_off = metrics.sum("assay_http_requests_total", &["outcome=\"address-limit\""]);
        Ok((put_off > f64::from(BURST)).then_some(()))
    })
    .await?;
    let anchors = Anchors::of(&installation)?;
    let subject = "CN=pump-1,O=Example";
    let challenge = installation.challenge(subject, &[]).await?;
    let device = Device::new()?;
    let csr = device.csr(subject, Some(&challenge), &[])?;
    let message = device.pkcs_req(&anchors, &csr).await?;
    let response = http::post_from(OTHER, &url, &message.bytes).await?;
    assert_eq!(response.status, 200, "{}", response.text());
    let answer = device.read(&anchors, &message, &response.body).await?;
    answer.certificate()?;
    stop.store(true, Ordering::Relaxed);
    let Met {
        relayed,
        turned_away,
        seconds,
    } = hurry.await??;

    assert!(turned_away > BURST);
    let allowed = f64::from(BURST) + f64::from(RATE) * seconds;
    assert!(f64::from(relayed) <= allowed, "{relayed} in {seconds} s");
    let asked = at_the_signer(&installation).await? - before;
    // Its own and the one of the other address.
    assert!((asked - f64::from(relayed + 1)).abs() < f64::EPSILON);
    let public = format!("{url}?operation=GetCACaps");
    assert_eq!(http::get(&public).await?.status, 200);
    wait::until("a place for the first again", wait::REACTION, async || {
        let status = http::post_from(GREEDY, &url, b"no message").await?.status;
        Ok((status == 400).then_some(()))
    })
    .await
}

/// Sends what the signer answers with 400, as fast as it can.
async fn hurry(url: Arc<str>, stop: Arc<AtomicBool>) -> Result<Met> {
    let begin = Instant::now();
    let (mut relayed, mut turned_away) = (0, 0);
    while !stop.load(Ordering::Relaxed) {
        let response = http::post_from(GREEDY, &url, b"no message").await?;
        match response.status {
            400 => relayed += 1,
            503 => {
                let retry_after = response.header("retry-after").context("no Retry-After")?;
                assert_eq!(retry_after, "1");
                turned_away += 1;
            }
            other => anyhow::bail!("HTTP {other}: {}", response.text()),
        }
    }
    Ok(Met {
        relayed,
        turned_away,
        seconds: begin.elapsed().as_secs_f64(),
    })
}

async fn at_the_signer(installation: &Installation) -> Result<f64> {
    let metrics = Metrics::scrape(&installation.ready().metrics.signer).await?;
    Ok(metrics.sum("assay_signer_requests_total", &[]))
}
