//! `assay policy`: policy files from the first check to the version in force. Each command is a file.

mod activate;
mod approve;
mod basis;
mod check;
mod diff;
mod explain;
pub(crate) mod files;
pub(crate) mod folder;
pub(crate) mod forms;
mod history;
mod impact;
mod propose;
mod show;
mod status;
mod stop;

use std::path::Path;

use assay_console::failure::Outcome;
use assay_console::output::Output;
use assay_operator::installation::Installation;
use clap::Subcommand;

pub(crate) use activate::activate;
pub(crate) use approve::approve;
pub(crate) use basis::fetch as fetch_basis;
pub(crate) use folder::{Credential, Folder};
pub(crate) use propose::{Wanted, propose};
pub(crate) use status::in_force;

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Check policy files; needs no signer
    Check(check::CheckArgs),
    /// The forms that the HSM service needs for policy files; needs no signer
    Forms(forms::FormsArgs),
    /// Which field of a CSR meets which rule; needs no signer
    Explain(Box<explain::ExplainArgs>),
    /// What differs between two versions, by meaning; needs no signer
    Diff(diff::DiffArgs),
    /// What a draft would have made of requests that were recorded; needs no signer
    Impact(impact::ImpactArgs),
    /// Make a proposal of policy files for the next version, signed by its author
    Propose(Box<propose::ProposeArgs>),
    /// Sign a proposal as one of its approvers
    Approve(approve::ApproveArgs),
    /// What is in force, until when, and who may approve; of a proposal: who signed it and what it lacks
    Status(status::StatusArgs),
    /// Put an approved proposal in force, all of it or nothing
    Activate(activate::ActivateArgs),
    /// Every version, newest first
    #[command(visible_alias = "list")]
    History(history::HistoryArgs),
    /// One version; with -o its files and all that was signed
    Show(show::ShowArgs),
    /// Stop a profile at once; only an approved version lets it issue again
    Stop(stop::StopArgs),
    /// What the next proposal must say; saved with --json it serves `propose --basis` away from the signer
    Basis,
}

pub(crate) async fn run(command: PolicyCommand, dir: Option<&Path>, out: Output) -> Outcome {
    let installation = || Installation::find(dir);
    match command {
        PolicyCommand::Check(args) => check::check(&args, dir, out),
        PolicyCommand::Forms(args) => forms::run(&args, dir, out),
        PolicyCommand::Explain(args) => explain::run(&args, dir, out),
        PolicyCommand::Diff(args) => diff::run(&args, out),
        PolicyCommand::Impact(args) => impact::run(&args, out),
        PolicyCommand::Propose(args) => propose::run(*args, dir, out).await,
        PolicyCommand::Approve(args) => approve::run(args, dir, out).await,
        PolicyCommand::Status(args) => status::run(args, &installation()?, out).await,
        PolicyCommand::Activate(args) => activate::run(args, &installation()?, out).await,
        PolicyCommand::History(args) => history::run(args, &installation()?, out).await,
        PolicyCommand::Show(args) => show::run(args, &installation()?, out).await,
        PolicyCommand::Stop(args) => stop::run(args, &installation()?, out).await,
        PolicyCommand::Basis => basis::run(&installation()?, out).await,
    }
}
