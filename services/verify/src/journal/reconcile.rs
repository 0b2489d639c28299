//! Record by record: what the log says, in the journal, and then what the journal has beyond that.

use std::collections::{BTreeSet, HashMap};

use assay_audit::{Event, Issuance, Text};
use assay_journal::{Action, Change, Reason};
use assay_types::{Hash, Serial, Timestamp};

use super::{AT, Certificate, Crl, InLog, Journal, configuration, serial_of};
use crate::Check;
use crate::entry::{Certified, Entry, SLACK};
use crate::report::{Finding, Findings, a_record};
use crate::versions::Versions;

const CERTIFICATES: Check = Check::JournalCertificates;
const CRLS: Check = Check::JournalCrls;

/// The log on its way through the journal.
pub(crate) struct Reconciliation<'a> {
    journal: &'a mut Journal,
    versions: &'a Versions,
    issuers: BTreeSet<Hash>,
    by_digest: HashMap<Hash, usize>,
    /// The log's statements about serial numbers that a CRL may list, in order.
    changes: HashMap<Serial, Vec<Told>>,
    /// When each version of the policy came into force.
    activations: Vec<(Timestamp, u64)>,
    /// Number of the last CRL of each issuer before a recovery, which lost the records of some of them.
    floors: HashMap<Hash, u64>,
    /// Every record was held and read.
    whole: bool,
}

/// A record that changes what a CRL lists.
struct Told {
    sequence: u64,
    at: Timestamp,
    what: What,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    /// Held, with the reason of a hold, revoked, or given up.
    Listed(Reason),
    Released,
}

impl<'a> Reconciliation<'a> {
    pub(crate) fn new(journal: &'a mut Journal, versions: &'a Versions) -> Self {
        let issuers = journal.certificates.iter().map(|it| it.issuer);
        let by_digest = (0..).zip(&journal.crls).map(|(at, it)| (it.digest, at));
        Self {
            issuers: issuers.collect(),
            by_digest: by_digest.collect(),
            journal,
            versions,
            changes: HashMap::new(),
            activations: Vec::new(),
            floors: HashMap::new(),
            whole: true,
        }
    }

    /// Records are not held, or not readable.
    pub(crate) fn skip(&mut self) {
        self.whole = false;
    }

    /// The next record.
    pub(crate) fn take(&mut self, entry: &Entry, findings: &mut Findings) {
        if let Event::PolicyActivated { number, .. } = entry.event() {
            self.activations.push((entry.wall(), *number));
        }
        self.changes(entry);
        // Earlier events are in another journal, or in none.
        if entry.sequence() <= self.journal.begins_after() {
            return;
        }
        if let Event::RequestIssued { issuance, .. } = entry.event() {
            let (serial, tbs_digest) = (&issuance.serial, issuance.tbs_digest);
            self.issued(entry, serial, tbs_digest, findings);
        } else if let Event::CertificateImported { .. } = entry.event() {
            self.imported(entry, findings);
        } else if let Event::CertificateRecovered { .. } = entry.event() {
            self.recovered(entry, findings);
        } else if let Event::StateRecovered { crls, .. } = entry.event() {
            for crl in crls {
                self.floors.insert(crl.issuer, crl.number);
            }
        } else if let Event::IntentOpened { issuance, .. } = entry.event() {
            self.asked(issuance, InLog::Open);
        } else if let Event::IntentAbandoned { issuance, .. } = entry.event() {
            self.asked(issuance, InLog::Closed);
        } else if let Event::CrlIssued { .. } = entry.event() {
            self.crl(entry, findings);
        }
    }

    fn changes(&mut self, entry: &Entry) {
        let (serial, what) = if let Event::CertificateRevoked { serial, reason, .. } = entry.event()
        {
            let reason = REASONS.iter().find(|(_, name)| *name == reason.as_str());
            let Some((reason, _)) = reason else { return };
            (serial, What::Listed(*reason))
        } else if let Event::CertificateHeld { serial, .. } = entry.event() {
            (serial, What::Listed(Reason::CertificateHold))
        } else if let Event::CertificateReleased { serial, .. } = entry.event() {
            (serial, What::Released)
        } else if let Event::IntentAbandoned { issuance, .. } = entry.event() {
            (&issuance.serial, What::Listed(Reason::Unspecified))
        } else if let Event::StatusRecovered { .. } = entry.event() {
            return self.status(entry);
        } else {
            return;
        };
        if let Some(serial) = serial_of(serial) {
            self.changes.entry(serial).or_default().push(Told {
                sequence: entry.sequence(),
                at: entry.wall(),
                what,
            });
        }
    }

    /// The status by the last CRL before a recovery, as of the time that the CRL gives it.
    fn status(&mut self, entry: &Entry) {
        let Event::StatusRecovered {
            serial,
            revoked_at,
            reason,
        } = entry.event()
        else {
            return;
        };
        let what = match reason.as_ref().map(Text::as_str) {
            None => What::Released,
            Some("certificate-hold") => What::Listed(Reason::CertificateHold),
            Some(named) => {
                let reason = REASONS.iter().find(|(_, name)| *name == named);
                let Some((reason, _)) = reason else { return };
                What::Listed(*reason)
            }
        };
        if let Some(serial) = serial_of(serial) {
            self.changes.entry(serial).or_default().push(Told {
                sequence: entry.sequence(),
                at: revoked_at.unwrap_or(Timestamp::MIN),
                what,
            });
        }
    }

    /// A certificate whose record a recovery lost.
    fn recovered(&mut self, entry: &Entry, findings: &mut Findings) {
        let Event::CertificateRecovered {
            serial,
            subject,
            tbs_digest,
            certificate_sha256,
            ..
        } = entry.event()
        else {
            return;
        };
        if certificate_sha256.is_some() {
            self.issued(entry, serial, *tbs_digest, findings);
        }
        if let Some(found) = self.find(serial, *tbs_digest, entry.certificate.as_ref()) {
            found.record = InLog::Closed;
            let (at, time) = (found.entry, found.time);
            let detail = format!("{serial} ({subject}), record {}", entry.sequence());
            let report = &mut self.journal.report;
            report.list(at, time, "certificate.recovered", detail);
        }
    }

    /// A certificate that the signer's store did not know: it went missing there once, whoever saw to that.
    fn imported(&mut self, entry: &Entry, findings: &mut Findings) {
        let Event::CertificateImported {
            actor,
            serial,
            subject,
            not_after: _,
            tbs_digest,
            certificate_sha256: _,
        } = entry.event()
        else {
            return;
        };
        self.issued(entry, serial, *tbs_digest, findings);
        if let Some(found) = self.find(serial, *tbs_digest, entry.certificate.as_ref()) {
            let (at, time) = (found.entry, found.time);
            let sequence = entry.sequence();
            let detail = format!("{serial} ({subject}) by {actor}, record {sequence}");
            let report = &mut self.journal.report;
            report.list(at, time, "certificate.imported", detail);
        }
    }

    fn issued(&mut self, entry: &Entry, serial: &Text, tbs_digest: Hash, findings: &mut Findings) {
        let at = entry.sequence();
        let found = self.find(serial, tbs_digest, entry.certificate.as_ref());
        let wanted = "the serial number of a certificate of the journal";
        findings.hold(found.is_some(), CERTIFICATES, at, "serial", wanted, serial);
        let Some(found) = found else { return };
        found.record = InLog::Closed;
        let (wanted, got) = (found.tbs_digest, tbs_digest);
        findings.same(CERTIFICATES, at, "tbs_digest", &wanted, &got);
        let Some(certified) = entry.certificate.as_ref().filter(|_| wanted == got) else {
            return;
        };
        match found.signature {
            Some(wanted) => {
                let member = "signature (SHA-256)";
                findings.same(CERTIFICATES, at, member, &wanted, &certified.signature);
            }
            None => {
                let wanted = "a certificate whose signature is in the journal";
                findings.hold(false, CERTIFICATES, at, "serial", wanted, serial);
            }
        }
    }

    /// A certificate that may have been asked for.
    fn asked(&mut self, issuance: &Issuance, record: InLog) {
        if let Some(found) = self.find(&issuance.serial, issuance.tbs_digest, None)
            && found.tbs_digest == issuance.tbs_digest
        {
            found.record = found.record.max(record);
        }
    }

    /// The certificate of the journal with this serial number: that of the CA that issued it, or of any where that is not
    /// known, one over the same TBSCertificate first.
    fn find(
        &mut self,
        serial: &Text,
        tbs_digest: Hash,
        certified: Option<&Certified>,
    ) -> Option<&mut Certificate> {
        let serial = serial_of(serial)?;
        let key = certified.and_then(|certified| certified.ca_key);
        let journal = &mut *self.journal;
        let of = |issuer: &Hash| journal.by_serial.get(&(*issuer, serial.clone())).copied();
        let found: Vec<usize> = match &key {
            Some(key) => of(key).into_iter().collect(),
            None => self.issuers.iter().filter_map(of).collect(),
        };
        let same = |at: &&usize| {
            let certificate = journal.certificates.get(**at);
            certificate.is_some_and(|it| it.tbs_digest == tbs_digest)
        };
        let at = *found.iter().find(same).or(found.first())?;
        journal.certificates.get_mut(at)
    }

    fn crl(&mut self, entry: &Entry, findings: &mut Findings) {
        let Event::CrlIssued {
            number,
            tbs_digest,
            this_update,
            next_update,
            entries,
            ..
        } = entry.event()
        else {
            return;
        };
        let at = entry.sequence();
        let same = |crl: &Crl| {
            !crl.is_recorded && crl.number == *number && crl.this_update == *this_update
        };
        let crls = &mut self.journal.crls;
        let found = self.by_digest.get(tbs_digest).copied();
        let Some(place) = found.or_else(|| crls.iter().position(same)) else {
            let wanted = "the TBSCertList of a CRL of the journal";
            return findings.hold(false, CRLS, at, "tbs_digest", wanted, tbs_digest);
        };
        let Some(crl) = crls.get_mut(place) else {
            return;
        };
        crl.is_recorded = true;
        findings.same(CRLS, at, "tbs_digest", &crl.digest, tbs_digest);
        findings.same(CRLS, at, "number", &crl.number, number);
        findings.same(CRLS, at, "this_update", &crl.this_update, this_update);
        findings.same(CRLS, at, "next_update", &crl.next_update, next_update);
        findings.same(CRLS, at, "entries", &crl.listed, entries);
    }

    /// After the last record.
    pub(crate) fn finish(mut self, findings: &mut Findings) {
        self.certificates(findings);
        self.unrecorded(findings);
        self.listed(findings);
        self.unlisted(findings);
        let intervals = configuration::intervals(
            &self.journal.starts,
            &self.activations,
            self.versions,
            self.journal.end,
        );
        for interval in &intervals {
            configuration::judge(interval, findings);
        }
        self.journal.report.intervals = intervals;
        self.journal.report.events.sort_by_key(|noted| noted.entry);
    }

    /// Certificates that the log does not have.
    fn certificates(&mut self, findings: &mut Findings) {
        let Journal {
            report,
            certificates,
            end,
            ..
        } = &mut *self.journal;
        for certificate in certificates.iter() {
            findings.made(CERTIFICATES);
            let Certificate {
                entry,
                time,
                serial,
                ..
            } = certificate;
            let is_signed = certificate.signature.is_some();
            match certificate.record {
                InLog::Closed => {}
                // The signature is in the journal before it leaves the service.
                InLog::Open | InLog::Nothing if !is_signed => {
                    report.unsigned += 1;
                    report.list(*entry, *time, "not-signed", serial.to_string());
                }
                InLog::Open => report.in_progress += 1,
                InLog::Nothing if *time + SLACK > *end => report.in_progress += 1,
                InLog::Nothing => {
                    let member = format!("certificate {serial} (entry {entry})");
                    let kinds = ["request.issued"];
                    let finding = Finding::absent(CERTIFICATES, AT, member, &kinds, "of it");
                    findings.missing(self.whole, finding);
                }
            }
        }
    }

    /// CRLs that the log does not have: one that a later record follows explains the gap in its numbers.
    fn unrecorded(&mut self, findings: &mut Findings) {
        let Journal {
            report, crls, end, ..
        } = &mut *self.journal;
        let recorded = crls.iter().filter(|crl| crl.is_recorded);
        let last: HashMap<Hash, u64> = recorded.map(|crl| (crl.issuer, crl.number)).collect();
        for crl in crls.iter() {
            findings.made(CRLS);
            if crl.is_recorded {
                continue;
            }
            let explains = last.get(&crl.issuer).is_some_and(|it| *it > crl.number);
            let Crl {
                entry,
                time,
                number,
                ..
            } = crl;
            if explains || *time + SLACK > *end {
                report.list(
                    *entry,
                    *time,
                    "crl-not-recorded",
                    format!("number {number}"),
                );
            } else {
                let member = format!("CRL {number} (entry {entry})");
                let kinds = ["crl.issued"];
                let finding = Finding::absent(CRLS, AT, member, &kinds, "of it");
                findings.missing(self.whole, finding);
            }
        }
    }

    /// Additions and removals of a CRL agree with the records before it.
    fn listed(&self, findings: &mut Findings) {
        // Of a CRL whose record was lost, the records before it are lost too.
        let is_lost = |crl: &Crl| {
            let floor = self.floors.get(&crl.issuer);
            !crl.is_recorded && floor.is_some_and(|floor| crl.number <= *floor)
        };
        let crls = self.journal.crls.iter();
        let crls = crls.filter(|crl| !crl.is_floor && !is_lost(crl));
        for (crl, change) in crls.flat_map(|crl| crl.changes.iter().map(move |it| (crl, it))) {
            findings.made(CRLS);
            if self.is_told(crl, change) {
                continue;
            }
            let Change {
                action,
                serial,
                reason,
                date,
            } = change;
            let (number, entry) = (crl.number, crl.entry);
            let member = format!("certificate {serial} on CRL {number} (entry {entry})");
            let (kinds, wanted, got): (&[&str], _, _) = match action {
                Action::Added | Action::Changed => (
                    match reason {
                        Reason::CertificateHold => &["certificate.held"],
                        Reason::Unspecified => &["certificate.revoked", "intent.abandoned"],
                        Reason::KeyCompromise
                        | Reason::CaCompromise
                        | Reason::AffiliationChanged
                        | Reason::Superseded
                        | Reason::CessationOfOperation
                        | Reason::PrivilegeWithdrawn
                        | Reason::AaCompromise => &["certificate.revoked"],
                    },
                    "of it with this reason at this time",
                    format!("{}, {date}", reason_text(*reason)),
                ),
                Action::Removed => (
                    &["certificate.released"],
                    "of it, or that it had expired",
                    "removed".to_owned(),
                ),
            };
            let wanted = format!("{} {wanted}", a_record(kinds));
            let finding = Finding::new(CRLS, AT, member, wanted, got);
            findings.missing(self.whole, finding.lacks(kinds));
        }
    }

    fn is_told(&self, crl: &Crl, change: &Change) -> bool {
        let told = self.changes.get(&change.serial).into_iter().flatten();
        let mut told = told.filter(|told| told.at <= crl.this_update + SLACK);
        match change.action {
            // The date is that of the hold where one was before.
            Action::Added | Action::Changed => {
                let dated = |told: &Told| told.at.abs_diff(change.date) <= SLACK;
                told.clone().any(dated) && told.any(|told| told.what == What::Listed(change.reason))
            }
            Action::Removed => {
                let is_hold = change.reason == Reason::CertificateHold;
                let has_expired = self.not_after(crl, &change.serial);
                let has_expired = has_expired.is_some_and(|end| end < crl.this_update);
                has_expired || (is_hold && told.any(|told| told.what == What::Released))
            }
        }
    }

    /// Every revocation of the log is on the last CRL.
    fn unlisted(&self, findings: &mut Findings) {
        for (issuer, listed) in &self.journal.listed {
            let mut crls = self.journal.crls.iter().rev();
            let Some(crl) = crls.find(|crl| crl.issuer == *issuer) else {
                continue;
            };
            for (serial, told) in &self.changes {
                let Some(last) = told.last() else { continue };
                let is_unexpired = self.not_after(crl, serial);
                let is_unexpired = is_unexpired.is_some_and(|end| end >= crl.this_update);
                let is_due = last.what != What::Released && last.at + SLACK < crl.this_update;
                if is_unexpired && is_due && !listed.contains(serial) {
                    let (at, member) = (last.sequence, "serial");
                    let wanted = format!("a certificate that CRL {} lists", crl.number);
                    // A record that is not held may have released it.
                    let finding = Finding::new(CRLS, at, member, wanted, serial);
                    findings.missing(self.whole, finding);
                }
            }
        }
    }

    /// End of a certificate of the journal.
    fn not_after(&self, crl: &Crl, serial: &Serial) -> Option<Timestamp> {
        let journal = &self.journal;
        let at = journal.by_serial.get(&(crl.issuer, serial.clone()))?;
        journal.certificates.get(*at).map(|it| it.not_after)
    }
}

/// CRLReason of RFC 5280 section 5.3.1 as records name it; of a hold there are records of their own.
const REASONS: [(Reason, &str); 8] = [
    (Reason::Unspecified, "unspecified"),
    (Reason::KeyCompromise, "key-compromise"),
    (Reason::CaCompromise, "ca-compromise"),
    (Reason::AffiliationChanged, "affiliation-changed"),
    (Reason::Superseded, "superseded"),
    (Reason::CessationOfOperation, "cessation-of-operation"),
    (Reason::PrivilegeWithdrawn, "privilege-withdrawn"),
    (Reason::AaCompromise, "aa-compromise"),
];

fn reason_text(reason: Reason) -> &'static str {
    let named = REASONS.iter().find(|(it, _)| *it == reason);
    named.map_or("certificate-hold", |(_, name)| name)
}
