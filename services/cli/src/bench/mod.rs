//! `assay bench`: the token alone, and a running instance beside it.

mod cpu;
mod enrol;
mod keys;
mod load;
mod refusals;
mod report;
mod settings;
mod token;

use clap::Subcommand;

use crate::failure::Outcome;
use crate::installation::Installation;
use crate::output::Output;

#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// The private-key operations of an enrolment alone, through worker processes of our own
    Token(token::TokenBench),
    /// Enrolments with distinct keys and names against the running instance, beside the token's own cost
    Enrol(enrol::EnrolBench),
    /// Whether refusals tell, by bytes or by time, what about the envelope or the CSR was wrong
    Refusals(refusals::RefusalsBench),
}

pub(crate) async fn run(
    command: BenchCommand,
    installation: &Installation,
    out: Output,
) -> Outcome {
    match command {
        BenchCommand::Token(args) => {
            let report = token::run(&args, installation).await?;
            out.one(&report, token::TokenReport::lines)
        }
        BenchCommand::Enrol(args) => enrol::run(&args, installation, out).await,
        BenchCommand::Refusals(args) => refusals::run(&args, installation, out).await,
    }
}
