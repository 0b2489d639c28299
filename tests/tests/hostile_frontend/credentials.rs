//! The credentials of one role at the listeners of another.

use std::error::Error as _;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use assay_runtime::identity::Identity;
use assay_runtime::mtls::{self, TlsFiles};
use assay_tests::frontend;
use assay_tests::installation::{Installation, value};
use assay_tests::operator::{Operator, administration};
use tonic::client::Grpc;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

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

/// Every call of a service, from the contract itself, so that a new one is tried as well.
fn calls(service: &str) -> Result<Vec<String>> {
    let contract = Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto/signer.proto");
    let contract = std::fs::read_to_string(contract)?;
    let begin = contract
        .split(&format!("service {service} {{"))
        .nth(1)
        .context("no such service")?;
    let body = begin.split("\n}").next().unwrap_or_default();
    let calls = body
        .lines()
        .filter_map(|line| line.trim().strip_prefix("rpc "));
    let calls: Vec<String> = calls
        .filter_map(|call| call.split('(').next())
        .map(str::to_owned)
        .collect();
    ensure!(!calls.is_empty(), "{service} has no calls");
    Ok(calls)
}

/// Makes a call with an empty message, which every handler would answer or refuse by itself.
async fn refusal(client: &mut Grpc<Channel>, service: &str, call: &str) -> Option<Status> {
    let path = format!("/assay.v1.{service}/{call}").parse().ok()?;
    if let Err(unreachable) = client.ready().await {
        return Some(Status::from_error(Box::new(unreachable)));
    }
    let codec = ProstCodec::<(), ()>::default();
    client.unary(Request::new(()), path, codec).await.err()
}

/// Address of the Enrolment listener.
fn enrolment(dir: &Path) -> Result<String> {
    let address = value(&dir.join("frontend.toml"), &["signer", "address"])?;
    Ok(address
        .as_str()
        .context("signer.address is no string")?
        .to_owned())
}

/// Kept out by TLS (another trust anchor; with TLS 1.3 it shows on the first call) or by the allow-list, before any
/// handler saw the call.
fn is_kept_out(refusal: Option<&Status>) -> bool {
    refusal.is_some_and(|status| {
        let by_tls = status
            .source()
            .is_some_and(|source| source.is::<tonic::transport::Error>());
        by_tls || [Code::PermissionDenied, Code::Unauthenticated].contains(&status.code())
    })
}
