//! The ratchet of CRLs.

use std::collections::HashSet;

use assay_types::{Serial, Timestamp};

use super::{CrlRequest, Draft, LastCrl, Listed, Revoked, State, Verdict};
use crate::Refusal;
use crate::ceiling::Kind;
use crate::certificates::key;
use crate::entry::{Action, Change, Entry, Event, Fault, Reason, decode_changes, encode_changes};

/// How far the number of a CRL may rise: numbers are lost where a CRL was begun and not finished.
const MAX_NUMBER_STEP: u64 = 1_000;

impl State {
    /// Rules 6, 7, 10 and 31. The last CRL may be signed again.
    pub(crate) fn may_sign_crl(
        &self,
        request: &CrlRequest<'_>,
        now: Timestamp,
    ) -> Result<Verdict, Refusal> {
        self.check_clock(now, false)?;
        let found = self.issuer(&request.issuer);
        let last = found.and_then(|(_, issuer)| issuer.crl);
        if let Some(last) = last
            && last.number == request.number
            && last.digest == request.digest
        {
            return Ok(Verdict::Again(last.entry));
        }
        let number = request.number;
        let last_number = last.map_or(0, |last| last.number);
        if number <= last_number || number - last_number > MAX_NUMBER_STEP {
            let last = last_number;
            return Err(Refusal::CrlNumber { number, last });
        }
        if let Some(LastCrl {
            this_update: last, ..
        }) = last
            && request.this_update < last
        {
            let this_update = request.this_update;
            return Err(Refusal::CrlTime { this_update, last });
        }
        let changes = self.changes(request, now)?;
        let added = changes
            .iter()
            .filter(|change| change.action == Action::Added)
            .count();
        self.check_ceilings(Kind::Crls, 1, now)?;
        self.check_ceilings(Kind::Revocations, added as u64, now)?;
        self.draft_crl(request, false, &changes, now)
            .map(Verdict::Append)
    }

    /// The last CRL of a CA that was used before this journal existed.
    pub(crate) fn crl_floor(
        &self,
        request: &CrlRequest<'_>,
        now: Timestamp,
    ) -> Result<Draft, Refusal> {
        let change = |listed: &Listed| Change {
            action: Action::Added,
            serial: listed.serial.clone(),
            reason: listed.reason,
            date: listed.date,
        };
        let changes: Vec<_> = request.listed.iter().map(change).collect();
        self.draft_crl(request, true, &changes, now)
    }

    pub(super) fn apply_crl(
        &mut self,
        entry: &Entry,
        at: u64,
        body: Option<&[u8]>,
    ) -> Result<(), Fault> {
        let Event::Crl {
            issuer,
            number,
            this_update,
            next_update,
            digest,
            is_floor,
            changes: _,
        } = &entry.event
        else {
            return Ok(());
        };
        let changes = decode_changes(body.ok_or(Fault("the changes of a CRL are missing"))?)?;
        let place = self.place_of(issuer)?;
        let mut new = 0;
        if let Some(issuer) = self.issuers.get_mut(usize::from(place)) {
            if issuer.crl.is_some_and(|last| *number <= last.number) {
                return Err(Fault("the number of the CRL does not rise"));
            }
            for change in &changes {
                let serial = key(&change.serial);
                let before = issuer.revoked.get(&serial).copied();
                let is_listed = before.is_some_and(|revoked| revoked.is_listed);
                if is_listed == (change.action == Action::Added) {
                    return Err(Fault("a change of the CRL does not fit the last one"));
                }
                let revoked = Revoked {
                    reason: change.reason,
                    date: change.date,
                    is_listed: change.action != Action::Removed,
                };
                if !revoked.is_listed && revoked.reason == Reason::CertificateHold {
                    issuer.revoked.remove(&serial);
                } else {
                    issuer.revoked.insert(serial, revoked);
                }
                if *is_floor {
                    issuer.known.entry(serial).or_insert(Timestamp::LAST);
                } else {
                    new += u64::from(change.action == Action::Added);
                }
            }
            issuer.crl = Some(LastCrl {
                number: *number,
                this_update: *this_update,
                next_update: *next_update,
                digest: *digest,
                entry: at,
            });
        }
        if !is_floor {
            self.ceilings.add(Kind::Crls, entry.time, 1);
            self.ceilings.add(Kind::Revocations, entry.time, new);
        }
        Ok(())
    }

    /// Rule 7: unlisted → hold → released or final; a final entry stays as it is until the certificate has expired by the last
    /// CRL, which lists it once more (RFC 5280 section 3.3). A certificate that was released may be listed again.
    fn changes(&self, request: &CrlRequest<'_>, now: Timestamp) -> Result<Vec<Change>, Refusal> {
        let found = self.issuer(&request.issuer);
        let mut seen = HashSet::with_capacity(request.listed.len());
        let mut changes = Vec::new();
        for listed in request.listed {
            let serial = key(&listed.serial);
            let named = || listed.serial.clone();
            if !seen.insert(serial) {
                return Err(Refusal::ListedTwice { serial: named() });
            }
            let before = found.and_then(|(_, issuer)| issuer.revoked.get(&serial));
            let action = match before {
                Some(before) => {
                    let is_hold = before.reason == Reason::CertificateHold;
                    if before.date != listed.date || (!is_hold && before.reason != listed.reason) {
                        return Err(Refusal::RevocationAltered { serial: named() });
                    }
                    match before {
                        before if !before.is_listed => Some(Action::Added),
                        before if before.reason != listed.reason => Some(Action::Changed),
                        _ => None,
                    }
                }
                None => {
                    let end = found.and_then(|(place, issuer)| self.end_of(place, issuer, &serial));
                    if end.is_none() {
                        return Err(Refusal::ListedUnknown { serial: named() });
                    }
                    if listed.date > request.this_update {
                        return Err(Refusal::RevocationAhead { serial: named() });
                    }
                    Some(Action::Added)
                }
            };
            changes.extend(action.map(|action| Change {
                action,
                serial: named(),
                reason: listed.reason,
                date: listed.date,
            }));
        }
        let Some((place, issuer)) = found else {
            return Ok(changes);
        };
        let mut removed: Vec<_> = issuer
            .revoked
            .iter()
            .filter(|(serial, revoked)| revoked.is_listed && !seen.contains(*serial))
            .collect();
        removed.sort_unstable_by_key(|(serial, _)| **serial);
        for (serial, revoked) in removed {
            let Ok(named) = Serial::try_from(serial.as_slice()) else {
                continue;
            };
            if revoked.reason != Reason::CertificateHold {
                let end = self.end_of(place, issuer, serial);
                let last = issuer.crl.map(|last| last.this_update);
                if end >= last || end.is_none() {
                    return Err(Refusal::RevocationDropped { serial: named });
                }
                self.check_settled(now)?;
            }
            changes.push(Change {
                action: Action::Removed,
                serial: named,
                reason: revoked.reason,
                date: revoked.date,
            });
        }
        Ok(changes)
    }

    fn draft_crl(
        &self,
        request: &CrlRequest<'_>,
        is_floor: bool,
        changes: &[Change],
        now: Timestamp,
    ) -> Result<Draft, Refusal> {
        let body = encode_changes(changes);
        let event = Event::Crl {
            issuer: request.issuer,
            number: request.number,
            this_update: request.this_update,
            next_update: request.next_update,
            digest: request.digest,
            is_floor,
            changes: self.body(&body)?,
        };
        let mut draft = self.draft(now, event)?;
        draft.body = body;
        Ok(draft)
    }
}
