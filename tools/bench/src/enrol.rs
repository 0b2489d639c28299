//! `assay-bench enrol`: what an enrolment costs the server, beside what the token alone costs.

use std::sync::Arc;

use clap::Args;

use super::cpu::Pids;
use super::report::{Latency, Rate, Report};
use super::token::{self, TokenBench};
use super::{keys, load, server};
use crate::At;
use crate::admin::Admin;
use crate::failure::{Failure, Outcome};
use crate::installation::Installation;
use crate::output::Output;

#[derive(Debug, Args)]
pub(crate) struct EnrolBench {
    #[command(flatten)]
    pub(super) at: At,

    /// Requests to send, each with a key and a name of its own; making 1,000 keys takes minutes, once
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    requests: u32,

    /// Connections that send them
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1_024))]
    connections: u16,

    /// Profile with one-time challenges that allows CN under O=Example
    #[arg(long, default_value = "devices")]
    profile: String,

    /// SCEP URL [default: that of the profile in the installation]
    #[arg(long)]
    url: Option<String>,

    /// Enrolments' worth of operations for the token alone
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    token_enrolments: u64,
}

pub(super) async fn run(args: &EnrolBench, installation: &Installation, out: Output) -> Outcome {
    let url = server::url(args.url.as_deref(), &args.profile, installation)?;
    let mut admin = Admin::connect(installation).await?;
    let pids = Pids::find(installation, &admin.status().await?)?;
    let ca = server::own_certificates(&url).await?;
    let keys = keys::get(
        installation,
        usize::try_from(args.requests).unwrap_or(usize::MAX),
    )
    .await?;
    let loaded = Arc::new(load::prepare(&mut admin, &args.profile, keys, &ca).await?);

    let before = pids.read()?;
    let (sent, elapsed) = load::send(&url, &loaded, args.connections.into()).await?;
    let cpu = pids.read()?.since(before);

    if Pids::find(installation, &admin.status().await?)? != pids {
        return Err(Failure::failed(
            "a process was replaced during the benchmark: its CPU time is lost",
        )
        .next("see the logs, and run it again"));
    }
    let latency = Latency::of(sent.iter().map(|sent| sent.latency).collect());
    let failures = load::judge(sent, &loaded, &ca).await;
    let token = token::run(
        &TokenBench {
            at: args.at.clone(),
            enrolments: args.token_enrolments,
            threads: None,
        },
        installation,
    )
    .await?;
    let (count, failed) = (loaded.len(), failures.len());
    let rate = Rate::new(count, failed, args.connections, elapsed, &latency);
    let report = Report::new(rate, cpu, token);
    out.one(&report, Report::lines)?;
    match failures.into_iter().next() {
        None => Ok(()),
        Some(first) => Err(Failure::failed(format!(
            "{} of {} requests failed",
            report.rate.failures, report.rate.requests
        ))
        .because(first.to_string())
        .next("see the signer's audit log: `assay audit list --kind request.refused`")),
    }
}
