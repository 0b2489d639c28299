//! assay: operates an installation, and runs the demo.

mod args;
mod commands;
mod demo;
mod device;
mod export;

use std::process::ExitCode;

use assay_console::failure::Outcome;
use assay_console::output::Output;
use assay_console::{generated, program};
use assay_operator::installation::Installation;
use clap::{CommandFactory, Parser};

use crate::args::{Cli, Command};
use crate::commands::{
    audit, certificates, challenge, clock, config, enrol, inventory, legacy, policy, receipt,
    recover, requests, rollover, scep, status,
};

fn main() -> ExitCode {
    let cli = Cli::parse();
    program::run("assay", Box::pin(dispatch(cli)))
}

async fn dispatch(cli: Cli) -> Outcome {
    let out = Output::new(cli.json);
    let installation = || Installation::find(cli.dir.as_deref());
    match cli.command {
        Command::Demo(args) => demo::run(args, cli.dir.as_deref(), out).await,
        Command::Challenge(command) => challenge::run(command, &installation()?, out).await,
        Command::Inventory(command) => inventory::run(command, &installation()?, out).await,
        Command::Enrol(args) => enrol::run(*args, cli.dir.as_deref(), out).await,
        Command::Scep(command) => scep::run(command, cli.dir.as_deref(), out).await,
        Command::Cert(command) => certificates::run(command, &installation()?, out).await,
        Command::Request(command) => requests::run(command, &installation()?, out).await,
        Command::Legacy(command) => legacy::run(command, &installation()?, out).await,
        Command::Rollover(command) => rollover::run(command, &installation()?, out).await,
        Command::Policy(command) => policy::run(command, cli.dir.as_deref(), out).await,
        Command::Clock(command) => clock::run(command, &installation()?, out).await,
        Command::Recover(command) => recover::run(command, out),
        Command::Config(command) => config::run(command, cli.dir.as_deref(), out).await,
        Command::Audit(command) => audit::run(command, &installation()?, out).await,
        Command::Export(args) => export::run(args, &installation()?, out).await,
        Command::Receipt(args) => receipt::run(args, &installation()?, out).await,
        Command::Status(args) => status::run(args, &installation()?, out).await,
        Command::Completions(args) => generated::completions(&args, Cli::command(), out),
        Command::Man(args) => generated::man(&args, Cli::command(), out),
    }
}
