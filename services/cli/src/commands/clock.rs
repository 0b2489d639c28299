//! `assay clock accept`: the signer believes a clock that jumped.

use assay_console::failure::{Next, Outcome};
use assay_console::output::Output;
use assay_operator::admin::Admin;
use assay_operator::installation::Installation;
use assay_proto::v1::administration_client::AdministrationClient;
use assay_proto::v1::{AcceptClockReply, AcceptClockRequest};
use assay_types::Timestamp;
use clap::{Args, Subcommand};

const EXAMPLES: &str = "\
Examples:
  assay clock accept --from 2026-03-01T08:00:00Z --to 2026-04-15T08:00:00Z";

#[derive(Debug, Subcommand)]
pub(crate) enum ClockCommand {
    /// Accept a jump of the signer's clock, so that it issues again
    #[command(long_about = "\
Accepts a jump of the signer's clock, so that the signer issues again. Compare the clock of the host with another one first: \
certificates, CRLs and OCSP responses get their times from it. Set a wrong clock right instead; the signer is ready again by itself then.

The jump is named exactly as `assay status` shows it. For 24 hours nothing is pruned, and nothing is dropped from a CRL. The HSM \
service has a guard of its own: `assay-hsm accept-clock` on its host. docs/clock.md says what to look at.")]
    #[command(after_help = EXAMPLES)]
    Accept(AcceptArgs),
}

#[derive(Debug, Args)]
pub(crate) struct AcceptArgs {
    /// The time that was expected
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Timestamp,

    /// The time that the clock jumped to
    #[arg(long, value_name = "TIME", value_parser = time)]
    to: Timestamp,
}

fn time(text: &str) -> Result<Timestamp, humantime::TimestampError> {
    humantime::parse_rfc3339(text).map(Timestamp::from)
}

pub(crate) async fn run(
    command: ClockCommand,
    installation: &Installation,
    out: Output,
) -> Outcome {
    let ClockCommand::Accept(AcceptArgs { from, to }) = command;
    let mut admin = Admin::connect(installation).await?;
    let request = AcceptClockRequest {
        from: Some(from.into()),
        to: Some(to.into()),
    };
    let accepted = admin
        .call(request, AdministrationClient::accept_clock)
        .await
        .next("`assay status` shows the clock and the jump")?;
    out.one(&accepted, |accepted| vec![line(accepted)])
}

fn line(accepted: &AcceptClockReply) -> String {
    let until = accepted.clock.and_then(|clock| clock.settling_until);
    let until = until.map_or_else(String::new, |until| until.to_string());
    format!("the jump is accepted: nothing is pruned, or dropped from a CRL, until {until}")
}
