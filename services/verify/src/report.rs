//! What the checks found.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::{Check, JournalReport};

/// Findings that are kept of records, and of files: the first ones, as the rest follows from them.
pub const MAX_FINDINGS: usize = 100;
/// Characters of a value that a finding shows.
const MAX_VALUE: usize = 200;

/// The kind of a missing record that can be any.
pub const ANY: &str = "any";

/// Where something is wrong.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Where {
    /// A record, by its sequence number.
    Record(u64),
    /// A file of the export or of the trust directory.
    File(String),
}

/// One thing that does not hold, or that cannot be told.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Finding {
    /// Which check.
    pub check: Check,
    /// Where.
    pub at: Where,
    /// The member, line or part at fault.
    pub member: String,
    /// What would be right.
    pub wanted: String,
    /// What is there.
    pub got: String,
    /// Kinds of records of which one is missing, where that explains it; [`ANY`] where nothing tells its kind.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub missing: Box<[&'static str]>,
}

/// A check with what came of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Tally {
    /// Which.
    pub check: Check,
    /// What must hold.
    pub title: &'static str,
    /// How often it was made.
    pub made: u64,
    /// How often it did not hold.
    pub bad: u64,
    /// How often it could not be made, as what it needs is not held.
    pub open: u64,
}

/// What an export comes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Every check was made and holds.
    Proven,
    /// A record or a file is bad.
    Bad,
    /// What is held is right; something that it refers to is not held, or the keys were taken from the export itself.
    Incomplete,
}

/// All that was found, in order: the record that the journal of the HSM service has otherwise, records by sequence number, then
/// files by path. At one place a missing record comes first, as the rest may follow from it.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What it comes to.
    pub verdict: Verdict,
    /// Records of the log.
    pub size: u64,
    /// Records that the export holds.
    pub held: u64,
    /// Certificates that were decided again.
    pub decided_again: u64,
    /// The journal of the HSM service, if its export was given and is one.
    pub journal: Option<JournalReport>,
    /// Every check.
    pub checks: Vec<Tally>,
    /// What does not hold; the first [`MAX_FINDINGS`] records, then as many files.
    pub bad: Vec<Finding>,
    /// What cannot be told; as many.
    pub open: Vec<Finding>,
}

/// Collects findings while the checks are made.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    tallies: BTreeMap<Check, Counts>,
    bad: FirstFindings,
    open: FirstFindings,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    made: u64,
    bad: u64,
    open: u64,
}

/// The first of records, and the first of files: many bad records say nothing of a bad file.
#[derive(Debug, Default)]
struct FirstFindings {
    records: Vec<Finding>,
    files: Vec<Finding>,
}

impl Finding {
    pub(crate) fn new(
        check: Check,
        at: impl Into<Where>,
        member: impl fmt::Display,
        wanted: impl fmt::Display,
        got: impl fmt::Display,
    ) -> Self {
        Self {
            check,
            at: at.into(),
            member: member.to_string(),
            wanted: shown(&wanted),
            got: shown(&got),
            missing: Box::default(),
        }
    }

    /// A record of one of these kinds is missing; `of` says which one is needed.
    pub(crate) fn absent(
        check: Check,
        at: impl Into<Where>,
        member: impl fmt::Display,
        kinds: &[&'static str],
        of: impl fmt::Display,
    ) -> Self {
        Self::new(
            check,
            at,
            member,
            format_args!("{} {of}", a_record(kinds)),
            "none",
        )
        .lacks(kinds)
    }

    /// Whether it names the first record that is not the one that the HSM service signed: everything else may follow from that.
    fn is_of_journal(&self) -> bool {
        self.check == Check::JournalLeaves
    }

    /// Explained by a record of one of these kinds that is missing.
    pub(crate) fn lacks(self, kinds: &[&'static str]) -> Self {
        Self {
            missing: kinds.into(),
            ..self
        }
    }
}

/// "a challenge.issued record", of one of these kinds.
pub(crate) fn a_record(kinds: &[&str]) -> String {
    let article = match kinds.first().map(|kind| kind.starts_with('i')) {
        Some(true) => "an",
        Some(false) | None => "a",
    };
    let list = match kinds {
        [others @ .., last] if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        _ => kinds.join(""),
    };
    format!("{article} {list} record")
}

fn shown(value: &impl fmt::Display) -> String {
    let text = value.to_string();
    match text.char_indices().nth(MAX_VALUE) {
        Some((at, _)) => format!("{}…", text.split_at(at).0),
        None => text,
    }
}

/// An error with what caused it.
pub(crate) fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

impl Findings {
    /// Counts a check that is made.
    pub(crate) fn made(&mut self, check: Check) {
        self.tallies.entry(check).or_default().made += 1;
    }

    /// Counts a check, and notes it where it does not hold.
    pub(crate) fn hold(
        &mut self,
        holds: bool,
        check: Check,
        at: impl Into<Where>,
        member: &str,
        wanted: impl fmt::Display,
        got: impl fmt::Display,
    ) {
        self.made(check);
        if !holds {
            self.bad(Finding::new(check, at, member, wanted, got));
        }
    }

    /// As [`Findings::hold`], for two values that must be equal.
    pub(crate) fn same<T: PartialEq + fmt::Display>(
        &mut self,
        check: Check,
        at: impl Into<Where>,
        member: &str,
        wanted: &T,
        got: &T,
    ) {
        self.hold(wanted == got, check, at, member, wanted, got);
    }

    /// Notes what does not hold.
    pub(crate) fn bad(&mut self, finding: Finding) {
        self.tallies.entry(finding.check).or_default().bad += 1;
        self.bad.keep(finding);
    }

    /// Notes what cannot be told.
    pub(crate) fn open(&mut self, finding: Finding) {
        self.tallies.entry(finding.check).or_default().open += 1;
        self.open.keep(finding);
    }

    /// Bad where everything is held, as what is looked for would then be there; else it cannot be told.
    pub(crate) fn missing(&mut self, whole: bool, finding: Finding) {
        if whole {
            self.made(finding.check);
            self.bad(finding);
        } else {
            self.open(finding);
        }
    }

    /// Takes what another thread found.
    pub(crate) fn merge(&mut self, other: Self) {
        for (check, counts) in other.tallies {
            let tally = self.tallies.entry(check).or_default();
            tally.made += counts.made;
            tally.bad += counts.bad;
            tally.open += counts.open;
        }
        for finding in other.bad.into_findings() {
            self.bad.keep(finding);
        }
        for finding in other.open.into_findings() {
            self.open.keep(finding);
        }
    }

    pub(crate) fn into_report(self, size: u64, held: u64, decided_again: u64) -> Report {
        let bad = self.bad.into_findings();
        let open = self.open.into_findings();
        let verdict = match (bad.is_empty(), open.is_empty()) {
            (false, _) => Verdict::Bad,
            (true, false) => Verdict::Incomplete,
            (true, true) => Verdict::Proven,
        };
        let tally = |check: &Check| {
            let counts = self.tallies.get(check).copied().unwrap_or_default();
            Tally {
                check: *check,
                title: check.title(),
                made: counts.made,
                bad: counts.bad,
                open: counts.open,
            }
        };
        Report {
            verdict,
            size,
            held,
            decided_again,
            journal: None,
            checks: Check::ALL.iter().map(tally).collect(),
            bad,
            open,
        }
    }
}

impl FirstFindings {
    /// Findings come nearly in order, so the last one kept is among the latest.
    fn keep(&mut self, finding: Finding) {
        let kept = match finding.at {
            Where::Record(_) => &mut self.records,
            Where::File(_) => &mut self.files,
        };
        kept.push(finding);
        if kept.len() > 2 * MAX_FINDINGS {
            first(kept);
        }
    }

    /// In order.
    fn into_findings(mut self) -> Vec<Finding> {
        first(&mut self.records);
        first(&mut self.files);
        self.records.append(&mut self.files);
        self.records
    }
}

fn first(findings: &mut Vec<Finding>) {
    // Stable: beyond that the checks of one place stay in the order in which they were made.
    findings.sort_by(|a, b| {
        let order = |it: &Finding| (!it.is_of_journal(), it.at.clone(), it.missing.is_empty());
        order(a).cmp(&order(b))
    });
    findings.truncate(MAX_FINDINGS);
}

impl From<u64> for Where {
    fn from(sequence: u64) -> Self {
        Self::Record(sequence)
    }
}

impl From<&str> for Where {
    fn from(path: &str) -> Self {
        Self::File(path.to_owned())
    }
}

impl From<String> for Where {
    fn from(path: String) -> Self {
        Self::File(path)
    }
}

impl From<&crate::layout::Place> for Where {
    fn from(place: &crate::layout::Place) -> Self {
        Self::File(place.to_string())
    }
}

impl fmt::Display for Where {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record(sequence) => write!(f, "record {sequence}"),
            Self::File(path) => f.write_str(path),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            check,
            at,
            member,
            wanted,
            got,
            missing: _,
        } = self;
        write!(f, "{at}: {member}: wanted {wanted}, got {got} ({check})")
    }
}
