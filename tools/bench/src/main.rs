//! assay-bench: the token alone, a running instance beside it, and other servers to compare with.

mod cpu;
mod enrol;
mod generate;
mod keys;
mod load;
mod ocsp;
mod other;
mod refusals;
mod report;
mod server;
mod service;
mod settings;
mod token;

use std::path::PathBuf;
use std::process::ExitCode;

use assay_console::{failure, files, generated, output, program, progress};
use assay_operator::{admin, installation, process};
use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::failure::Outcome;
use crate::installation::Installation;
use crate::output::Output;

const EXIT_CODES: &str = "\
Exit codes:
  0  done, and every bound was held
  1  failed, or a bound was not held
  2  wrong usage or configuration
  3  the signer or the frontend cannot be reached
  4  stopped by the operator before the end";

/// Measures an installation of Assay, and other SCEP servers to compare with.
#[derive(Debug, Parser)]
#[command(name = "assay-bench", version, after_help = EXIT_CODES, max_term_width = 100)]
struct Cli {
    /// Print one JSON value instead of text
    #[arg(long, global = true)]
    json: bool,

    #[command(subcommand)]
    command: Command,
}

/// The installation that a subcommand measures, or keeps its keys in.
#[derive(Debug, Clone, Args)]
struct At {
    /// Directory of the installation [default: the current one, else ./assay-demo]
    #[arg(long, env = "ASSAY_DIR", value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl At {
    fn find(&self) -> Outcome<Installation> {
        Installation::find(self.dir.as_deref())
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The private-key operations of an enrolment alone, through an HSM service of our own
    Token(token::TokenBench),
    /// Enrolments with distinct keys and names against the running instance, beside the token's own cost
    Enrol(enrol::EnrolBench),
    /// Enrolments against another SCEP server, by the same load: its rate, to compare with
    Other(other::OtherBench),
    /// Whether refusals tell, by bytes or by time, what about the envelope or the CSR was wrong
    Refusals(refusals::RefusalsBench),
    /// OCSP responses of 100,000 certificates, signed ahead and refreshed in time, beside the token's own cost
    Ocsp(ocsp::OcspBench),
    /// A store of many certificates that verifies, with an export of it, by keys of its own
    Generate(generate::Generate),
    /// Print a completion script for a shell
    Completions(generated::CompletionsArgs),
    /// Write manual pages into a directory
    Man(generated::ManArgs),
}

fn main() -> ExitCode {
    program::run("assay-bench", Box::pin(dispatch(Cli::parse())))
}

async fn dispatch(cli: Cli) -> Outcome {
    let out = Output::new(cli.json);
    match cli.command {
        Command::Token(args) => {
            let report = token::run(&args, &args.at.find()?).await?;
            out.one(&report, token::TokenReport::lines)
        }
        Command::Enrol(args) => enrol::run(&args, &args.at.find()?, out).await,
        Command::Other(args) => other::run(&args, &args.at.find()?, out).await,
        Command::Refusals(args) => refusals::run(&args, &args.at.find()?, out).await,
        Command::Ocsp(args) => ocsp::run(&args, out).await,
        Command::Generate(args) => generate::run(&args, out).await,
        Command::Completions(args) => generated::completions(&args, Cli::command(), out),
        Command::Man(args) => generated::man(&args, Cli::command(), out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
