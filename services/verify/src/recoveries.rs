//! Recoveries from a backup: what people signed, held to their keys and to the tree.

use std::collections::BTreeMap;

use assay_audit::{Event, Text};
use assay_policy::{Approvers, MAX_STATEMENT, Purpose, RecoveryStatement};
use assay_types::Hash;

use crate::entry::Entry;
use crate::layout::Place;
use crate::report::{Finding, Findings, a_record};
use crate::tree::Roots;
use crate::{Check, ExportFiles, export};

const CHECK: Check = Check::Recoveries;
/// Largest signature; it is parsed where it is verified.
const MAX_SIGNATURE: usize = 64 * 1024;

/// The recoveries of an export, by the sequence number of their records.
#[derive(Default)]
pub(crate) struct Recoveries {
    all: BTreeMap<u64, Recovery>,
    /// The recovery whose records come next.
    counted: Option<Counted>,
}

/// The counts in the record of a recovery, and the records of the same run.
struct Counted {
    sequence: u64,
    boot_id: Text,
    /// By member, with the kind of the records and the number that is said.
    members: [(&'static str, &'static str, u64); 3],
    made: [u64; 3],
}

impl Counted {
    fn of(entry: &Entry) -> Option<Self> {
        let Event::StateRecovered {
            certificates,
            statuses,
            intents,
            ..
        } = entry.event()
        else {
            return None;
        };
        Some(Self {
            sequence: entry.sequence(),
            boot_id: entry.record.draft.context.boot_id.clone(),
            members: [
                ("certificates", "certificate.recovered", *certificates),
                ("statuses", "status.recovered", *statuses),
                ("intents", "intent.abandoned", *intents),
            ],
            made: [0; 3],
        })
    }

    fn take(&mut self, entry: &Entry) {
        let kind = entry.event().kind();
        for ((_, of, _), made) in self.members.iter().zip(&mut self.made) {
            *made += u64::from(*of == kind);
        }
    }

    fn finish(self, findings: &mut Findings) {
        for ((member, kind, said), made) in self.members.into_iter().zip(self.made) {
            if made < said {
                let wanted = format!("{said}, each with {} after it", a_record(&[kind]));
                let finding = Finding::new(CHECK, self.sequence, member, wanted, made);
                findings.made(CHECK);
                findings.bad(finding.lacks(&[kind]));
            } else {
                findings.same(CHECK, self.sequence, member, &made, &said);
            }
        }
    }
}

struct Recovery {
    statement: RecoveryStatement,
    sha256: Hash,
    /// Who signed it; `None` where no approvers are pinned, or they are not enough.
    people: Option<Vec<String>>,
    is_told: bool,
}

impl Recoveries {
    pub(crate) fn read(
        export: &dyn ExportFiles,
        places: &[Place],
        approvers: Option<&Approvers>,
        findings: &mut Findings,
    ) -> Self {
        let mut approvals: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for place in places {
            match place {
                Place::Recovery(n) => drop(approvals.entry(*n).or_default()),
                Place::RecoveryApproval(n, k) => approvals.entry(*n).or_default().push(*k),
                Place::Manifest
                | Place::Checkpoint
                | Place::LogKey
                | Place::Issuer(_, _)
                | Place::Proposal(_)
                | Place::Author(_)
                | Place::Approval(_, _)
                | Place::Policy(_, _)
                | Place::Inventory(_)
                | Place::Evidence(_)
                | Place::Certificates(_) => {}
            }
        }
        let mut all = BTreeMap::new();
        for (number, mut approvals) in approvals {
            approvals.sort_unstable();
            let places = approvals
                .into_iter()
                .map(|k| Place::RecoveryApproval(number, k));
            if let Some(recovery) = one(export, number, places, approvers, findings) {
                all.insert(number, recovery);
            }
        }
        Self { all, counted: None }
    }

    /// Sizes at which a statement names the root of the tree.
    pub(crate) fn sizes(&self) -> impl Iterator<Item = u64> + '_ {
        let statements = self.all.values().map(|recovery| &recovery.statement);
        statements.flat_map(|it| [it.restored_size, it.log_size])
    }

    /// Whether the record with this sequence number is one that a recovery lost.
    pub(crate) fn lost(&self, sequence: u64) -> bool {
        let mut all = self.all.iter();
        all.any(|(recovery, it)| sequence > it.statement.restored_size && sequence < *recovery)
    }

    /// Records are not held, or not readable.
    pub(crate) fn skip(&mut self) {
        self.counted = None;
    }

    /// The record of a recovery is what was signed, and the records of the same run are those that it counts.
    pub(crate) fn take(&mut self, entry: &Entry, findings: &mut Findings) {
        let boot_id = &entry.record.draft.context.boot_id;
        if let Some(counted) = self.counted.take_if(|it| it.boot_id != *boot_id) {
            counted.finish(findings);
        }
        match (&mut self.counted, Counted::of(entry)) {
            (_, Some(counted)) => self.counted = Some(counted),
            (Some(counted), None) => counted.take(entry),
            (None, None) => {}
        }
        let Event::StateRecovered {
            statement_sha256,
            journal,
            log_size,
            log_root,
            restored_size,
            restored_root,
            policy_floor,
            approvers,
            ..
        } = entry.event()
        else {
            return;
        };
        let at = entry.sequence();
        let Some(recovery) = self.all.get_mut(&at) else {
            let wanted = "the statement that was signed";
            return findings.hold(false, CHECK, at, "statement_sha256", wanted, "none");
        };
        recovery.is_told = true;
        let said = &recovery.statement;
        for (member, wanted, got) in [
            ("statement_sha256", &recovery.sha256, statement_sha256),
            ("journal", &said.journal, journal),
            ("log_root", &said.log_root, log_root),
            ("restored_root", &said.restored_root, restored_root),
        ] {
            findings.same(CHECK, at, member, wanted, got);
        }
        for (member, wanted, got) in [
            ("log_size", &said.log_size, log_size),
            ("restored_size", &said.restored_size, restored_size),
            ("policy_floor", &said.policy_floor, policy_floor),
        ] {
            findings.same(CHECK, at, member, wanted, got);
        }
        let place = said.restored_size.max(said.log_size).saturating_add(1);
        findings.same(CHECK, at, "sequence", &place, &at);
        if let Some(people) = &recovery.people {
            let texts = people.iter().map(|it| Text::from(it.as_str()));
            let right = texts.eq(approvers.iter().cloned());
            let wanted = people.join(", ");
            findings.hold(right, CHECK, at, "approvers", wanted, "others");
        }
    }

    /// After the last record: the trees that the statements name are those of the log.
    pub(crate) fn finish(self, is_read: bool, size: u64, roots: &Roots, findings: &mut Findings) {
        if let Some(counted) = self.counted {
            counted.finish(findings);
        }
        for (at, recovery) in &self.all {
            let place = Place::Recovery(*at);
            let said = &recovery.statement;
            if is_read {
                findings.made(CHECK);
                if !recovery.is_told {
                    let (kinds, of) = (["state.recovered"], format!("with the number {at}"));
                    let finding = Finding::absent(CHECK, &place, "sequence", &kinds, of);
                    findings.bad(finding);
                }
            }
            let inside = said.log_size.max(said.restored_size) < size;
            let wanted = format!("a log of less than {size} records");
            findings.hold(inside, CHECK, &place, "log_size", wanted, said.log_size);
            for (member, of, wanted) in [
                ("log_root", said.log_size, said.log_root),
                ("restored_root", said.restored_size, said.restored_root),
            ] {
                if let Some(Some(found)) = roots.get(&of) {
                    findings.same(CHECK, &place, member, found, &wanted);
                }
            }
        }
    }
}

fn one(
    export: &dyn ExportFiles,
    number: u64,
    approvals: impl Iterator<Item = Place>,
    approvers: Option<&Approvers>,
    findings: &mut Findings,
) -> Option<Recovery> {
    let place = Place::Recovery(number);
    let text = file(export, &place, MAX_STATEMENT, findings)?;
    let statement = match RecoveryStatement::parse(&text) {
        Ok(statement) => statement,
        Err(error) => {
            findings.hold(false, CHECK, &place, "text", "a statement", error);
            return None;
        }
    };
    let signatures: Option<Vec<_>> = approvals
        .map(|place| file(export, &place, MAX_SIGNATURE, findings))
        .collect();
    let signatures = signatures?;
    let examined =
        approvers.map(|them| them.examine_recovery(&text, &signatures, Purpose::InForce));
    let people = match examined {
        None => None,
        Some(Ok(people)) => {
            findings.made(CHECK);
            Some(people)
        }
        Some(Err(problems)) => {
            let got = problems.first().map(ToString::to_string);
            let wanted = "enough signatures of pinned approvers";
            let got = got.unwrap_or_default();
            findings.hold(false, CHECK, &place, "approvals", wanted, got);
            None
        }
    };
    Some(Recovery {
        statement,
        sha256: Hash::of(&text),
        people,
        is_told: false,
    })
}

fn file(
    export: &dyn ExportFiles,
    place: &Place,
    most: usize,
    findings: &mut Findings,
) -> Option<Vec<u8>> {
    let got = match export::read(export, &place.to_string(), most) {
        Ok(Some(bytes)) => return Some(bytes),
        Ok(None) => "no such file".to_owned(),
        Err(error) => error.to_string(),
    };
    findings.hold(false, CHECK, place, "file", "a part of the recovery", got);
    None
}

/// Records of which the export has the hashes alone, and those that another export supplied.
#[derive(Default)]
pub(crate) struct Absent {
    /// First and last of each range.
    ranges: Vec<(u64, u64)>,
}

impl Absent {
    /// One that nothing supplied; they come in order.
    pub(crate) fn add(&mut self, sequence: u64) {
        match self.ranges.last_mut() {
            Some((_, last)) if *last + 1 == sequence => *last = sequence,
            Some(_) | None => self.ranges.push((sequence, sequence)),
        }
    }

    pub(crate) fn finish(self, findings: &mut Findings) {
        for (first, last) in self.ranges {
            let member = format!("records {first} to {last}");
            let wanted = "the records, from an export of before the recovery (--lost-records)";
            let got = "their hashes alone";
            findings.open(Finding::new(CHECK, first, member, wanted, got));
        }
    }
}
