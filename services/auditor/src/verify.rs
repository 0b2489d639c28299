//! `assay-audit verify`: an export, proven offline.

use std::cell::OnceCell;
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use assay_console::failure::{Exit, Failure, Next, OrFail, Outcome};
use assay_console::output::{Column, Output, printable};
use assay_console::progress::Progress;
use assay_verify::{Directory, JournalReport, Options, Report, Tally, Trust, Verdict, verify};
use clap::Args;
use serde::Serialize;

/// What an auditor can rest on, and how the command ends.
const HELP: &str = "\
Nothing is asked of the signer: the export and the pinned keys are all that is read.

  assay export --out june                  (where the signer is)
  assay audit trust --out pinned           (once, from the operator's side)
  assay-audit verify june --trust pinned   (anywhere)

The HSM service keeps a journal of all that it signs, which the signer cannot write. With its export, a certificate or a CRL that the
log does not have is found, and one that only the log has. Export the journal first, and the log at the checkpoint that the
journal ends with; both may be taken while requests are answered:

  runuser -u assay-hsm -- assay-hsm journal export --config /etc/assay/hsm.toml > june.journal   (where the HSM service is)
    exported 5120 entries
    last checkpoint: 4711 records
  assay export --size 4711 --out june                                           (where the signer is)
  assay-audit verify june --trust pinned --journal june.journal

A journal with a checkpoint that is newer than the export of the log is a finding, because a log that was cut short looks the same.

Without --trust the keys are those in the export: that tells a damaged copy, and proves nothing of its maker.

Exit codes:
  0  every check was made and holds
  1  a record or a file is bad; the first bad record is named first
  2  wrong usage, or a trust directory that cannot be read
  3  nothing is wrong, but not all is proven: records or evidence are not held, a witness did not cosign,
     or no --trust was given

docs/auditor.md says what each check is.";

/// Prove an export of the audit log offline
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct VerifyArgs {
    /// Directory of the export
    #[arg(value_name = "EXPORT")]
    export: PathBuf,

    /// Directory of the pinned keys: log.vkey, ca.pem and ca-2.pem and so on, approvers.toml, witnesses.vkeys, journals, checkpoint
    #[arg(long, value_name = "DIR")]
    trust: Option<PathBuf>,

    /// An earlier checkpoint of this log, which the export must continue
    #[arg(long, value_name = "CHECKPOINT")]
    earlier: Option<PathBuf>,

    /// Export of the HSM service's journal, which is reconciled with the log; written by `assay-hsm journal export`
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,

    /// An export of before a recovery, which has records that the recovery lost; once for each
    #[arg(long, value_name = "DIR")]
    lost_records: Vec<PathBuf>,

    /// So many of the pinned witnesses must have cosigned [default: all of them]
    #[arg(long, value_name = "N", requires = "trust")]
    require_witnesses: Option<usize>,

    /// Files, signatures and tree alone; ends with 3, as what records say is not looked at
    #[arg(long)]
    tree_only: bool,

    /// Threads for what can be done at the same time [default: one a core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

/// The report, and how fast it was made.
#[derive(Serialize)]
struct Answer<'a> {
    #[serde(flatten)]
    report: &'a Report,
    seconds: f64,
    records_per_second: f64,
    decisions_per_second: f64,
}

const COLUMNS: &[Column<Tally>] = &[
    ("CHECK", |tally| tally.check.to_string()),
    ("MADE", |tally| tally.made.to_string()),
    ("BAD", |tally| tally.bad.to_string()),
    ("OPEN", |tally| tally.open.to_string()),
    ("WHAT MUST HOLD", |tally| tally.title.to_owned()),
];

pub(crate) fn run(args: &VerifyArgs, out: Output) -> Outcome {
    if !args.export.is_dir() {
        let what = format!("{} is no directory", args.export.display());
        return Err(Failure::usage(what).next("name a directory that `assay export` wrote"));
    }
    if let Some(journal) = args.journal.as_ref().filter(|path| !path.is_file()) {
        let what = format!("{} is not a file", journal.display());
        return Err(Failure::usage(what).next("name a file that `assay-hsm journal export` wrote"));
    }
    let trust = args.trust.as_deref().map(Trust::read).transpose();
    let trust = trust
        .or_usage("the pinned keys cannot be used")
        .next("`assay audit trust --out DIR` writes such a directory")?;
    let earlier = args.earlier.as_ref().map(|path| {
        let what = format!("{} cannot be read", path.display());
        fs::read_to_string(path).or_usage(what)
    });
    let mut options = Options {
        witnesses: args.require_witnesses,
        earlier: earlier.transpose()?,
        journal: args.journal.clone(),
        lost_records: args.lost_records.clone(),
        tree_only: args.tree_only,
        ..Options::default()
    };
    if let Some(threads) = args.threads {
        options.threads = threads.into();
    }
    let bar = OnceCell::new();
    let begun = Instant::now();
    let source = Directory::new(&args.export);
    let report = verify(&source, trust.as_ref(), &options, &|passed, size| {
        bar.get_or_init(|| Progress::new("records", size))
            .add(passed);
    });
    let seconds = begun.elapsed().as_secs_f64();
    drop(bar);
    tell(&report, seconds, out)?;
    conclude(&report)
}

fn tell(report: &Report, seconds: f64, out: Output) -> Outcome {
    #[allow(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = |count: u64| (count as f64 / seconds.max(f64::EPSILON)).round();
    if out.is_json() {
        return out.json(&Answer {
            report,
            seconds,
            records_per_second: rate(report.held),
            decisions_per_second: rate(report.decided_again),
        });
    }
    out.table(&report.checks, COLUMNS)?;
    out.line("")?;
    for (word, findings) in [("bad", &report.bad), ("open", &report.open)] {
        for finding in findings {
            let text = finding.to_string();
            out.line(&format!("{word:<4}  {}", printable(&text)))?;
        }
    }
    for line in report.journal.iter().flat_map(journal_lines) {
        out.line(&printable(&line))?;
    }
    let Report {
        size,
        held,
        decided_again,
        ..
    } = report;
    out.line(&format!(
        "{held} of {size} records held, {decided_again} decisions made again, {:.1} s ({} records/s)",
        seconds,
        rate(*held)
    ))
}

/// The journal's own part of the report, beside the findings.
fn journal_lines(journal: &JournalReport) -> Vec<String> {
    let JournalReport {
        head,
        covered,
        uncovered,
        unsigned,
        in_progress,
        intervals,
        events,
        events_left_out,
    } = journal;
    let mut lines = vec![format!(
        "journal {}: {covered} of {} entries reconciled, {unsigned} certificates not signed, {in_progress} in progress",
        head.identity, head.size
    )];
    if *uncovered > 0 {
        lines.push(format!(
            "entries after the head of the checkpoint: {uncovered}, neither compared nor listed; the next export has them"
        ));
    }
    lines.extend(intervals.iter().map(|interval| format!("ran   {interval}")));
    lines.extend(events.iter().map(|noted| format!("event {noted}")));
    if *events_left_out > 0 {
        lines.push(format!("event {events_left_out} more"));
    }
    lines.push(String::new());
    lines
}

fn conclude(report: &Report) -> Outcome {
    let count = |which: fn(&Tally) -> u64| report.checks.iter().map(which).sum::<u64>();
    match report.verdict {
        Verdict::Proven => Ok(()),
        Verdict::Bad => {
            let first = report.bad.first().map(ToString::to_string);
            let what = format!(
                "{} findings; the first: {}",
                count(|tally| tally.bad),
                printable(&first.unwrap_or_default())
            );
            Err(Failure::failed(what).next(
                "keep the export as it is, and fetch another one: a copy that was damaged differs, a log that was altered does not",
            ))
        }
        Verdict::Incomplete => {
            let first = report.open.first().map(ToString::to_string);
            let what = format!(
                "nothing is wrong, but {} checks are open; the first: {}",
                count(|tally| tally.open),
                printable(&first.unwrap_or_default())
            );
            Err(Failure::new(Exit::Unreachable, what)
                .next("give the pinned keys with --trust, and an export of all records"))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use assay_types::{Hash, Timestamp};
    use assay_verify::{Agreement, Interval, Noted};

    use super::*;

    #[test]
    fn what_the_journal_says_is_told_to_people() {
        let from = Timestamp::from_seconds(1_800_000_000);
        let report = JournalReport {
            head:
                "assay-journal 0000000000000000000000000000000000000000000000000000000000000007 12 \
                   AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
                    .parse()
                    .unwrap(),
            covered: 11,
            uncovered: 1,
            unsigned: 2,
            in_progress: 1,
            intervals: vec![Interval {
                from,
                until: from + Duration::from_secs(60),
                entry: 1,
                configuration: Hash::ZERO,
                version: Some(3),
                approved: None,
                agreement: Agreement::NotNamed,
                allow_same_user: true,
            }],
            events: vec![Noted {
                entry: 4,
                time: from,
                kind: "suspended",
                detail: "certificates are refused".to_owned(),
            }],
            events_left_out: 0,
        };
        let zeros = "0".repeat(64);
        let told = [
            "journal 0000000000000000000000000000000000000000000000000000000000000007: 11 of 12 entries reconciled, \
             2 certificates not signed, 1 in progress"
                .to_owned(),
            "entries after the head of the checkpoint: 1, neither compared nor listed; the next export has them"
                .to_owned(),
            format!(
                "ran   2027-01-15T08:00:00Z to 2027-01-15T08:01:00Z: configuration {zeros} (entry 1): \
                 version 3 names none, under allow_same_user"
            ),
            "event 2027-01-15T08:00:00Z: suspended: certificates are refused (entry 4)".to_owned(),
            String::new(),
        ];
        assert_eq!(journal_lines(&report), told);
    }
}
