//! What the HSM service counted of the CA keys' signatures, against what the log explains.

use std::collections::BTreeMap;

use assay_audit::{Event, Text};

use super::Seen;
use crate::Check;
use crate::report::{Finding, Findings, a_record};

const CHECK: Check = Check::Counters;

/// Kinds of records that explain a signature.
const EXPLAIN: [&str; 3] = ["request.issued", "crl.issued", "intent.abandoned"];

#[derive(Default)]
pub(super) struct Counters {
    runs: BTreeMap<Text, Run>,
    latest: Text,
    /// Certificates that were imported, each signed in a run that nobody knows.
    imported: u64,
}

#[derive(Default)]
struct Run {
    /// By run, of one connection and one CA, the latest count and whether it was the last.
    counts: BTreeMap<u64, (u64, bool)>,
    /// Record of the latest count.
    counted_at: u64,
    /// Certificates and CRLs recorded.
    explained: u64,
    /// Signatures that may have been made besides: of certificates given up, or signed again by recovery.
    perhaps: u64,
}

impl Counters {
    pub(super) fn take(&mut self, seen: &mut Seen<'_>) {
        let boot_id = &seen.entry.record.draft.context.boot_id;
        self.latest = boot_id.clone();
        if let Event::CertificateImported { .. } = seen.entry.event() {
            self.imported += 1;
        }
        let run = self.runs.entry(boot_id.clone()).or_default();
        if let Event::RequestIssued { recovered, .. } = seen.entry.event() {
            run.explained += 1;
            run.perhaps += u64::from(*recovered);
        } else if let Event::CrlIssued { .. } = seen.entry.event() {
            run.explained += 1;
        } else if let Event::IntentAbandoned { .. } = seen.entry.event() {
            run.perhaps += 1;
        } else if let Event::HsmCounted {
            run: of,
            pid: _,
            ca_signatures,
            last,
        } = seen.entry.event()
        {
            let before = run.counts.insert(*of, (*ca_signatures, *last));
            let (least, over) = before.unwrap_or_default();
            let wanted = format!("{least} or more, as the HSM service counted before");
            let risen = *ca_signatures >= least;
            seen.hold(risen, CHECK, "ca_signatures", wanted, ca_signatures);
            // What was at work when the signer stopped may be counted once more.
            let right = !over || *last;
            let wanted = "true, as the connection ended before";
            seen.hold(right, CHECK, "last", wanted, last);
            run.counted_at = seen.entry.sequence();
        }
    }

    /// `open` intents are in the last run; the record of a CRL of each of its CA `keys` may be yet to come.
    pub(super) fn finish(&self, open: u64, keys: u64, whole: bool, findings: &mut Findings) {
        let mut imported = self.imported;
        for (boot_id, run) in &self.runs {
            let counted: u64 = run.counts.values().map(|(count, _)| count).sum();
            let mut most = run.explained.saturating_add(run.perhaps);
            if *boot_id == self.latest {
                most = most.saturating_add(open).saturating_add(keys);
            }
            if run.counts.is_empty() {
                continue;
            }
            findings.made(CHECK);
            let beyond = counted.saturating_sub(most);
            if let Some(left) = imported.checked_sub(beyond) {
                imported = left;
            } else {
                let wanted = format!(
                    "at most {most}, which the records of the run explain, or {} in it",
                    a_record(&EXPLAIN)
                );
                let finding = Finding::new(CHECK, run.counted_at, "ca_signatures", wanted, counted);
                findings.missing(whole, finding.lacks(&EXPLAIN));
            }
        }
    }
}
