//! The logs that records are taken out of and altered in: each with the journal of a service that signed it, and all together
//! with a record of every kind.

use std::collections::BTreeSet;

use assay_audit::{Event, InventoryChange};
use assay_verify::layout::Place;
use assay_verify::{Options, Report, Verdict};
use serde_json::Value;
use tempfile::TempDir;

use crate::export::{Export, Parts};
use crate::honest::assert_verdict;
use crate::keeper::{Keeper, Pair};
use crate::keys::keys;
use crate::maker::{Maker, files};
use crate::recovered;
use crate::rollover::rolled_maker;
use crate::scenes::{ADDRESS, DEVICE, PERSON, SAN, asks, one_time, small_maker};

pub(crate) struct Log {
    pub(crate) name: &'static str,
    /// Records before this place are those of another log of these.
    pub(crate) from: usize,
    /// Nothing rests on the records from there on.
    pub(crate) is_end: bool,
    pub(crate) pair: Pair,
    options: Options,
    /// The export of before a recovery.
    _earlier: Option<TempDir>,
}

impl Log {
    fn new(name: &'static str, from: usize, is_end: bool, maker: Maker) -> Self {
        Self {
            name,
            from,
            is_end,
            pair: Keeper::of_history(maker),
            options: Options {
                threads: 1,
                ..Options::default()
            },
            _earlier: None,
        }
    }

    fn recovered(name: &'static str, is_end: bool, maker: Maker, earlier: &Export) -> Self {
        let folder = earlier.write();
        let from = place_of(&maker.parts, "state.recovered");
        let mut log = Self::new(name, from, is_end, maker);
        log.options.lost_records = vec![folder.path().to_owned()];
        log._earlier = Some(folder);
        log
    }

    pub(crate) fn parts(&self) -> &Parts {
        &self.pair.parts
    }

    /// Records that tests take out and alter: place and kind.
    pub(crate) fn places(&self) -> impl Iterator<Item = (usize, String)> {
        let records = self.parts().records.iter().enumerate();
        let records = records.skip(self.from);
        records.map(|(at, record)| (at, kind(record)))
    }

    pub(crate) fn verify(&self, parts: &Parts) -> Report {
        self.verify_export(&parts.export())
    }

    pub(crate) fn verify_export(&self, export: &Export) -> Report {
        export.verify_with(Some(&keys().trust()), &self.options)
    }

    pub(crate) fn verify_with_journal(&self, parts: &Parts) -> Report {
        self.pair.verify_other(parts, &self.options)
    }
}

pub(crate) fn kind(record: &[u8]) -> String {
    let record: Value = serde_json::from_slice(record).unwrap();
    record["kind"].as_str().unwrap().to_owned()
}

fn place_of(parts: &Parts, wanted: &str) -> usize {
    let records = parts.records.iter();
    let mut records = records.filter(|record| !record.is_empty());
    let lost = parts.lost.len();
    records.position(|record| kind(record) == wanted).unwrap() + lost
}

/// All of them; in an end, nothing rests on the records.
pub(crate) fn logs() -> Vec<Log> {
    let from = begun().parts.records.len();
    let [mut at_end, mut goes_on] = recovered::Scene::both().map(Some);
    let mut recovery = |name, is_end: bool| {
        let log = if is_end { &mut at_end } else { &mut goes_on };
        let (maker, earlier) = log.take().unwrap();
        Log::recovered(name, is_end, maker, &earlier)
    };
    vec![
        Log::new("small", 0, false, small_maker()),
        Log::new("rollover", 0, false, rolled_maker()),
        recovery("recovery", false),
        recovery("recovery, at the end", true),
        Log::new("end", from, true, ended()),
        Log::new("version, at the end", from, true, activated()),
        Log::new("jump, at the end", from, true, accepted()),
        Log::new("start, at the end", from, true, started()),
    ]
}

/// The records that a log begins with.
fn begun() -> Maker {
    let mut maker = Maker::new();
    maker.start();
    maker.activate(&files("CHG-1"), &[]);
    maker.crl();
    maker
}

/// Things that were done and have no consequence yet.
fn ended() -> Maker {
    let mut maker = begun();
    let issue = |maker: &mut Maker| {
        let by = one_time(maker);
        maker.issue(&asks("devices", DEVICE, &[SAN], by))
    };
    let queue = |maker: &mut Maker| {
        let by = maker.challenge("smime", PERSON, &[ADDRESS]);
        maker.queue(&crate::maker::Asks {
            queue: true,
            ..asks("smime", PERSON, &[ADDRESS], by)
        })
    };
    let serials: Vec<String> = (0..3).map(|_| issue(&mut maker)).collect();
    maker.hold(&serials[0]);
    maker.crl();
    let expires = queue(&mut maker);
    maker.pass(7 * 86_400 * 1_000 + 1_000);
    maker.record(Event::PendingExpired {
        pending_id: expires.as_str().into(),
    });
    maker.release(&serials[0]);
    maker.hold(&serials[1]);
    maker.revoke(&serials[2]);
    one_time(&mut maker);
    maker.static_challenge("fleet");
    let by = one_time(&mut maker);
    maker.revoke_challenge(&by);
    maker.inventory("fleet", InventoryChange::Add, &["device-10"]);
    queue(&mut maker);
    let denied = queue(&mut maker);
    maker.deny(&denied);
    let approved = queue(&mut maker);
    maker.approve(&approved, &["olga", "otto"]);
    issue(&mut maker);
    let by = one_time(&mut maker);
    let opened = maker.open(&asks("devices", DEVICE, &[SAN], by));
    maker.abandon(opened);
    let by = one_time(&mut maker);
    maker.open(&asks("devices", DEVICE, &[SAN], by));
    maker.stop_profile("fleet");
    maker
}

fn accepted() -> Maker {
    let mut maker = begun();
    maker.accept_jump(4 * 86_400);
    maker
}

fn activated() -> Maker {
    let mut maker = begun();
    maker.activate(&files("CHG-3"), &[]);
    maker
}

fn started() -> Maker {
    let mut maker = begun();
    maker.stop();
    maker.pass(5_000);
    maker.start();
    maker
}

/// Takes a record out and gives those after it the numbers that are free then.
pub(crate) fn without(parts: &Parts, at: usize) -> Parts {
    let mut parts = parts.clone();
    let gone = at as u64 + 1;
    parts.records.remove(at);
    let lost = parts.lost.split_off(&at);
    let lost = lost.into_iter().filter(|(place, _)| *place > at);
    parts
        .lost
        .extend(lost.map(|(place, leaf)| (place - 1, leaf)));
    for (n, record) in parts.records.iter_mut().enumerate().skip(at) {
        if record.is_empty() {
            continue;
        }
        let mut members: Value = serde_json::from_slice(record).unwrap();
        members["sequence"] = (n as u64 + 1).into();
        // A CRL says up to which record it has the changes.
        if let Some(covers) = members["covers"].as_u64().filter(|it| *it >= gone) {
            members["covers"] = (covers - 1).into();
        }
        *record = assay_types::canonical(&members).unwrap().into_bytes();
    }
    let evidence = parts.evidence.split_off(&gone);
    for (sequence, mut line) in evidence.into_iter().filter(|(n, _)| *n > gone) {
        line.sequence = sequence - 1;
        parts.evidence.insert(sequence - 1, line);
    }
    let certificates = parts.certificates.split_off(&gone);
    for (sequence, der) in certificates.into_iter().filter(|(n, _)| *n > gone) {
        parts.certificates.insert(sequence - 1, der);
    }
    parts
}

/// As [`without`], with the files that belong to the record: a version of the policy, the newest change of an inventory, the
/// statement of a recovery. `None` where there are none.
pub(crate) fn without_all(parts: &Parts, at: usize) -> Option<Parts> {
    let record: Value = serde_json::from_slice(&parts.records[at]).unwrap();
    let mut rest = without(parts, at);
    if let ("policy.activated", Some(number)) =
        (record["kind"].as_str()?, record["number"].as_u64())
    {
        let place = Place::Proposal(number).to_string();
        let (folder, _) = place.rsplit_once('/').unwrap();
        rest.policies
            .retain(|path, _| !path.starts_with(&format!("{folder}/")));
    } else if let Some(profile) = record["inventory_sequence"]
        .as_u64()
        .and(record["profile"].as_str())
    {
        let lines = rest.inventories.get_mut(profile)?;
        let last = lines.last()?.sequence;
        if record["names"].as_u64() == Some(0)
            || record["inventory_sequence"].as_u64() != Some(last)
        {
            return None;
        }
        lines.pop();
    } else if record["kind"] == "state.recovered" {
        let place = Place::Recovery(at as u64 + 1).to_string();
        let (folder, _) = place.rsplit_once('/').unwrap();
        rest.policies
            .retain(|path, _| !path.starts_with(&format!("{folder}/")));
    } else {
        return None;
    }
    Some(rest)
}

/// The test fails for a kind of record that is new until a log here has it.
#[test]
fn every_kind_of_record_is_in_a_log_that_is_proven_with_and_without_its_journal() {
    let mut met = BTreeSet::new();
    for log in logs() {
        assert_verdict(&log.verify(log.parts()), Verdict::Proven);
        let report = log.verify_with_journal(log.parts());
        assert_verdict(&report, Verdict::Proven);
        met.extend(log.places().map(|(_, kind)| kind));
    }
    let all: BTreeSet<String> = Event::KINDS.iter().map(ToString::to_string).collect();
    assert_eq!(met, all);
}
