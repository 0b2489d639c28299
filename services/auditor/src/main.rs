//! assay-audit: proves exports and receipts of the log offline, and witnesses checkpoints.
//!
//! It reads files and pinned keys alone, so that an auditor can build and run it without the rest of Assay.

mod args;
mod receipt;
mod tree;
mod verify;
mod witness;

use std::process::ExitCode;

use assay_console::failure::Outcome;
use assay_console::output::Output;
use assay_console::{generated, program};
use clap::{CommandFactory, Parser};

use crate::args::{Cli, Command};

fn main() -> ExitCode {
    program::run("assay-audit", dispatch(Cli::parse()))
}

async fn dispatch(cli: Cli) -> Outcome {
    let out = Output::new(cli.json);
    match cli.command {
        Command::Verify(args) => verify::run(&args, out),
        Command::Receipt(args) => receipt::run(&args, out),
        Command::Tree(args) => tree::run(&args, out),
        Command::Witness(args) => witness::run(args, out).await,
        Command::Completions(args) => generated::completions(&args, Cli::command(), out),
        Command::Man(args) => generated::man(&args, Cli::command(), out),
    }
}
