//! `assay bench`: the token alone, a running instance beside it, and other servers to compare with.

mod cpu;
mod enrol;
mod keys;
mod load;
mod ocsp;
mod other;
mod refusals;
mod report;
mod settings;
mod token;

use std::path::Path;

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
    /// Enrolments against another SCEP server, by the same load: its rate, to compare with
    Other(other::OtherBench),
    /// Whether refusals tell, by bytes or by time, what about the envelope or the CSR was wrong
    Refusals(refusals::RefusalsBench),
    /// OCSP responses of 100,000 certificates, signed ahead and refreshed in time, beside the token's own cost
    Ocsp(ocsp::OcspBench),
}

pub(crate) async fn run(command: BenchCommand, dir: Option<&Path>, out: Output) -> Outcome {
    let installation = || Installation::find(dir);
    match command {
        BenchCommand::Token(args) => {
            let report = token::run(&args, &installation()?).await?;
            out.one(&report, token::TokenReport::lines)
        }
        BenchCommand::Enrol(args) => enrol::run(&args, &installation()?, out).await,
        BenchCommand::Other(args) => other::run(&args, &installation()?, out).await,
        BenchCommand::Refusals(args) => refusals::run(&args, &installation()?, out).await,
        BenchCommand::Ocsp(args) => ocsp::run(&args, out).await,
    }
}
