//! The log read in order: what each record says against all that came before it.

mod challenges;
mod counted;
mod counters;
mod crls;
mod fields;
mod index;
mod intents;
mod issuing_keys;
mod names;
mod policy;
mod queue;
mod runs;

use std::fmt;

use assay_audit::{Event, Text};
use assay_types::Timestamp;

use crate::entry::{Entry, EvidenceState};
use crate::issuers::Issuers;
use crate::layout::Place;
use crate::report::{Finding, Findings, a_record};
use crate::versions::Versions;
use crate::{Check, ExportFiles};

/// The cause of a gap in the numbers of a CA's CRLs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum CrlGaps {
    /// Wrong: nothing explains it.
    Bad,
    /// For the journal of the HSM service to explain, which was not given.
    Open,
    /// Explained after this record: the journal has each CRL, by its number, and those that no record is of.
    ExplainedAfter(u64),
}

/// Everything that one record must agree with.
pub(crate) struct Ledger<'a> {
    versions: &'a Versions,
    runs: runs::Runs,
    policy: policy::Followed,
    names: names::Names<'a>,
    challenges: challenges::Challenges,
    queue: queue::Queue,
    intents: intents::Intents,
    issuing_keys: issuing_keys::IssuingKeys<'a>,
    index: index::Index,
    crls: crls::Crls,
    counters: counters::Counters,
    counted: counted::Counted,
    /// Nothing before was left out.
    whole: bool,
    end: End,
}

/// The clocks of the last record.
#[derive(Clone, Copy, Default)]
pub(crate) struct End {
    pub(crate) wall: Timestamp,
    /// Milliseconds since its run began.
    pub(crate) monotonic_ms: u64,
}

/// A record under the eyes of a check.
pub(crate) struct Seen<'a> {
    pub(crate) entry: &'a Entry,
    /// Nothing before was left out, so that what is not known does not exist.
    pub(crate) whole: bool,
    findings: &'a mut Findings,
}

impl<'a> Ledger<'a> {
    /// `places` are the files that the export holds.
    pub(crate) fn new(
        versions: &'a Versions,
        issuers: &'a Issuers,
        export: &'a dyn ExportFiles,
        places: &[Place],
        gaps: CrlGaps,
    ) -> Self {
        let inventory = |place: &Place| {
            if let Place::Inventory(profile) = place {
                Some(Text::from(profile.as_str()))
            } else {
                None
            }
        };
        Self {
            versions,
            runs: runs::Runs::default(),
            policy: policy::Followed::default(),
            names: names::Names::new(export, places.iter().filter_map(inventory).collect()),
            challenges: challenges::Challenges::default(),
            queue: queue::Queue::default(),
            intents: intents::Intents::default(),
            issuing_keys: issuing_keys::IssuingKeys::new(issuers),
            index: index::Index::default(),
            crls: crls::Crls::new(gaps),
            counters: counters::Counters::default(),
            counted: counted::Counted::default(),
            whole: true,
            end: End::default(),
        }
    }

    /// The next record.
    pub(crate) fn take(&mut self, entry: &Entry, findings: &mut Findings) {
        self.end = End {
            wall: entry.wall(),
            monotonic_ms: entry.record.draft.moment.monotonic_ms,
        };
        let mut seen = Seen {
            entry,
            whole: self.whole,
            findings,
        };
        let seen = &mut seen;
        fields::look(seen);
        self.runs.take(seen);
        self.policy.take(seen, self.versions, &self.names);
        self.names.take(seen);
        self.index.follow(seen);
        let permitted = self.intents.take(seen);
        self.issuing_keys
            .take(seen, self.policy.named(self.versions));
        self.queue.take(seen, self.versions);
        self.challenges.take(seen);
        self.names.use_up(seen);
        self.index.take(seen, permitted.as_ref(), self.versions);
        self.crls.take(seen, &self.index, &mut self.issuing_keys);
        self.counters.take(seen);
        self.counted.take(seen);
        // What an intent or a waiting request used up is told by its evidence alone.
        if matches!(entry.evidence, EvidenceState::Gone) && entry.is_permit() {
            self.whole = false;
        }
    }

    /// Records that are not held, or not readable, lie between the last one and the next.
    pub(crate) fn skip(&mut self) {
        self.whole = false;
        self.runs.skip();
        self.index.skip();
    }

    /// After the last record.
    pub(crate) fn finish(mut self, findings: &mut Findings) {
        self.runs.finish(findings);
        self.policy.finish(self.versions, findings);
        self.names.finish(self.whole, findings);
        self.intents.finish(self.end, findings);
        self.queue.finish(self.end, self.whole, findings);
        let (open, keys) = (
            self.intents.open_in_last_run(),
            self.issuing_keys.in_last_run(),
        );
        self.counters.finish(open, keys, self.whole, findings);
        self.index.finish(self.whole, findings);
    }
}

impl Seen<'_> {
    pub(crate) fn hold(
        &mut self,
        holds: bool,
        check: Check,
        member: &str,
        wanted: impl fmt::Display,
        got: impl fmt::Display,
    ) {
        let at = self.entry.sequence();
        self.findings.hold(holds, check, at, member, wanted, got);
    }

    pub(crate) fn same<T: PartialEq + fmt::Display>(
        &mut self,
        check: Check,
        member: &str,
        wanted: &T,
        got: &T,
    ) {
        let at = self.entry.sequence();
        self.findings.same(check, at, member, wanted, got);
    }

    /// A record of one of these kinds should have come before, and did not or is not held; `of` says which.
    pub(crate) fn absent(
        &mut self,
        check: Check,
        member: &str,
        kinds: &[&'static str],
        of: impl fmt::Display,
    ) {
        let of = format_args!("{of} before it");
        let finding = Finding::absent(check, self.entry.sequence(), member, kinds, of);
        self.findings.missing(self.whole, finding);
    }

    /// As [`Seen::missing`], where a record of one of these kinds would explain it.
    pub(crate) fn lacks(
        &mut self,
        check: Check,
        member: &str,
        kinds: &[&'static str],
        wanted: impl fmt::Display,
        got: impl fmt::Display,
    ) {
        let finding = lacking(check, self.entry.sequence(), member, kinds, wanted, got);
        self.findings.missing(self.whole, finding);
    }

    /// As [`Seen::hold`], where a record of one of these kinds would explain it.
    pub(crate) fn hold_or_lacks(
        &mut self,
        holds: bool,
        check: Check,
        member: &str,
        kinds: &[&'static str],
        wanted: impl fmt::Display,
        got: impl fmt::Display,
    ) {
        self.findings.made(check);
        if !holds {
            let finding = lacking(check, self.entry.sequence(), member, kinds, wanted, got);
            self.findings.bad(finding);
        }
    }

    /// What should have come before did not, or is not held.
    pub(crate) fn missing(
        &mut self,
        check: Check,
        member: &str,
        wanted: impl fmt::Display,
        got: impl fmt::Display,
    ) {
        let finding = Finding::new(check, self.entry.sequence(), member, wanted, got);
        self.findings.missing(self.whole, finding);
    }
}

/// What does not hold, unless a record of one of these kinds came before.
fn lacking(
    check: Check,
    at: u64,
    member: &str,
    kinds: &[&'static str],
    wanted: impl fmt::Display,
    got: impl fmt::Display,
) -> Finding {
    let wanted = format!("{wanted}, or {} before it", a_record(kinds));
    Finding::new(check, at, member, wanted, got).lacks(kinds)
}

/// Kinds of [`given_up`].
const GIVEN_UP: [&str; 3] = ["intent.abandoned", "pending.denied", "pending.expired"];

/// What gives a challenge or a name back: the serial of an abandoned intent, or the id of a request that came to nothing.
fn given_up(event: &Event) -> Option<&Text> {
    if let Event::IntentAbandoned { issuance, .. } = event {
        Some(&issuance.serial)
    } else if let Event::PendingDenied { pending_id, .. }
    | Event::PendingExpired { pending_id, .. } = event
    {
        Some(pending_id)
    } else {
        None
    }
}
