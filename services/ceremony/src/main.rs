//! `assay ceremony`: keys in the token, the CA and RA certificates over them, and a transcript of it all.

mod approver;
mod args;
mod certificate;
mod certify;
mod csr;
mod generation;
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
mod transcript;

use std::path::Path;

pub(crate) use approver::make as make_approver;
pub(crate) use args::{CeremonyArgs, KeyArgs, Lifetimes, Subjects, TokenArgs};
pub(crate) use certificate::expired_leaf;
pub(crate) use layout::{Addresses, edit as edit_settings, reachable, write_settings};
pub(crate) use make::{Issuing, Plan, make};

use crate::failure::{Failure, Outcome};
use crate::installation::Installation;
use crate::output::Output;
use crate::transport;
use args::Part;

pub(crate) async fn run(args: CeremonyArgs, dir: Option<&Path>, out: Output) -> Outcome {
    let dir = dir.ok_or_else(|| {
        Failure::usage("a ceremony needs a directory of its own")
            .next("give it with --dir; it is made where it does not exist")
    })?;
    let installation = Installation::at(crate::files::absolute(dir)?);
    match args.part {
        Some(Part::Transport(args)) => transport::run(&args, &installation, out),
        Some(Part::Approver(args)) => approver::run(&args, &installation, out),
        Some(Part::Import(args)) => import::run(args, &installation, out).await,
        Some(Part::Ocsp(args)) => ocsp::run(args, &installation, out).await,
        Some(Part::Next(args)) => next::run(*args, &installation, out).await,
        None => make::run(args.make, &installation, out).await,
    }
}
