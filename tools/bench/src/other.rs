//! `assay-bench other`: the rate of another SCEP server, by the same load.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::load::Sent;
use super::report::Latency;
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

/// What was seen of it. Its failures are reported, and do not fail the benchmark.
#[derive(Debug, Serialize)]
struct Report {
    requests: usize,
    connections: u16,
    failures: usize,
    seconds: f64,
    enrolments_per_second: f64,
    latency_median_ms: f64,
    latency_p99_ms: f64,
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
    let report = Report::new(loaded.len(), good, args.connections, elapsed, &latency);
    out.one(&report, Report::lines)
}

impl Report {
    fn new(
        requests: usize,
        good: usize,
        connections: u16,
        elapsed: Duration,
        latency: &Latency,
    ) -> Self {
        #[allow(clippy::cast_precision_loss, reason = "at most 100,000")]
        let rate = good as f64 / elapsed.as_secs_f64();
        Self {
            requests,
            connections,
            failures: requests.saturating_sub(good),
            seconds: elapsed.as_secs_f64(),
            enrolments_per_second: rate,
            latency_median_ms: latency.median.as_secs_f64() * 1_000.0,
            latency_p99_ms: latency.p99.as_secs_f64() * 1_000.0,
        }
    }

    fn lines(&self) -> Vec<String> {
        vec![
            format!(
                "enrolments    {} over {} connections, {} failed",
                self.requests, self.connections, self.failures
            ),
            format!(
                "rate          {:.0}/s ({:.2} s)",
                self.enrolments_per_second, self.seconds
            ),
            format!(
                "latency       median {:.2} ms, p99 {:.2} ms",
                self.latency_median_ms, self.latency_p99_ms
            ),
        ]
    }
}
