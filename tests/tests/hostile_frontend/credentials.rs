//! The credentials of one role at the listeners of another.

use std::path::Path;

use anyhow::{Context, Result};
use assay_runtime::identity::Identity;
use assay_runtime::mtls::{self, TlsFiles};
use assay_tests::contract::{calls, is_kept_out, refusal};
use assay_tests::frontend;
use assay_tests::installation::{Installation, value};
use assay_tests::operator::{Operator, administration};
use tonic::Code;
use tonic::client::Grpc;

#[tokio::test]
async fn the_frontends_credentials_open_no_administration_call() -> Result<()> {
    let installation = Installation::start().await?;
    let dir = &installation.ready().dir;
    let (address, signer) = administration(dir)?;
    let mut thief = Grpc::new(frontend::channel(dir, &address, signer).await?);
    for call in calls("Administration")? {
        let refusal = refusal(&mut thief, "Administration", &call).await;
        assert!(is_kept_out(refusal.as_ref()), "{call}: {refusal:?}");
    }
    // The listener was there all the while.
    Operator::connect(dir).await?.status().await?;
    Ok(())
}

#[tokio::test]
async fn the_operators_credentials_open_no_enrolment_call() -> Result<()> {
    let installation = Installation::start().await?;
    let dir = &installation.ready().dir;
    let files = TlsFiles {
        certificate: dir.join("transport/operator.pem"),
        private_key: dir.join("transport/operator.key"),
        trust_anchors: dir.join("transport/anchors-signers.pem"),
    };
    let (_, signer) = administration(dir)?;
    let mut thief = Grpc::new(mtls::connect(&enrolment(dir)?, &files, signer).await?);
    for call in calls("Enrolment")? {
        let refusal = refusal(&mut thief, "Enrolment", &call).await;
        assert!(is_kept_out(refusal.as_ref()), "{call}: {refusal:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_caller_notices_a_signer_of_another_name() -> Result<()> {
    let installation = Installation::start().await?;
    let dir = &installation.ready().dir;
    let another = Identity::parse("assay://signer/another")?;
    let mut caller = Grpc::new(frontend::channel(dir, &enrolment(dir)?, another).await?);
    let refusal = refusal(&mut caller, "Enrolment", "PublicInfo").await;
    assert_eq!(
        refusal.context("it was taken for another")?.code(),
        Code::Unavailable
    );
    Ok(())
}

/// Address of the Enrolment listener.
fn enrolment(dir: &Path) -> Result<String> {
    let address = value(&dir.join("frontend.toml"), &["signer", "address"])?;
    Ok(address
        .as_str()
        .context("signer.address is no string")?
        .to_owned())
}
