//! assay: demo, challenges, policy tools and benchmark.

mod args;
mod bench;
mod commands;
mod demo;
mod device;
mod export;
mod witness;

use std::process::ExitCode;

use assay_console::{failure, files, generated, output, program, progress};
use assay_operator::{admin, installation, process};
use clap::{CommandFactory, Parser};

use crate::args::{Cli, Command};
use crate::commands::{
    audit, certificates, challenge, config, enrol, inventory, legacy, policy, receipt, requests,
    rollover, scep, status,
};
use crate::failure::Outcome;
use crate::installation::Installation;
use crate::output::Output;

fn main() -> ExitCode {
    // The token benchmark starts this executable again as an HSM worker.
    if let Some(code) = assay_hsm::run_worker_if_asked() {
        return code;
    }
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
        Command::Config(command) => config::run(command, cli.dir.as_deref(), out).await,
        Command::Audit(command) => audit::run(command, cli.dir.as_deref(), out).await,
        Command::Export(args) => export::run(args, &installation()?, out).await,
        Command::Receipt(args) => receipt::run(args, cli.dir.as_deref(), out).await,
        Command::Witness(args) => witness::run(args, out).await,
        Command::Bench(command) => bench::run(command, cli.dir.as_deref(), out).await,
        Command::Status(args) => status::run(args, &installation()?, out).await,
        Command::Completions(args) => generated::completions(&args, Cli::command(), out),
        Command::Man(args) => generated::man(&args, Cli::command(), out),
    }
}
