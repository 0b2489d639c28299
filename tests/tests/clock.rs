//! The real signer with a wall clock that jumped, by faketime: nothing sets the machine's clock.

use anyhow::{Context, Result};
use assay_tests::installation::{Installation, auditor, value};
use assay_tests::operator::Operator;
use assay_tests::tiers::Tiers;
use assay_tests::{tool, wait};

/// The kinds of all records, and whether any is of a time that has not come.
async fn records(installation: &Installation) -> Result<(Vec<String>, bool)> {
    let mut operator = Operator::connect(&installation.ready().dir).await?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let records = operator.audit(0).await?;
    let of_the_future = records.iter().any(|record| {
        let wall = record.number("wall_ms").unwrap_or_default();
        u128::from(wall) > now.as_millis()
    });
    let kinds = records.iter().map(|record| record.kind().to_owned());
    Ok((kinds.collect(), of_the_future))
}

fn count(kinds: &[String], kind: &str) -> usize {
    kinds.iter().filter(|it| *it == kind).count()
}

/// OpenSSL's words on the signer's answer to an operator's certificate.
async fn handshake(installation: &Installation) -> Result<String> {
    let config = installation.path("assay.toml");
    let address = value(&config, &["administration", "address"])?;
    let mut openssl = tool::command("openssl", "openssl")?;
    openssl.args(["s_client", "-ign_eof", "-connect"]);
    openssl.arg(address.as_str().context("no address")?);
    openssl
        .arg("-cert")
        .arg(installation.path("transport/operator.pem"));
    openssl
        .arg("-key")
        .arg(installation.path("transport/operator.key"));
    Ok(tool::run(&mut openssl, &[]).await?.all())
}

#[tokio::test]
async fn a_start_with_a_clock_that_jumped_changes_nothing_and_the_log_holds() -> Result<()> {
    let mut installation = Installation::start().await?;
    installation.stop().await?;
    let mut tiers = Tiers::start(&installation).await?;
    tiers.until_ready().await?;
    let (before, _) = records(&installation).await?;
    for days in [45, 100, -45] {
        tiers.stop_signer().await?;
        tiers.start_signer_days_ahead(days).await?;
        wait::until("the cause of the clock", wait::REACTION, async || {
            let answer = tiers.readiness().await?;
            let said = String::from_utf8_lossy(&answer.body).contains("the clock jumped from");
            Ok((answer.status == 503 && said).then_some(()))
        })
        .await?;
        // Outside the validity of an operator's certificate, which is 90 days, the signer takes nobody for an operator.
        if days == 45 {
            let status = installation.assay(&["status"]).await?;
            assert!(status.text().contains("assay clock accept"), "{status:?}");
            let (from, to) = ("2030-01-01T00:00:00Z", "2030-02-01T00:00:00Z");
            let accept = ["clock", "accept", "--from", from, "--to", to];
            let refused = installation.assay(&accept).await?.stderr;
            assert!(refused.contains("another jump was named"), "{refused}");
        } else {
            installation.assay(&["status"]).await?.failed()?;
            let refused = handshake(&installation).await?;
            assert!(refused.contains("alert certificate expired"), "{refused}");
        }
        tiers.stop_signer().await?;
        tiers.restart().await?;
        let (kinds, of_the_future) = records(&installation).await?;
        assert!(!of_the_future);
        for kind in [
            "crl.issued",
            "certificate.revoked",
            "clock.step",
            "clock.accepted",
        ] {
            assert_eq!(count(&kinds, kind), count(&before, kind), "{days}: {kind}");
        }
    }
    installation.under_checkpoint().await?;
    let path = |name: &str| {
        installation
            .scratch()
            .join(name)
            .to_string_lossy()
            .into_owned()
    };
    let (export, trust) = (path("export"), path("trust"));
    for arguments in [
        ["export", "--out", &export].as_slice(),
        &["audit", "trust", "-o", &trust],
    ] {
        installation.assay(arguments).await?.succeeded()?;
    }
    let verified = auditor(&["verify", &export, "--trust", &trust]).await?;
    verified.succeeded()?;
    Ok(())
}
