//! `assay-bench ocsp`: whether the responses of a whole fleet are signed anew in time, and what that takes of the token.

mod fill;
mod floor;
mod http;
mod lookups;
mod meter;
mod party;
mod report;
mod run;
mod stand;
mod store;

use std::time::Duration;

use assay_runtime::drain::Shutdown;
use clap::Args;

use self::report::Report;
use self::stand::Stand;
use crate::failure::{Exit, Failure, OrFail, Outcome};
use crate::output::Output;

/// Responses of a certificate: for CertIDs of SHA-1 and of SHA-256.
const HASHES: u64 = 2;
/// Of the time from one response to the next, the part that must pass before the first of them may be due again: the
/// signer spreads them over the rest.
const QUIET: (u64, u64) = (3, 4);
/// Validity over refresh, as the defaults have it (3d and 1d).
const OVERLAP: u32 = 3;

#[derive(Debug, Args)]
#[command(long_about = "\
Makes an installation with an OCSP responder in a temporary directory (--dir is not looked at), enrols devices by a signer in \
this process until its store has the certificates, and measures the signer from outside: how long signing a response for each of them takes, \
then a whole cycle of refreshing, in which other devices enrol. From the beginning to the end relying parties ask the \
frontend for the status of random certificates and verify it. At last as many signatures are asked of the token directly. \
Times from one response to the next are as short as the rate allows, so that the cycle is seen; validity is three times \
that, as by default. Ends with 1 if one of the bounds that it prints is not held.")]
pub(crate) struct OcspBench {
    /// Certificates with a response each; for 100,000 it takes about ten minutes
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(100..=10_000_000))]
    certificates: u32,

    /// ocsp.rate: certificates whose responses are signed a second at most, two token operations each
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,

    /// Enrolments without the refresh, and as many beside it; making 1,000 keys takes minutes
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    requests: u32,

    /// Connections that send them
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1_024))]
    connections: u16,
}

impl OcspBench {
    fn requests(&self) -> usize {
        usize::try_from(self.requests).unwrap_or(usize::MAX)
    }
}

/// The run and its settings.
struct Plan {
    certificates: u32,
    rate: u32,
    refresh: Duration,
    validity: Duration,
    requests: usize,
    connections: u16,
}

pub(super) async fn run(args: &OcspBench, out: Output) -> Outcome {
    let shutdown = Shutdown::on_signals().or_fail("cannot take signals")?;
    let mut stand = Stand::new()?;
    let measured = tokio::select! {
        measured = Box::pin(run::measure(args, &mut stand)) => measured,
        () = shutdown.requested() => Err(Failure::new(Exit::Interrupted, "stopped before the end")),
    };
    let stopped = stand.stop().await;
    let report = match measured.and_then(|report| stopped.map(|()| report)) {
        Ok(report) => report,
        Err(failure) if failure.exit() == Exit::Interrupted => return Err(failure),
        Err(failure) => return Err(with_logs(failure, stand)),
    };
    out.one(&report, Report::lines)?;
    let broken = report.broken();
    if broken.is_empty() {
        return Ok(());
    }
    let failure = Failure::failed(format!("not held: {}", broken.join("; "))).next(
        "on a machine that does nothing else, give a lower --rate; in service, see the token's health or raise ocsp.refresh",
    );
    Err(with_logs(failure, stand))
}

fn with_logs(failure: Failure, stand: Stand) -> Failure {
    match stand.leave_logs() {
        Some(dir) => failure.next(format!("what there is to see is in {}", dir.display())),
        None => failure,
    }
}

impl Plan {
    /// Refreshing begins when all are signed and the enrolments without it are done; `enrolling` is what they were seen to
    /// take, and a machine may be slower when it comes to that.
    fn of(args: &OcspBench, enrolling: Duration) -> Self {
        const ROOM_SECONDS: u64 = 20;
        const SLOWER: u32 = 2;
        let signing = u64::from(args.certificates.div_ceil(args.rate));
        let enrolling = (enrolling * SLOWER).as_secs() + ROOM_SECONDS;
        let (part, whole) = QUIET;
        let refresh = ((signing + signing / 4 + enrolling) * whole).div_ceil(part);
        let refresh = Duration::from_secs(refresh);
        Self {
            certificates: args.certificates,
            rate: args.rate,
            refresh,
            validity: refresh * OVERLAP,
            requests: args.requests(),
            connections: args.connections,
        }
    }

    /// The least time from a response to the next.
    fn quiet(&self) -> Duration {
        let (part, whole) = QUIET;
        Duration::from_secs(self.refresh.as_secs() * part / whole)
    }

    /// How long all of them take at the rate, seconds.
    fn signing_seconds(&self) -> f64 {
        f64::from(self.certificates) / f64::from(self.rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_signing_and_the_enrolments_end_before_the_first_refresh() {
        for (certificates, rate, enrolling) in
            [(100_000, 1_000, 10_u32), (2_000, 200, 60), (100, 1, 1)]
        {
            let args = OcspBench {
                certificates,
                rate,
                requests: 1,
                connections: 8,
            };
            let plan = Plan::of(&args, Duration::from_secs(enrolling.into()));
            let before = plan.signing_seconds() + 2.0 * f64::from(enrolling);
            assert!(plan.quiet().as_secs_f64() >= before + 20.0, "{before}");
            assert_eq!(plan.validity, plan.refresh * 3);
        }
    }
}
