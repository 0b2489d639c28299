//! CRLs: those of each CA numbered without gaps that the journal does not explain, one after the other in time, and each with
//! exactly the entries that follow from the records before it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use assay_audit::{Event, Text};
use assay_types::{Hash, RevokedCertificates, Serial, Timestamp};

use super::index::{Index, REASONS, reason_code};
use super::issuing_keys::IssuingKeys;
use super::{CrlGaps, Seen};
use crate::Check;
use crate::entry::SLACK;
use crate::report::{Finding, a_record};

/// The code of certificateHold.
const HOLD: u8 = 6;
/// For how long after an accepted jump of the clock nothing is dropped from a CRL.
const SETTLING: Duration = Duration::from_secs(24 * 3_600);
/// Entries that are hashed at most to find the certificate whose record is missing.
const MAX_TRIED: u64 = 10_000_000;
/// Kinds of records that add an entry, and the same after a recovery.
const ADDS: [&str; 3] = [
    "certificate.revoked",
    "certificate.held",
    "intent.abandoned",
];
const ADDS_IF_RECOVERED: [&str; 4] = [
    "certificate.revoked",
    "certificate.held",
    "intent.abandoned",
    "status.recovered",
];
/// Kinds of records that change entries, and the same after a recovery.
const CHANGES: [&str; 3] = [
    "certificate.revoked",
    "certificate.held",
    "certificate.released",
];
const CHANGES_IF_RECOVERED: [&str; 4] = [
    "certificate.revoked",
    "certificate.held",
    "certificate.released",
    "status.recovered",
];
/// The code of an entry without a reason.
const UNSPECIFIED: u8 = 0;

pub(super) struct Crls {
    /// The largest number of all.
    number: u64,
    gaps: CrlGaps,
    /// The entries of each CA's CRLs, by the SHA-256 of its key.
    lists: HashMap<Hash, List>,
    /// When a jump of the clock was accepted last, and the earlier one of its times.
    accepted: Option<(Timestamp, Timestamp)>,
    /// The log does not say on whose list a certificate is or until when, so that the entries of its lists are unknown.
    is_unknown: bool,
    /// A recovery came before.
    is_recovered: bool,
}

/// The entries of the CRLs of one CA.
#[derive(Default)]
struct List {
    entries: BTreeMap<Serial, Listed>,
    /// Changes that no CRL covers yet, in the order of their records.
    pending: VecDeque<Change>,
    /// Up to which record the last CRL has the changes.
    covers: u64,
    /// thisUpdate of the last CRL.
    this_update: Timestamp,
}

/// The list could be of several keys.
struct Ambiguous;

struct Listed {
    revoked_at: Timestamp,
    reason: u8,
    not_after: Timestamp,
}

/// A record that changes what a CRL lists.
struct Change {
    sequence: u64,
    at: Timestamp,
    serial: Serial,
    not_after: Timestamp,
    /// `None` for a release.
    reason: Option<u8>,
    /// Of a recovery, which has the date too.
    is_recovered: bool,
}

impl List {
    /// Makes the changes up to a record.
    fn advance(&mut self, covers: u64) {
        while let Some(change) = self.pending.pop_front_if(|it| it.sequence <= covers) {
            let Change {
                at,
                serial,
                not_after,
                reason,
                is_recovered,
                ..
            } = change;
            match reason {
                None => drop(self.entries.remove(&serial)),
                Some(reason) => {
                    let new = Listed {
                        revoked_at: at,
                        reason,
                        not_after,
                    };
                    if is_recovered {
                        self.entries.insert(serial, new);
                    } else {
                        // A certificate on hold that is revoked keeps the date of the hold.
                        self.entries.entry(serial).or_insert(new).reason = reason;
                    }
                }
            }
        }
        self.covers = covers;
    }

    /// Number and digest of the entries of a CRL that keeps the certificates which ended at `since` or later; one of them is left
    /// out, or has another reason, as `but` says.
    fn entries(&self, since: Timestamp, but: Option<(&Serial, Option<u8>)>) -> (u64, Hash) {
        let mut list = RevokedCertificates::default();
        let mut count = 0;
        for (serial, listed) in &self.entries {
            if listed.not_after < since {
                continue;
            }
            let reason = match but {
                Some((other, reason)) if other == serial => reason,
                Some(_) | None => Some(listed.reason),
            };
            if let Some(reason) = reason {
                list.push(serial, listed.revoked_at, reason);
                count += 1;
            }
        }
        (count, list.digest())
    }

    /// Certificates on hold, as many as may be tried one by one in a list of `count` entries.
    fn held(&self, count: u64, tries: u64) -> impl Iterator<Item = &Serial> {
        let most = MAX_TRIED / count.saturating_mul(tries).max(1);
        let held = self.entries.iter().filter(|(_, it)| it.reason == HOLD);
        let held = held.map(|(serial, _)| serial);
        held.take(usize::try_from(most).unwrap_or(usize::MAX))
    }

    /// The one certificate on hold that the CRL lists no longer.
    fn without_one(
        &self,
        since: Timestamp,
        count: u64,
        wanted: u64,
        digest: &Hash,
    ) -> Option<&Serial> {
        if count != wanted.saturating_add(1) {
            return None;
        }
        let mut held = self.held(count, 1);
        held.find(|serial| self.entries(since, Some((serial, None))) == (wanted, *digest))
    }

    /// The one certificate on hold that the CRL lists as revoked, and the reason.
    fn with_another_reason(
        &self,
        since: Timestamp,
        count: u64,
        digest: &Hash,
    ) -> Option<(&Serial, &'static str)> {
        let tries = REASONS.len() as u64;
        self.held(count, tries).find_map(|serial| {
            let mut reasons = REASONS.iter();
            let found = reasons.find(|(_, code)| {
                self.entries(since, Some((serial, Some(*code)))) == (count, *digest)
            });
            found.map(|(reason, _)| (serial, *reason))
        })
    }
}

impl Crls {
    pub(super) fn new(gaps: CrlGaps) -> Self {
        Self {
            number: 0,
            gaps,
            lists: HashMap::new(),
            accepted: None,
            is_unknown: false,
            is_recovered: false,
        }
    }

    /// A record that changes what a CRL lists.
    fn change(&mut self, seen: &Seen<'_>, index: &Index, issuing_keys: &IssuingKeys<'_>) {
        let of = |serial| {
            let certified = index.certified(serial);
            certified.map(|it| (it.ca_key, it.not_after))
        };
        let mut recovered_at = None;
        let event = seen.entry.event();
        let (serial, of, reason): (&Text, _, _) = if let Event::StatusRecovered {
            serial,
            revoked_at,
            reason,
        } = event
        {
            recovered_at = Some(revoked_at.unwrap_or_default());
            let code = |reason: &Text| match reason.as_str() {
                "certificate-hold" => Some(HOLD),
                _ => reason_code(reason),
            };
            let reason = reason.as_ref().map(code);
            (serial, of(serial), reason)
        } else if let Event::CertificateRevoked { serial, reason, .. } = event {
            (serial, of(serial), Some(reason_code(reason)))
        } else if let Event::CertificateHeld { serial, .. } = event {
            (serial, of(serial), Some(Some(HOLD)))
        } else if let Event::CertificateReleased { serial, .. } = event {
            (serial, of(serial), None)
        } else if let Event::IntentAbandoned {
            issuance,
            listed_until: Some(end),
            ..
        } = event
        {
            let key = issuing_keys.key_of(&issuance.key_id);
            (&issuance.serial, Some((key, *end)), Some(Some(UNSPECIFIED)))
        } else {
            return;
        };
        let (Some((Some(key), not_after)), Ok(serial)) = (of, serial.as_str().parse()) else {
            self.is_unknown = true;
            return;
        };
        let change = Change {
            sequence: seen.entry.sequence(),
            at: recovered_at.unwrap_or_else(|| seen.entry.wall()),
            serial,
            not_after,
            reason: reason.map(Option::unwrap_or_default),
            is_recovered: recovered_at.is_some(),
        };
        self.lists.entry(key).or_default().pending.push_back(change);
    }

    /// Which list a CRL is of whose key no issued certificate tells: the one that is of no other key, which an import began, or
    /// an empty one.
    fn unclaimed(&self, issuing_keys: &IssuingKeys<'_>) -> Result<Option<Hash>, Ambiguous> {
        let keys = self.lists.keys();
        let mut unclaimed = keys.filter(|key| !issuing_keys.is_known(key));
        let first = unclaimed.next().copied();
        match unclaimed.next() {
            None => Ok(first),
            Some(_) => Err(Ambiguous),
        }
    }

    /// Compares number, digest and age of the entries of the CA's next CRL with what the records before say.
    fn listed(&mut self, seen: &mut Seen<'_>, key: Option<Hash>) {
        let check = Check::Crls;
        let Event::CrlIssued {
            this_update,
            entries,
            entries_sha256,
            covers,
            ..
        } = seen.entry.event()
        else {
            return;
        };
        let mut empty = List::default();
        let list = match key {
            Some(key) => self.lists.entry(key).or_default(),
            None => &mut empty,
        };
        let range = list.covers..seen.entry.sequence();
        if !range.contains(covers) {
            let wanted = format!("from {} to {}", range.start, range.end.saturating_sub(1));
            return seen.hold(false, check, "covers", wanted, covers);
        }
        let begin = list.covers;
        list.advance(*covers);
        // A certificate that expired before the CRL before this one has been listed once more already.
        let mut since = std::mem::replace(&mut list.this_update, *this_update);
        if let Some((at, earliest)) = self.accepted
            && *this_update < at + SETTLING
        {
            since = since.min(earliest);
        }
        if let Some(first) = list.pending.front()
            && first.at + SLACK < *this_update
        {
            let wanted = format!("{} or more, whose change is older", first.sequence);
            seen.missing(check, "covers", wanted, covers);
        }
        if self.is_unknown {
            return;
        }
        let (count, digest) = list.entries(since, None);
        let between = format!("between records {begin} and {}", covers.saturating_add(1));
        if count != *entries {
            let difference = count.abs_diff(*entries);
            let kinds: &[&str] = match (count < *entries, self.is_recovered) {
                (true, false) => &ADDS,
                (true, true) => &ADDS_IF_RECOVERED,
                (false, _) => &["certificate.released"],
            };
            let released = list.without_one(since, count, *entries, entries_sha256);
            let of = match released {
                Some(serial) => format!(" of {serial}"),
                None => String::new(),
            };
            let wanted = format!(
                "{count}, or {}{of} {between} for each of {difference}",
                a_record(kinds)
            );
            let at = seen.entry.sequence();
            let finding = Finding::new(check, at, "entries", wanted, entries).lacks(kinds);
            return seen.findings.missing(seen.whole, finding);
        }
        if digest != *entries_sha256 {
            let revoked = list.with_another_reason(since, count, entries_sha256);
            let of = match revoked {
                Some((serial, reason)) => format!(" of {serial} for {reason}"),
                None => String::new(),
            };
            let kinds: &[&str] = match (revoked.is_some(), self.is_recovered) {
                (true, _) => &["certificate.revoked"],
                (false, false) => &CHANGES,
                (false, true) => &CHANGES_IF_RECOVERED,
            };
            let wanted = format!("{digest}, or {}{of} {between}", a_record(kinds));
            let (at, member) = (seen.entry.sequence(), "entries_sha256");
            let finding = Finding::new(check, at, member, wanted, entries_sha256).lacks(kinds);
            seen.findings.missing(seen.whole, finding);
        }
    }

    pub(super) fn take(
        &mut self,
        seen: &mut Seen<'_>,
        index: &Index,
        issuing_keys: &mut IssuingKeys<'_>,
    ) {
        let check = Check::Crls;
        if let Event::RequestQueried {
            crl_number: Some(number),
            ..
        } = seen.entry.event()
        {
            // Others may have been signed since it was read.
            if !(1..=self.number).contains(number) {
                let wanted = format!("{} at most, the latest CRL", self.number);
                let (check, kinds) = (Check::References, ["crl.issued"]);
                seen.lacks(check, "crl_number", &kinds, wanted, number);
            }
            return;
        }
        if let Event::StateRecovered {
            crls,
            restored_size,
            ..
        } = seen.entry.event()
        {
            self.is_recovered = true;
            for crl in crls {
                self.number = self.number.max(crl.number);
                issuing_keys.recovered(&crl.key_id, crl.issuer, crl.number);
                self.lists.entry(crl.issuer).or_default().this_update = crl.this_update;
            }
            // The changes of the lost records are known only as far as the journal's last CRL has it.
            for list in self.lists.values_mut() {
                list.pending
                    .retain(|change| change.sequence <= *restored_size);
            }
            return;
        }
        self.change(seen, index, issuing_keys);
        if let Event::ClockAccepted { from, to, .. } = seen.entry.event() {
            issuing_keys.forget_times();
            self.accepted = Some((seen.entry.wall(), *from.min(to)));
        }
        let Event::CrlIssued {
            number,
            this_update,
            next_update,
            key_id,
            ..
        } = seen.entry.event()
        else {
            return;
        };
        self.number = self.number.max(*number);
        let Some(line) = issuing_keys.of_crl(seen, key_id, *number) else {
            return;
        };
        let next = line.crl_number.saturating_add(1);
        let at = seen.entry.sequence();
        match self.gaps {
            CrlGaps::ExplainedAfter(before) if *number > next && at > before => {}
            CrlGaps::Open | CrlGaps::ExplainedAfter(_) if *number > next => {
                let wanted = format!("{next}, or a journal that explains the gap");
                let finding = Finding::new(check, at, "number", wanted, number);
                seen.findings.open(finding);
            }
            CrlGaps::Bad | CrlGaps::Open | CrlGaps::ExplainedAfter(_) => {
                if *number > next {
                    seen.lacks(check, "number", &["crl.issued"], next, number);
                } else if *number != next {
                    seen.missing(check, "number", next, number);
                }
            }
        }
        seen.hold(
            *this_update >= line.this_update,
            check,
            "this_update",
            format_args!("{} or later", line.this_update),
            this_update,
        );
        let now = seen.entry.wall();
        seen.hold(
            (now - SLACK..=now).contains(this_update),
            check,
            "this_update",
            format_args!("about {now}, the time of the record"),
            this_update,
        );
        let later = next_update > this_update;
        seen.hold(
            later,
            check,
            "next_update",
            "after this_update",
            next_update,
        );
        line.this_update = *this_update;
        line.crl_number = *number;
        let key = match line.key_sha256 {
            Some(key) => Ok(Some(key)),
            None => self.unclaimed(issuing_keys),
        };
        if let Ok(key) = key {
            self.listed(seen, key);
        }
    }
}
