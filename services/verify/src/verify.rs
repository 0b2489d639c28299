//! The whole of it: files, then signatures and policy, then the log from its first record to its last.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use assay_audit::Record;
use assay_types::Hash;

use crate::issuers::Issuers;
use crate::journal::{self, Journal, Reconciliation};
use crate::layout::{Place, bundles_of, first_of};
use crate::ledger::{CrlGaps, Ledger};
use crate::lost::Earlier;
use crate::manifest::{self, Opened};
use crate::recoveries::{Absent, Recoveries};
use crate::report::{Finding, Findings, Report, a_record};
use crate::signed::Signed;
use crate::tree::Tree;
use crate::versions::Versions;
use crate::work::{Bench, Done, Raw};
use crate::{Check, ExportFiles, Trust, export};

/// Bundles at work for each thread: what is in memory is bounded by it.
const BUNDLES_A_THREAD: usize = 4;
/// Octets of the evidence of a bundle at most.
pub(crate) const MAX_EVIDENCE: usize = 256 * (64 * 1024 + 256);
/// Octets of the certificates of a bundle at most.
pub(crate) const MAX_CERTIFICATES: usize = 256 * 64 * 1024;

/// How an export is verified.
#[derive(Clone, Debug)]
pub struct Options {
    /// Pinned witnesses that must have cosigned; `None` for all of them.
    pub witnesses: Option<usize>,
    /// A checkpoint, as a note, that the log must continue, beside the one of the trust directory.
    pub earlier: Option<String>,
    /// Export of the HSM service's journal, which is reconciled with the log.
    pub journal: Option<PathBuf>,
    /// Exports of before a recovery, which have records that it lost.
    pub lost_records: Vec<PathBuf>,
    /// Files, signatures and tree alone; what records say is not looked at, so that nothing more than that is proven.
    pub tree_only: bool,
    /// Threads for what can be done at the same time.
    pub threads: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            witnesses: None,
            earlier: None,
            journal: None,
            lost_records: Vec::new(),
            tree_only: false,
            threads: thread::available_parallelism().map_or(1, NonZeroUsize::get),
        }
    }
}

/// Makes every check of an export. `progress` is called again and again, with the number of records read since and that
/// of the whole log.
pub fn verify(
    export: &dyn ExportFiles,
    trust: Option<&Trust>,
    options: &Options,
    progress: &dyn Fn(u64, u64),
) -> Report {
    let mut findings = Findings::default();
    let Some(opened) = manifest::open(export, options.threads, &mut findings) else {
        return findings.into_report(0, 0, 0);
    };
    opened.complete(&mut findings);
    let size = opened.manifest.size;
    let signed = Signed::read(export, size, trust, options, &mut findings);
    journal::pinned(&signed, trust, options.journal.is_some(), &mut findings);
    let journal = options.journal.as_ref();
    let mut journal =
        journal.and_then(|path| Journal::read(path, &signed, export, size, &mut findings));
    let approvers = trust.map(|trust| &trust.approvers);
    let recoveries = Recoveries::read(export, &opened.places, approvers, &mut findings);
    let earlier = options.lost_records.iter();
    let earlier = earlier
        .filter_map(|path| Earlier::open(path, trust, options.threads, &mut findings))
        .collect();
    let sizes = signed.sizes().chain(recoveries.sizes().collect::<Vec<_>>());
    let sizes = sizes.chain(journal.iter().flat_map(|journal| journal.sizes(size)));
    let mut run = Run {
        export,
        opened: &opened,
        tree: Tree::new(export, size, sizes),
        held: 0,
        decided_again: 0,
        left_out: 0,
        gone: 0,
        recoveries,
        earlier,
        absent: Absent::default(),
        findings,
    };
    if options.tree_only {
        run.tree(progress);
    } else {
        let gaps = match (&journal, signed.own.as_ref().and_then(|own| own.journal)) {
            (Some(journal), _) => CrlGaps::ExplainedAfter(journal.begins_after()),
            (None, Some(_)) => CrlGaps::Open,
            (None, None) => CrlGaps::Bad,
        };
        run.whole(trust, options, journal.as_mut(), gaps, progress);
    }
    let Run {
        tree,
        held,
        decided_again,
        recoveries,
        absent,
        mut findings,
        ..
    } = run;
    let roots = tree.finish(signed.root(), &mut findings);
    recoveries.finish(!options.tree_only, size, &roots, &mut findings);
    absent.finish(&mut findings);
    let journal = journal.map(|journal| journal.finish(&signed, size, &roots, &mut findings));
    signed.finish(size, &roots, &mut findings);
    Report {
        journal,
        ..findings.into_report(size, held, decided_again)
    }
}

struct Run<'a> {
    export: &'a dyn ExportFiles,
    opened: &'a Opened,
    tree: Tree<'a>,
    held: u64,
    decided_again: u64,
    left_out: u64,
    /// By how much the record that was read last has a number above its place.
    gone: u64,
    recoveries: Recoveries,
    earlier: Vec<Earlier>,
    absent: Absent,
    findings: Findings,
}

impl Run<'_> {
    /// Every record as a leaf, and nothing of what it says.
    fn tree(&mut self, progress: &dyn Fn(u64, u64)) {
        for bundle in 0..bundles_of(self.opened.manifest.size) {
            match self.records(bundle) {
                Some(records) => {
                    self.held += records.len() as u64;
                    self.supply(bundle, &records);
                    progress(records.len() as u64, self.opened.manifest.size);
                }
                None => self.left_out += 1,
            }
        }
        self.leave_out();
        let wanted = "what records say";
        let got = "not looked at, as was asked";
        let place = Place::Manifest;
        let finding = Finding::new(Check::Form, &place, "records", wanted, got);
        self.findings.open(finding);
    }

    /// Everything that records say, under the policies and the CAs of the export.
    fn whole(
        &mut self,
        trust: Option<&Trust>,
        options: &Options,
        journal: Option<&mut Journal>,
        gaps: CrlGaps,
        progress: &dyn Fn(u64, u64),
    ) {
        let pinned = trust.map(|trust| trust.cas.as_slice());
        let places = &self.opened.places;
        let issuers = Issuers::read(self.export, places, pinned, &mut self.findings);
        let versions = Versions::read(
            self.export,
            places,
            trust.map(|trust| &trust.approvers),
            &issuers,
            &mut self.findings,
        );
        let bench = Bench {
            versions: &versions,
            issuers: &issuers,
        };
        let ledger = Ledger::new(&versions, &issuers, self.export, places, gaps);
        let mut reconciliation = journal.map(|journal| Reconciliation::new(journal, &versions));
        let reconciled = reconciliation.as_mut();
        self.log(bench, ledger, reconciled, options.threads, progress);
        if let Some(reconciliation) = reconciliation {
            reconciliation.finish(&mut self.findings);
        }
    }

    fn log(
        &mut self,
        bench: Bench<'_>,
        mut ledger: Ledger<'_>,
        mut reconciliation: Option<&mut Reconciliation<'_>>,
        threads: usize,
        progress: &dyn Fn(u64, u64),
    ) {
        let size = self.opened.manifest.size;
        let at_once = threads.max(1).saturating_mul(BUNDLES_A_THREAD);
        let mut bundles = 0..bundles_of(size);
        loop {
            let steps: Vec<Option<Raw>> = bundles
                .by_ref()
                .take(at_once)
                .map(|bundle| self.read(bundle))
                .collect();
            if steps.is_empty() {
                break;
            }
            let done = work(bench, &steps, threads, &mut self.findings);
            let mut passed = 0;
            for (raw, done) in steps.iter().zip(done) {
                let Some(done) = done else {
                    ledger.skip();
                    self.recoveries.skip();
                    reconciliation.iter_mut().for_each(|it| it.skip());
                    self.left_out += 1;
                    continue;
                };
                let Some(raw) = raw else { continue };
                passed += raw.records.len() as u64;
                self.held += done.entries.len() as u64;
                self.decided_again += done.decided_again;
                self.findings.merge(done.findings);
                self.supply(raw.bundle, &raw.records);
                for (entry, bytes) in done.entries.iter().zip(&raw.records) {
                    // A record that a recovery lost has no part in the state that records after it continue.
                    if bytes.is_empty() {
                        continue;
                    }
                    match entry {
                        Some(entry) => {
                            self.recoveries.take(entry, &mut self.findings);
                            ledger.take(entry, &mut self.findings);
                        }
                        None => {
                            self.recoveries.skip();
                            ledger.skip();
                        }
                    }
                    if let Some(reconciliation) = &mut reconciliation {
                        match entry {
                            Some(entry) => reconciliation.take(entry, &mut self.findings),
                            None => reconciliation.skip(),
                        }
                    }
                }
            }
            progress(passed, size);
        }
        self.leave_out();
        ledger.finish(&mut self.findings);
    }

    /// Has the records that a recovery lost checked, each by itself, where an earlier export has them.
    fn supply(&mut self, bundle: u64, records: &[Vec<u8>]) {
        let lost = (first_of(bundle)..).zip(records);
        let lost: Vec<u64> = lost
            .filter(|(_, record)| record.is_empty())
            .map(|(sequence, _)| sequence)
            .collect();
        if lost.is_empty() {
            return;
        }
        let hashes: BTreeMap<u64, Hash> =
            (first_of(bundle)..).zip(self.tree.hashes(bundle)).collect();
        let wanted = lost.iter();
        let wanted = wanted.filter_map(|sequence| Some((*sequence, *hashes.get(sequence)?)));
        let mut wanted: Vec<(u64, Hash)> = wanted.collect();
        for earlier in &self.earlier {
            let Some(raw) = earlier.supply(bundle, &wanted) else {
                continue;
            };
            let held = (first_of(bundle)..).zip(&raw.records);
            let held = held.filter(|(_, record)| !record.is_empty());
            let held: BTreeSet<u64> = held.map(|(sequence, _)| sequence).collect();
            wanted.retain(|(sequence, _)| !held.contains(sequence));
            let done = earlier.bench().work(&raw);
            self.decided_again += done.decided_again;
            self.findings.merge(done.findings);
        }
        for sequence in lost {
            let is_lost = self.recoveries.lost(sequence);
            let check = Check::Recoveries;
            self.findings.made(check);
            if !is_lost {
                let kinds = ["state.recovered"];
                let wanted = format!("a record, or {} that lost it", a_record(&kinds));
                let finding = Finding::new(check, sequence, "record", wanted, "none");
                self.findings.bad(finding.lacks(&kinds));
            }
            if wanted.iter().any(|(absent, _)| *absent == sequence) {
                self.absent.add(sequence);
            }
        }
    }

    fn leave_out(&mut self) {
        if self.left_out > 0 {
            let wanted = "every bundle of records";
            let got = format!("{} that are not held", self.left_out);
            let place = Place::Manifest;
            let finding = Finding::new(Check::Leaves, &place, "bundles", wanted, got);
            self.findings.open(finding);
        }
    }

    /// A bundle's records and what belongs to them; `None` where they are not held.
    fn read(&mut self, bundle: u64) -> Option<Raw> {
        let records = self.records(bundle)?;
        let evidence = self.file(&Place::Evidence(bundle), MAX_EVIDENCE);
        let certificates = self.file(&Place::Certificates(bundle), MAX_CERTIFICATES);
        let gone = self.gone;
        let last = records
            .last()
            .and_then(|last| Record::from_canonical(last).ok());
        let place = first_of(bundle) + records.len() as u64 - 1;
        if let Some(last) = last {
            self.gone = last.sequence.saturating_sub(place);
        }
        Some(Raw {
            bundle,
            gone,
            records,
            evidence,
            certificates,
        })
    }

    /// A bundle's records, each the leaf of its place; `None` where they are not held.
    fn records(&mut self, bundle: u64) -> Option<Vec<Vec<u8>>> {
        let held = self.opened.bundles.contains(&bundle);
        let records = if held {
            self.tree.entries(bundle, &mut self.findings)
        } else {
            None
        };
        self.tree
            .take(bundle, records.as_deref(), &mut self.findings);
        records
    }

    fn file(&mut self, place: &Place, most: usize) -> Option<Vec<u8>> {
        match export::read(self.export, &place.to_string(), most) {
            Ok(bytes) => bytes,
            Err(error) => {
                let wanted = "a file of its bundle";
                self.findings
                    .hold(false, Check::Manifest, place, "file", wanted, error);
                None
            }
        }
    }
}

/// The checks of each bundle by itself, on all threads; in the order of the bundles.
fn work(
    bench: Bench<'_>,
    steps: &[Option<Raw>],
    threads: usize,
    findings: &mut Findings,
) -> Vec<Option<Done>> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            match steps.get(at) {
                None => return done,
                Some(None) => {}
                Some(Some(raw)) => done.push((at, bench.work(raw))),
            }
        }
    };
    let mut all: Vec<Option<Done>> = steps.iter().map(|_| None).collect();
    thread::scope(|scope| {
        let handles: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
        for handle in handles {
            match handle.join() {
                Ok(done) => {
                    for (at, done) in done {
                        if let Some(place) = all.get_mut(at) {
                            *place = Some(done);
                        }
                    }
                }
                Err(_) => {
                    let wanted = "bundles that can be checked";
                    let got = "a fault of the verifier";
                    findings.hold(false, Check::Form, &Place::Manifest, "bundles", wanted, got);
                }
            }
        }
    });
    all
}
