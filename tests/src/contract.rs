//! The calls of the contract, as the contract itself lists them, so that a new one is tried as well.

use std::error::Error as _;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use tonic::client::Grpc;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

/// Names of the calls of a service.
///
/// # Errors
///
/// When the contract has no such service.
pub fn calls(service: &str) -> Result<Vec<String>> {
    let file = format!("../proto/{}.proto", service.to_lowercase());
    let contract = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
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
pub async fn refusal(client: &mut Grpc<Channel>, service: &str, call: &str) -> Option<Status> {
    let path = format!("/assay.v1.{service}/{call}").parse().ok()?;
    if let Err(unreachable) = client.ready().await {
        return Some(Status::from_error(Box::new(unreachable)));
    }
    let codec = ProstCodec::<(), ()>::default();
    // A unary answer is a stream of one message, so this serves for both kinds.
    match client.server_streaming(Request::new(()), path, codec).await {
        Ok(answer) => answer.into_inner().message().await.err(),
        Err(refused) => Some(refused),
    }
}

/// Kept out by TLS (another trust anchor; with TLS 1.3 it shows on the first call) or by the allow-list, before any
/// handler saw the call.
pub fn is_kept_out(refusal: Option<&Status>) -> bool {
    refusal.is_some_and(|status| {
        let by_tls = status
            .source()
            .is_some_and(|source| source.is::<tonic::transport::Error>());
        by_tls || [Code::PermissionDenied, Code::Unauthenticated].contains(&status.code())
    })
}
