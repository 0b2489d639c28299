//! `assay-ceremony`: keys in the token, the CA, RA and transport certificates, and a transcript of it all.

mod approver;
mod args;
mod certificate;
mod certify;
mod csr;
mod generation;
mod hsm_toml;
mod import;
mod keys;
mod layout;
mod left;
mod make;
mod next;
mod ocsp;
mod record;
mod root;
mod signature;
mod software;
mod structure;
mod token;
mod transcript;
mod transport;

use std::process::ExitCode;

use assay_console::failure::{Failure, Outcome};
use assay_console::output::Output;
use assay_console::{files, generated, program};
use assay_operator::installation::Installation;
use clap::{CommandFactory, Parser};

use args::{Cli, Command};

fn main() -> ExitCode {
    program::exit("assay-ceremony", run(Cli::parse()))
}

fn run(cli: Cli) -> Outcome {
    // A core dump would hold the PIN.
    program::harden()?;
    let out = Output::new(cli.json);
    let installation = || -> Outcome<Installation> {
        let dir = cli.dir.as_deref().ok_or_else(|| {
            Failure::usage("a ceremony needs a directory of its own")
                .next("give it with --dir; it is made where it does not exist")
        })?;
        Ok(Installation::at(files::absolute(dir)?))
    };
    match cli.command {
        Command::Create(args) => make::run(*args, &installation()?, out),
        Command::Import(args) => import::run(&args, &installation()?, out),
        Command::Transport(args) => transport::run(&args, &installation()?, out),
        Command::Approver(args) => approver::run(&args, &installation()?, out),
        Command::Ocsp(args) => ocsp::run(&args, &installation()?, out),
        Command::Next(args) => next::run(*args, &installation()?, out),
        Command::Completions(args) => generated::completions(&args, Cli::command(), out),
        Command::Man(args) => generated::man(&args, Cli::command(), out),
    }
}
