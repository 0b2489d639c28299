//! The journal of the HSM service beside the log: a second account of what was signed, which the signer cannot write.

mod configuration;
mod leaves;
mod reconcile;
mod report;

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::path::Path;

use assay_audit::Text;
use assay_journal::{Action, Change, Event, ExportReader, Head, Start, State};
use assay_types::{Hash, Serial, Timestamp};

use crate::report::{Finding, Findings, error_chain};
use crate::signed::{Signed, Stated};
use crate::tree::Roots;
use crate::{Check, ExportFiles, Trust};

use leaves::Leaves;
pub(crate) use reconcile::Reconciliation;
pub use report::{Agreement, Interval, JournalReport, MAX_EVENTS, Noted};

/// Where findings are that are of the journal and of no record.
const AT: &str = "journal";

/// An export of a journal that is one chain and follows the rules of `docs/journal.md`.
pub(crate) struct Journal {
    report: JournalReport,
    /// Size and root of the log as it was before the journal began.
    floor: (u64, Hash),
    /// Time of the last entry that is covered.
    end: Timestamp,
    /// In the order of their entries.
    certificates: Vec<Certificate>,
    by_serial: HashMap<(Hash, Serial), usize>,
    crls: Vec<Crl>,
    /// The entries of the last CRL of each issuer.
    listed: HashMap<Hash, HashSet<Serial>>,
    /// By size.
    checkpoints: Vec<Checkpoint>,
    starts: Vec<Started>,
}

/// A certificate that the service was asked to sign.
struct Certificate {
    entry: u64,
    time: Timestamp,
    issuer: Hash,
    serial: Serial,
    not_after: Timestamp,
    tbs_digest: Hash,
    signature: Option<Hash>,
    record: InLog,
}

/// The log's records of a certificate.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum InLog {
    Nothing,
    /// An intent that is open.
    Open,
    /// An intent that was given up, or the certificate.
    Closed,
}

struct Crl {
    entry: u64,
    time: Timestamp,
    issuer: Hash,
    number: u64,
    this_update: Timestamp,
    next_update: Timestamp,
    digest: Hash,
    is_floor: bool,
    changes: Vec<Change>,
    /// Serial numbers that it lists.
    listed: u64,
    /// Whether the log has a record of it.
    is_recorded: bool,
}

struct Checkpoint {
    entry: u64,
    size: u64,
    root: Hash,
}

struct Started {
    entry: u64,
    time: Timestamp,
    start: Start,
}

/// Compares the identities that checkpoints state with the pinned ones. `is_given` is whether there is an export of the journal.
pub(crate) fn pinned(
    signed: &Signed,
    trust: Option<&Trust>,
    is_given: bool,
    findings: &mut Findings,
) {
    let check = Check::Journal;
    let (member, wanted) = ("journal", "the head of a journal whose identity is pinned");
    let own = signed.own.iter().map(|own| (own, true));
    let all = own.chain(signed.earlier.iter().map(|earlier| (earlier, false)));
    for (stated, is_own) in all {
        let at = stated.at.as_str();
        match (&stated.journal, trust) {
            (Some(head), Some(trust)) => {
                let known = trust.journals.contains(&head.identity);
                findings.hold(known, check, at, member, wanted, head.identity);
            }
            (Some(head), None) if is_own => {
                let got = format!("{}, and no identity is pinned", head.identity);
                findings.open(Finding::new(check, at, member, wanted, got));
            }
            // The checkpoints before the journal was made state none.
            (None, trust) if is_own => {
                let needed = is_given || trust.is_some_and(|trust| !trust.journals.is_empty());
                findings.hold(!needed, check, at, member, wanted, "none");
            }
            (Some(_) | None, _) => {}
        }
    }
}

impl Journal {
    /// Reads an export and compares it with the heads that checkpoints state; `None` if it is not one whole chain.
    pub(crate) fn read(
        path: &Path,
        signed: &Signed,
        export: &dyn ExportFiles,
        size: u64,
        findings: &mut Findings,
    ) -> Option<Self> {
        let check = Check::Journal;
        let own = signed.own.as_ref().and_then(|own| own.journal);
        let read = File::open(path)
            .map_err(|error| error_chain(&error))
            .and_then(|file| {
                let leaves = Leaves::new(export, size);
                Self::follow(file, signed, own, leaves, findings)
            });
        let (journal, leaves) = match read {
            Ok(read) => read,
            Err(problem) => {
                let wanted = "the export of a journal, one whole chain";
                findings.hold(false, check, AT, "export", wanted, problem);
                return None;
            }
        };
        let (head, Some(own)) = (journal.report.head, own) else {
            leaves.finish(findings);
            return Some(journal);
        };
        findings.same(check, AT, "identity", &own.identity, &head.identity);
        if own.identity != head.identity {
            return None;
        }
        leaves.finish(findings);
        let is_long_enough = own.size <= head.size;
        let wanted = format!("{} or more, as the checkpoint of the log states", own.size);
        findings.hold(is_long_enough, check, AT, "entries", wanted, head.size);
        // What follows its end would be a finding for each record.
        is_long_enough.then_some(journal)
    }

    fn follow<'a>(
        file: File,
        signed: &Signed,
        own: Option<Head>,
        mut leaves: Leaves<'a>,
        findings: &mut Findings,
    ) -> Result<(Self, Leaves<'a>), String> {
        // Entries after the head of the checkpoint are for the next export of the log: nothing vouches for them yet.
        let covered = own.map_or(u64::MAX, |own| own.size);
        let reader = ExportReader::new(file).map_err(|error| error_chain(&error))?;
        let mut reader = reader.covered(covered);
        let mut state = State::new(reader.head().identity);
        let mut journal = Self::new(reader.head());
        for item in reader.by_ref() {
            let item = item.map_err(|error| error_chain(&error))?;
            let number = item.number;
            findings.made(Check::Journal);
            state
                .follow(&item)
                .map_err(|problem| format!("entry {number}: {problem}"))?;
            prefix(signed, &item.head, findings);
            let entry = &item.entry;
            if let Event::Checkpoint { tree, root, .. } = &entry.event {
                let body = item.body.as_deref().unwrap_or_default();
                leaves.follow(number, tree.size(), body);
                journal.checkpoints.push(Checkpoint {
                    entry: number,
                    size: tree.size(),
                    root: *root,
                });
            }
            if let Event::Created { log, .. } = &entry.event {
                journal.floor = (log.size(), log.root());
            }
            if number < covered {
                journal.end = entry.time;
                journal.report.covered += 1;
                journal.report.note(&item);
                journal.cover(number, &entry.event, item.body.as_deref())?;
            } else {
                journal.report.uncovered += 1;
            }
        }
        journal.report.head = reader.head();
        Ok((journal, leaves))
    }

    fn new(head: Head) -> Self {
        Self {
            report: JournalReport::new(head),
            floor: (0, Hash::of(b"")),
            end: Timestamp::MIN,
            certificates: Vec::new(),
            by_serial: HashMap::new(),
            crls: Vec::new(),
            listed: HashMap::new(),
            checkpoints: Vec::new(),
            starts: Vec::new(),
        }
    }

    fn cover(&mut self, number: u64, event: &Event, body: Option<&[u8]>) -> Result<(), String> {
        let time = self.end;
        match event {
            Event::Started(start) | Event::Reloaded(start) => self.starts.push(Started {
                entry: number,
                time,
                start: start.clone(),
            }),
            Event::Certificate {
                issuer,
                serial,
                not_after,
                form: _,
                tbs,
            } => {
                let at = self.certificates.len();
                self.by_serial.insert((*issuer, serial.clone()), at);
                self.certificates.push(Certificate {
                    entry: number,
                    time,
                    issuer: *issuer,
                    serial: serial.clone(),
                    not_after: *not_after,
                    tbs_digest: tbs.digest,
                    signature: None,
                    record: InLog::Nothing,
                });
            }
            Event::Signed {
                certificate,
                signature,
                ..
            } => {
                let found = self
                    .certificates
                    .binary_search_by_key(certificate, |it| it.entry);
                if let Ok(at) = found
                    && let Some(found) = self.certificates.get_mut(at)
                {
                    found.signature = Some(signature.digest);
                }
            }
            Event::Crl {
                issuer,
                number: crl_number,
                this_update,
                next_update,
                digest,
                is_floor,
                changes: _,
            } => {
                let changes = Change::read_all(body.unwrap_or_default())?;
                let listed = self.listed.entry(*issuer).or_default();
                for change in &changes {
                    match change.action {
                        Action::Added | Action::Changed => listed.insert(change.serial.clone()),
                        Action::Removed => listed.remove(&change.serial),
                    };
                }
                self.crls.push(Crl {
                    entry: number,
                    time,
                    issuer: *issuer,
                    number: *crl_number,
                    this_update: *this_update,
                    next_update: *next_update,
                    digest: *digest,
                    is_floor: *is_floor,
                    changes,
                    listed: listed.len() as u64,
                    is_recorded: *is_floor,
                });
            }
            Event::Created { .. }
            | Event::Checkpoint { .. }
            | Event::Counted { .. }
            | Event::Suspended
            | Event::Resumed
            | Event::Lifted { .. }
            | Event::Known { .. }
            | Event::ClockAccepted { .. }
            | Event::Pruned { .. } => {}
        }
        Ok(())
    }

    /// Records up to this one are of the time before the journal.
    pub(crate) fn begins_after(&self) -> u64 {
        self.floor.0
    }

    /// Sizes at which the root of the log is asked for, in a log of `size` records.
    pub(crate) fn sizes(&self, size: u64) -> impl Iterator<Item = u64> {
        let last = self.last_within(size).map(|checkpoint| checkpoint.size);
        [Some(self.floor.0).filter(|floor| *floor > 0), last]
            .into_iter()
            .flatten()
    }

    /// The last checkpoint that a log of `size` records reaches.
    fn last_within(&self, size: u64) -> Option<&Checkpoint> {
        let upto = self.checkpoints.partition_point(|it| it.size <= size);
        self.checkpoints.get(..upto)?.last()
    }

    /// Compares the checkpoints with those of the journal.
    pub(crate) fn finish(
        self,
        signed: &Signed,
        size: u64,
        roots: &Roots,
        findings: &mut Findings,
    ) -> JournalReport {
        let check = Check::JournalCheckpoints;
        let (floor, floor_root) = self.floor;
        let identity = self.report.head.identity;
        for stated in signed.own.iter().chain(&signed.earlier) {
            let of_this = stated.journal.filter(|head| head.identity == identity);
            let Some(head) = of_this.filter(|_| stated.size > floor) else {
                continue;
            };
            let found = self
                .checkpoints
                .binary_search_by_key(&stated.size, |it| it.size);
            let found = found.ok().and_then(|at| self.checkpoints.get(at));
            let wanted = "a size and a root that the journal has before the head of the checkpoint";
            let got = format!("{} records, root {}", stated.size, stated.root);
            let right = found.is_some_and(|it| it.root == stated.root && it.entry < head.size);
            findings.hold(right, check, stated.at.as_str(), "size", wanted, got);
        }
        let last = self.checkpoints.last().map_or(floor, |last| last.size);
        let wanted = format!("{last} records or more, as the journal has signed a checkpoint of");
        findings.hold(last <= size, check, AT, "size of the log", wanted, size);
        // The journal's own leaf hashes lead from each of its trees to the next, so the last one stands for all. That of the
        // checkpoint was compared above.
        let is_other =
            |last: &&Checkpoint| signed.own.as_ref().map(|own| own.size) != Some(last.size);
        let last = self.last_within(size).filter(is_other);
        let last = last.map(|last| (last.size, last.root));
        for (size, wanted) in last.into_iter().chain([(floor, floor_root)]) {
            if let Some(got) = roots.get(&size).copied().flatten() {
                let member = format!("root of {size} records");
                findings.same(check, AT, &member, &wanted, &got);
            }
        }
        self.report
    }
}

/// A head that a checkpoint states is that of the journal at its size.
fn prefix(signed: &Signed, head: &Head, findings: &mut Findings) {
    let states = |stated: &&Stated| {
        let stated = stated.journal.as_ref();
        stated.is_some_and(|it| it.identity == head.identity && it.size == head.size)
    };
    for stated in signed.own.iter().chain(&signed.earlier).filter(states) {
        let right = stated.journal.as_ref() == Some(head);
        let wanted = format!("the head of the journal after {} entries", head.size);
        let at = stated.at.as_str();
        findings.hold(right, Check::Journal, at, "journal", wanted, "another one");
    }
}

/// The serial number in a record.
fn serial_of(text: &Text) -> Option<Serial> {
    text.as_str().parse().ok()
}
