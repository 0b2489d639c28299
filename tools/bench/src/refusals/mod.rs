//! `assay-bench refusals`: whether a refusal tells, by its bytes or its time, what about the envelope or the CSR was wrong.

mod cause;
mod forge;
mod report;
mod send;
mod shape;
mod welch;

use std::sync::Arc;

use clap::{Args, ValueEnum};

pub(crate) use self::cause::Cause;
pub(crate) use self::forge::Forge;
use self::report::Report;
use super::{keys, server};
use crate::At;
use crate::failure::{Failure, Outcome};
use crate::installation::Installation;
use crate::output::Output;

/// The signer's key, and one that is not the signer's.
const KEYS: usize = 2;

#[derive(Debug, Args)]
pub(crate) struct RefusalsBench {
    #[command(flatten)]
    pub(super) at: At,

    /// Requests for each cause; the default takes twenty minutes
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(2..=1_000_000))]
    repetitions: u32,

    /// Connections that send them, each one request a tick: more than two pass the default limits.refusal_rate
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    connections: u16,

    /// Only this cause; may be given again [default: all]
    #[arg(long = "cause", value_enum)]
    causes: Vec<Cause>,

    /// Profile to ask
    #[arg(long, default_value = "devices")]
    profile: String,

    /// SCEP URL [default: that of the profile in the installation]
    #[arg(long)]
    url: Option<String>,
}

pub(super) async fn run(args: &RefusalsBench, installation: &Installation, out: Output) -> Outcome {
    let url = server::url(args.url.as_deref(), &args.profile, installation)?;
    let ca = server::own_certificates(&url).await?;
    let causes = if args.causes.is_empty() {
        Cause::value_variants().to_vec()
    } else {
        args.causes.clone()
    };
    let forge = Forge::new(ca.clone(), keys::get(installation, KEYS).await?)?;
    let attempts = Arc::new(forge.attempts(&causes).await?);
    let observed = send::send(&url, &attempts, &ca, args).await?;
    let report = Report::new(&causes, &observed);
    out.one(&report, Report::lines)?;
    match report.difference() {
        None => Ok(()),
        Some(what) => Err(Failure::failed("refusals tell their causes apart")
            .because(what)
            .next("look for what the signer or the token does for one cause and not for another")),
    }
}
