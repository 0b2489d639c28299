//! `assay-bench other`: the rate of another SCEP server, by the same load.

use std::sync::Arc;

use clap::Args;

use super::load::Sent;
use super::report::{Latency, Rate};
use super::{keys, load, server};
use crate::At;
use crate::failure::Outcome;
use crate::installation::Installation;
use crate::output::Output;

#[derive(Debug, Args)]
pub(crate) struct OtherBench {
    #[command(flatten)]
    pub(super) at: At,

    /// Its SCEP URL
    #[arg(long)]
    url: String,

    /// A challenge that it takes again and again, for any name
    #[arg(long)]
    challenge: String,

    /// Requests to send, each with a key and a name of its own
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    requests: u32,

    /// Connections that send them
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1_024))]
    connections: u16,
}

pub(super) async fn run(args: &OtherBench, installation: &Installation, out: Output) -> Outcome {
    let url = server::parse(&args.url)?;
    let ca = server::certificates(&url).await?;
    let count = usize::try_from(args.requests).unwrap_or(usize::MAX);
    let keys = keys::get(installation, count).await?;
    let challenges = vec![args.challenge.clone(); count];
    let loaded = load::build(keys, load::subjects(count)?, challenges, &ca).await?;
    let loaded = Arc::new(loaded);
    let (sent, elapsed) = load::send(&url, &loaded, args.connections.into()).await?;
    let latency = Latency::of(sent.iter().map(|sent| sent.latency).collect());
    // Replies are not opened: some servers still envelope them in single DES, which is never taken here.
    let granted = |sent: &&Sent| {
        let request = loaded.get(sent.index).map(|request| &request.prepared);
        let reply = sent.reply.as_ref().ok();
        request
            .zip(reply)
            .is_some_and(|(request, reply)| request.granted(reply, &ca).is_ok())
    };
    let good = sent.iter().filter(granted).count();
    // Failures are reported, and do not fail the benchmark.
    let failures = loaded.len().saturating_sub(good);
    let rate = Rate::new(loaded.len(), failures, args.connections, elapsed, &latency);
    out.one(&rate, Rate::lines)
}
