//! The whole of it: files, then signatures and policy, then the log from its first record to its last.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::issuers::Issuer;
use crate::layout::{Place, bundles_of, records_in};
use crate::ledger::Ledger;
use crate::manifest::{self, Opened};
use crate::report::{Finding, Findings, Report};
use crate::signed::Signed;
use crate::tree::Tree;
use crate::versions::Versions;
use crate::work::{Bench, Done, Raw};
use crate::{Check, Source, Trust, source};

/// Bundles at work for each thread: what is in memory is bounded by it.
const BUNDLES_A_THREAD: usize = 4;
/// Octets of the evidence of a bundle at most.
const MAX_EVIDENCE: usize = 256 * (64 * 1024 + 256);
/// Octets of the certificates of a bundle at most.
const MAX_CERTIFICATES: usize = 256 * 64 * 1024;

/// How an export is verified.
#[derive(Clone, Debug)]
pub struct Options {
    /// Pinned witnesses that must have cosigned; `None` for all of them.
    pub witnesses: Option<usize>,
    /// A checkpoint, as a note, that the log must continue, beside the one of the trust directory.
    pub earlier: Option<String>,
    /// Threads for what can be done at the same time.
    pub threads: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            witnesses: None,
            earlier: None,
            threads: thread::available_parallelism().map_or(1, NonZeroUsize::get),
        }
    }
}

/// Makes every check of an export. `progress` is called with the number of records read, again and again.
pub fn verify(
    source: &dyn Source,
    trust: Option<&Trust>,
    options: &Options,
    progress: &dyn Fn(u64),
) -> Report {
    let mut findings = Findings::default();
    let Some(opened) = manifest::open(source, options.threads, &mut findings) else {
        return findings.into_report(0, 0, 0);
    };
    opened.complete(&mut findings);
    let size = opened.manifest.size;
    let signed = Signed::read(source, size, trust, options, &mut findings);
    let pinned = trust.map(|trust| trust.ca.as_slice());
    let issuer = Issuer::read(source, pinned, &mut findings);
    let versions = Versions::read(
        source,
        &opened.places,
        trust.map(|trust| &trust.approvers),
        issuer.as_ref().map(Issuer::sha256),
        &mut findings,
    );
    let bench = Bench {
        versions: &versions,
        issuer: issuer.as_ref(),
    };
    let mut run = Run {
        source,
        opened: &opened,
        tree: Tree::new(source, size, signed.sizes()),
        held: 0,
        decided_again: 0,
        findings,
    };
    run.log(
        bench,
        Ledger::new(&versions, source, &opened.places),
        options.threads,
        progress,
    );
    let Run {
        tree,
        held,
        decided_again,
        mut findings,
        ..
    } = run;
    let roots = tree.finish(signed.root, &mut findings);
    signed.finish(size, &roots, &mut findings);
    findings.into_report(size, held, decided_again)
}

struct Run<'a> {
    source: &'a dyn Source,
    opened: &'a Opened,
    tree: Tree<'a>,
    held: u64,
    decided_again: u64,
    findings: Findings,
}

impl Run<'_> {
    fn log(
        &mut self,
        bench: Bench<'_>,
        mut ledger: Ledger<'_>,
        threads: usize,
        progress: &dyn Fn(u64),
    ) {
        let size = self.opened.manifest.size;
        let at_once = threads.max(1).saturating_mul(BUNDLES_A_THREAD);
        let mut bundles = 0..bundles_of(size);
        let mut left_out = 0;
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
                    left_out += 1;
                    continue;
                };
                passed += raw.as_ref().map_or(0, |raw| raw.records.len() as u64);
                self.held += done.entries.len() as u64;
                self.decided_again += done.decided_again;
                self.findings.merge(done.findings);
                for entry in &done.entries {
                    match entry {
                        Some(entry) => ledger.take(entry, &mut self.findings),
                        None => ledger.skip(),
                    }
                }
            }
            progress(passed);
        }
        if left_out > 0 {
            let wanted = "every bundle of records";
            let got = format!("{left_out} that are not held");
            let place = Place::Manifest;
            let finding = Finding::new(Check::Leaves, &place, "bundles", wanted, got);
            self.findings.open(finding);
        }
        ledger.finish(&mut self.findings);
    }

    /// A bundle's records and what belongs to them; `None` where they are not held.
    fn read(&mut self, bundle: u64) -> Option<Raw> {
        let held = self.opened.bundles.contains(&bundle);
        let records = if held {
            self.tree.entries(bundle, &mut self.findings)
        } else {
            None
        };
        self.tree
            .take(bundle, records.as_deref(), &mut self.findings);
        let records = records?;
        let evidence = self.file(&Place::Evidence(bundle), MAX_EVIDENCE);
        let certificates = self.file(&Place::Certificates(bundle), MAX_CERTIFICATES);
        debug_assert_eq!(
            records.len() as u64,
            records_in(bundle, self.opened.manifest.size)
        );
        Some(Raw {
            bundle,
            records,
            evidence,
            certificates,
        })
    }

    fn file(&mut self, place: &Place, most: usize) -> Option<Vec<u8>> {
        match source::read(self.source, &place.to_string(), most) {
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
