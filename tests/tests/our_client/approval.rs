//! A request that waits for an operator.

use anyhow::Result;
use assay_tests::installation::Installation;
use assay_tests::wait;

use super::{Device, field};

/// Exit code of `assay enrol` while a request waits.
const PENDING: i32 = 5;

/// An installation with a further profile, `approved`, whose requests wait.
async fn installation() -> Result<Installation> {
    let installation = Installation::start().await?;
    let approval = "ticket = 'DEMO-9'\n[approval]\nexpires = '1d'\n";
    installation
        .add_profile("approved", "devices", approval)
        .await?;
    Ok(installation)
}

async fn only_request(installation: &Installation) -> Result<String> {
    let listed = installation
        .assay(&["--json", "request", "list"])
        .await?
        .succeeded()?;
    field(&listed, "/0/id")
}

#[tokio::test]
async fn an_approved_request_is_issued_to_who_comes_back_for_it() -> Result<()> {
    let installation = installation().await?;
    let device = Device::new(&installation, "box-1");
    let waiting = device.enrol_by_challenge("approved", &[]).await?;
    assert_eq!(waiting.status.code(), Some(PENDING), "{}", waiting.all());
    assert!(device.file("pending").exists() && device.file("key").exists());

    let id = only_request(&installation).await?;
    let shown = installation
        .assay(&["--json", "request", "show", &id])
        .await?
        .succeeded()?;
    assert_eq!(field(&shown, "/subject")?, device.subject());
    assert_eq!(field(&shown, "/rules/0/holds")?, "true");
    let table = installation
        .assay(&["request", "show", &id])
        .await?
        .succeeded()?
        .text();
    for part in ["RULE", "SUB-05", "holds", "approvals    0 of 1"] {
        assert!(table.contains(part), "{part}: {table}");
    }

    let pending = device.path("pending");
    let resume = ["enrol", "--resume", &pending];
    let early = installation.assay(&resume).await?;
    assert_eq!(early.status.code(), Some(PENDING), "{}", early.all());
    installation
        .assay(&["request", "approve", &id])
        .await?
        .succeeded()?;
    installation.assay(&resume).await?.succeeded()?;
    assert!(device.file("pem").exists() && !device.file("pending").exists());

    let shown = installation
        .assay(&["--json", "request", "show", &id])
        .await?
        .succeeded()?;
    assert_eq!(field(&shown, "/serial")?, device.serial()?);
    Ok(())
}

#[tokio::test]
async fn who_waits_gets_the_certificate_with_the_approval() -> Result<()> {
    let installation = installation().await?;
    let device = Device::new(&installation, "box-2");
    let enrol = device.enrol_by_challenge("approved", &["--wait", "1m", "--poll", "200ms"]);
    let approve = async {
        let id = wait::until("a request that waits", wait::REACTION, async || {
            Ok(only_request(&installation).await.ok())
        })
        .await?;
        installation.assay(&["request", "approve", &id]).await
    };
    let (enrolled, approved) = tokio::join!(enrol, approve);
    approved?.succeeded()?;
    enrolled?.succeeded()?;
    assert!(device.file("pem").exists() && !device.file("pending").exists());
    Ok(())
}

#[tokio::test]
async fn a_denied_request_is_refused_at_the_next_poll() -> Result<()> {
    let installation = installation().await?;
    let device = Device::new(&installation, "box-3");
    let waiting = device.enrol_by_challenge("approved", &[]).await?;
    assert_eq!(waiting.status.code(), Some(PENDING), "{}", waiting.all());
    let id = only_request(&installation).await?;
    installation
        .assay(&["request", "deny", &id])
        .await?
        .succeeded()?;
    let refused = installation
        .assay(&["enrol", "--resume", &device.path("pending")])
        .await?;
    assert_eq!(refused.status.code(), Some(1), "{}", refused.all());
    assert!(!device.file("pem").exists());
    let denied = installation
        .assay(&["--json", "request", "list", "--state", "denied"])
        .await?
        .succeeded()?;
    assert_eq!(field(&denied, "/0/id")?, id);
    Ok(())
}
