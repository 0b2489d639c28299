//! Requests that are wrong, and requests while the signer is away.

use anyhow::{Context, Result};
use assay_scep::FailInfo;
use assay_tests::audit::terminal;
use assay_tests::device::{Anchors, Answer, Device};
use assay_tests::http;
use assay_tests::installation::Installation;
use assay_tests::metrics::Metrics;
use assay_tests::operator::Operator;
use assay_tests::tiers::Tiers;
use assay_tests::wait;

#[tokio::test]
async fn an_unknown_profile_is_404_for_every_operation() -> Result<()> {
    let installation = Installation::start().await?;
    let url = installation.url("devices")?.replace("/devices", "/nobody");
    for operation in ["GetCACaps", "GetCACert", "PKIOperation&message=AAAA"] {
        assert_eq!(
            http::get(&format!("{url}?operation={operation}"))
                .await?
                .status,
            404,
            "{operation}"
        );
    }
    assert_eq!(http::post(&url, b"anything").await?.status, 404);
    Ok(())
}

#[tokio::test]
async fn what_is_no_pki_message_is_400_and_recorded_once() -> Result<()> {
    let installation = Installation::start().await?;
    let url = installation.url("devices")?;
    let mut operator = Operator::connect(&installation.ready().dir).await?;
    let device = Device::new()?;
    let csr = device.csr("CN=sensor-1,O=Example", None, &[])?;
    let whole = device
        .pkcs_req(&Anchors::of(&installation)?, &csr)
        .await?
        .bytes;
    let truncated = whole.split_last().context("an empty message")?.1.to_vec();
    let trailing = [whole.as_slice(), b"\0"].concat();
    for (what, body) in [
        ("text", b"no message at all".to_vec()),
        ("a truncated message", truncated),
        ("trailing bytes", trailing),
        ("a CSR", csr),
    ] {
        let last = operator
            .audit(0)
            .await?
            .last()
            .context("an empty log")?
            .sequence();
        assert_eq!(http::post(url, &body).await?.status, 400, "{what}");
        let records = operator.audit(last).await?;
        let kinds: Vec<&str> = terminal(&records)
            .iter()
            .map(|record| record.kind())
            .collect();
        assert_eq!(kinds, ["request.malformed"], "{what}");
    }
    assert_eq!(
        http::get(&format!("{url}?operation=Unknown")).await?.status,
        400
    );
    assert_eq!(http::get(url).await?.status, 400);
    Ok(())
}

#[tokio::test]
async fn a_wrong_challenge_is_refused_in_a_cert_rep_and_no_log_shows_a_secret() -> Result<()> {
    let mut installation = Installation::start().await?;
    let anchors = Anchors::of(&installation)?;
    let url = installation.url("devices")?.to_owned();
    let right = installation.challenge("CN=sensor-1,O=Example", &[]).await?;
    let wrong = "a-wrong-challenge-4711";
    let device = Device::new()?;
    let subject = "CN=sensor-1,O=Example";
    assert_eq!(
        device.enrol(&url, &anchors, subject, wrong).await?,
        Answer::Refused(FailInfo::BadRequest),
    );
    device
        .enrol(&url, &anchors, subject, &right)
        .await?
        .certificate()?;

    let records = installation
        .assay(&["--json", "audit", "list"])
        .await?
        .succeeded()?
        .text();
    let pin = std::fs::read_to_string(installation.path("token/user.pin"))?;
    let fleet = installation.ready().fleet_challenge.clone();
    installation.stop().await?;
    let logs = installation.logs()?;
    for secret in [right.as_str(), wrong, pin.trim(), &fleet] {
        assert!(!records.contains(secret), "a secret is in the audit log");
        assert!(!service_logs(&logs, secret), "a secret is in a log");
    }
    Ok(())
}

/// The demo prints the static challenge for its user on purpose; the services log JSON.
fn service_logs(logs: &str, secret: &str) -> bool {
    logs.lines()
        .filter(|line| line.starts_with('{'))
        .any(|line| line.contains(secret))
}

#[tokio::test]
async fn public_answers_survive_the_signer_and_requests_are_put_off() -> Result<()> {
    let mut installation = Installation::start().await?;
    installation.stop().await?;
    let mut tiers = Tiers::start(&installation).await?;
    let url = tiers.url("devices");
    let capabilities = http::get(&format!("{url}?operation=GetCACaps")).await?;
    let certificates = http::get(&format!("{url}?operation=GetCACert")).await?;
    assert_eq!(capabilities.header("content-type"), Some("text/plain"));
    assert_eq!(
        certificates.header("content-type"),
        Some("application/x-x509-ca-ra-cert")
    );

    tiers.kill_signer().await?;
    for (operation, before) in [("GetCACaps", &capabilities), ("GetCACert", &certificates)] {
        let after = http::get(&format!("{url}?operation={operation}")).await?;
        assert_eq!(
            (after.status, &after.body),
            (200, &before.body),
            "{operation}"
        );
    }
    let device = Device::new()?;
    let csr = device.csr("CN=sensor-1,O=Example", Some("any"), &[])?;
    let anchors = Anchors::of(&installation)?;
    let message = device.pkcs_req(&anchors, &csr).await?;
    let put_off = http::post(&url, &message.bytes).await?;
    assert_eq!(put_off.status, 503);
    assert!(put_off.header("retry-after").is_some());

    tiers.restart().await?;
    wait::until(
        "the frontend finds the signer again",
        wait::REACTION,
        async || Ok(device.post(&url, &anchors, &message).await.ok()),
    )
    .await?;
    Ok(())
}

#[tokio::test]
async fn both_services_count_requests_and_token_operations() -> Result<()> {
    let installation = Installation::start().await?;
    let anchors = Anchors::of(&installation)?;
    let challenge = installation.challenge("CN=sensor-1,O=Example", &[]).await?;
    let endpoints = &installation.ready().metrics;
    let before = Metrics::scrape(&endpoints.signer).await?;
    let url = installation.url("devices")?;
    Device::new()?
        .enrol(url, &anchors, "CN=sensor-1,O=Example", &challenge)
        .await?
        .certificate()?;

    let signer = Metrics::scrape(&endpoints.signer).await?;
    let issued = ["profile=\"devices\"", "outcome=\"issued\""];
    let count = |metrics: &Metrics| metrics.sum("assay_signer_requests_total", &issued);
    assert!(
        (count(&signer) - count(&before) - 1.0).abs() < f64::EPSILON,
        "{signer:?}"
    );
    for name in ["assay_token_queue_depth", "assay_token_healthy"] {
        assert!(signer.has(name), "{name}: {signer:?}");
    }
    let frontend = Metrics::scrape(&endpoints.frontend).await?;
    let operations = ["operation=\"PKIOperation\"", "profile=\"devices\""];
    assert!(
        frontend.sum("assay_http_requests_total", &operations) >= 1.0,
        "{frontend:?}"
    );
    Ok(())
}
