//! `assay policy impact`: recorded requests under a draft.

mod record;
mod replay;
mod report;

use std::path::PathBuf;
use std::time::Instant;

use assay_console::failure::{Exit, Outcome};
use assay_console::output::{self, Output};
use clap::Args;

use self::record::Records;
use self::report::Report;
use super::files::{Named, count};

/// Most flips that are listed: a few hundred octets each.
const MAX_FLIPS: u64 = 1_000_000;

const EXAMPLES: &str = "\
Each recorded request is decided again under the draft, at the time of its decision and with what authorised it then, as
if the draft had been in force. A request flips to allowed, to refused, to issue after or without an approval, or to a
refusal by another rule. Recorded are decisions of the policy on requests that something authorised. Not judged are the
cipher of the envelope, quotas, and an inventory other than the one that was asked.

Exit code 0, whatever flips; 2 where the draft or a line cannot be read.

Examples:
  What would the draft have made of last month's requests?
    assay export --from ... --to ... --out november && assay policy impact policy/ --requests november
  Every request that would be refused, by rule:
    assay policy impact proposal-8 --requests november --flips 1000000 --json \\
        | jq -r '.flips[] | select(.flip == \"to refused\") | [.rule_now, .subject, .detail] | @tsv'";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ImpactArgs {
    /// The draft: a file PROFILE.toml, a directory of them, or a proposal
    draft: PathBuf,

    /// Recorded requests: an export directory, or one of its evidence files
    #[arg(long, value_name = "EXPORT|FILE.jsonl")]
    requests: PathBuf,

    /// List so many of the requests that flip, the earliest first
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(0..=MAX_FLIPS))]
    flips: u64,
}

pub(super) fn run(args: &ImpactArgs, out: Output) -> Outcome {
    let draft = Named::read(&args.draft)
        .map_err(|failure| failure.with_exit(Exit::Usage))?
        .bundle;
    let mut records = Records::open(&args.requests)?;
    let most = usize::try_from(args.flips).unwrap_or(usize::MAX);
    let began = Instant::now();
    let tally = replay::replay(&mut records, &draft, most)?;
    let seconds = began.elapsed().as_secs_f64();
    let report = Report::of(tally);
    report.print(out)?;
    output::note(&format!(
        "{} replayed in {seconds:.1} s, {:.0} a second",
        count(report.requests(), "request"),
        report.rate(seconds)
    ));
    Ok(())
}
