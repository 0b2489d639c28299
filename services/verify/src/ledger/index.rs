//! What was issued: which certificates there are, which are in force, and which took the place of which.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use assay_audit::{Event, Text};
use assay_policy::{Source, Supersede};
use assay_types::{Hash, Timestamp};

use super::Seen;
use super::intents::Intent;
use crate::Check;
use crate::entry::{Certified, SLACK, names_hash, subject_hash};
use crate::report::{Finding, Findings};
use crate::versions::Versions;

/// CRLReason of RFC 5280 section 5.3.1, as records name them; a hold has an event of its own.
const REASONS: [&str; 8] = [
    "unspecified",
    "key-compromise",
    "ca-compromise",
    "affiliation-changed",
    "superseded",
    "cessation-of-operation",
    "privilege-withdrawn",
    "aa-compromise",
];
/// The actor of revocations that a schedule makes.
const SCHEDULE: &str = "assay://signer/schedule";

#[derive(Default)]
pub(super) struct Index {
    issued: HashMap<Text, Issued>,
    abandoned: HashSet<Text>,
    /// Revoked or on hold, by the key of their CA.
    out_of_force: HashMap<Option<Hash>, u64>,
    next: Next,
}

struct Issued {
    /// Empty for one that was imported.
    profile: Text,
    /// SHA-256 of the TBSCertificate.
    tbs_digest: Hash,
    is_imported: bool,
    certified: Option<Certified>,
    state: State,
    /// When it is to be revoked, as it was superseded.
    revoke_at: Option<Timestamp>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    InForce,
    Held,
    Revoked,
}

/// What the next record must be.
#[derive(Default)]
enum Next {
    /// No `certificate.superseded`.
    #[default]
    Another,
    /// It may be one of this successor.
    Perhaps(Text),
    /// It is this one.
    Superseded {
        sequence: u64,
        old: Text,
        new: Text,
        /// How long the old one stays in force.
        grace: Option<Duration>,
    },
    /// The revocation of what was imported, by the same operator.
    Revoked {
        sequence: u64,
        serial: Text,
        actor: Text,
    },
}

impl Index {
    /// Whether a record supersedes what the one before says, in the same transaction.
    pub(super) fn follow(&mut self, seen: &mut Seen<'_>) {
        let check = Check::Renewals;
        let mut expected = std::mem::take(&mut self.next);
        if let Next::Revoked {
            sequence,
            serial,
            actor,
        } = &expected
        {
            revokes(seen, *sequence, serial, actor);
            expected = Next::Another;
        }
        let superseded = if let Event::CertificateSuperseded {
            serial,
            successor,
            revoke_at,
        } = seen.entry.event()
        {
            Some((serial, successor, *revoke_at))
        } else {
            None
        };
        match (expected, superseded) {
            (Next::Another | Next::Perhaps(_) | Next::Revoked { .. }, None) => {}
            (Next::Another | Next::Revoked { .. }, Some((_, successor, _))) => {
                let wanted = "a renewal issued in the record before";
                seen.missing(check, "successor", wanted, successor);
            }
            (Next::Perhaps(new), Some((old, successor, revoke_at))) => {
                seen.same(check, "successor", &new, successor);
                self.supersede(old, revoke_at);
            }
            (Next::Superseded { sequence, old, .. }, None) => {
                let wanted = format!("certificate.superseded of {old}, after record {sequence}");
                seen.hold(false, check, "kind", wanted, seen.entry.event().kind());
            }
            (
                Next::Superseded {
                    old, new, grace, ..
                },
                Some((serial, successor, revoke_at)),
            ) => {
                seen.same(check, "serial", &old, serial);
                seen.same(check, "successor", &new, successor);
                let due = grace.map(|grace| seen.entry.wall() + grace);
                let right = match (due, revoke_at) {
                    (None, None) => true,
                    (Some(due), Some(at)) => due.abs_diff(at) <= SLACK,
                    (Some(_), None) | (None, Some(_)) => false,
                };
                let shown =
                    |at: Option<Timestamp>| at.map_or("none".to_owned(), |at| at.to_string());
                seen.hold(right, check, "revoke_at", shown(due), shown(revoke_at));
                self.supersede(serial, revoke_at);
            }
        }
    }

    /// Records lie between that are not held.
    pub(super) fn skip(&mut self) {
        self.next = Next::Another;
    }

    /// Certificates that a CRL may list at most: those of the CA with this key, and those of which nobody knows.
    pub(super) fn revoked(&self, ca_key: Option<Hash>) -> u64 {
        let counts = self.out_of_force.iter();
        let of = counts.filter(|(of, _)| ca_key.is_none() || of.is_none() || **of == ca_key);
        of.map(|(_, count)| count).sum::<u64>() + self.abandoned.len() as u64
    }

    pub(super) fn take(
        &mut self,
        seen: &mut Seen<'_>,
        intent: Option<&Intent>,
        versions: &Versions,
    ) {
        self.renews(seen);
        if let Event::RequestIssued {
            request, issuance, ..
        } = seen.entry.event()
        {
            let issued = Issued {
                profile: request.profile.clone().unwrap_or_default(),
                tbs_digest: issuance.tbs_digest,
                is_imported: false,
                certified: seen.entry.certificate.clone(),
                state: State::InForce,
                revoke_at: None,
            };
            let serial = issuance.serial.clone();
            let new = !self.abandoned.contains(&serial)
                && self.issued.insert(serial.clone(), issued).is_none();
            seen.hold(new, Check::Intents, "serial", "a new serial", &serial);
            self.next = next(seen, intent, serial, versions);
        } else if let Event::IntentAbandoned { issuance, .. } = seen.entry.event() {
            let serial = issuance.serial.clone();
            let new = !self.issued.contains_key(&serial) && self.abandoned.insert(serial.clone());
            seen.hold(new, Check::Intents, "serial", "a new serial", serial);
        } else if let Event::IntentOpened { issuance, .. } = seen.entry.event() {
            let serial = &issuance.serial;
            let known = self.issued.contains_key(serial) || self.abandoned.contains(serial);
            seen.hold(!known, Check::Intents, "serial", "a new serial", serial);
        } else if let Event::CertificateImported {
            actor,
            serial,
            tbs_digest,
            ..
        } = seen.entry.event()
        {
            self.import(seen, serial, *tbs_digest);
            self.next = Next::Revoked {
                sequence: seen.entry.sequence(),
                serial: serial.clone(),
                actor: actor.clone(),
            };
        } else if let Event::CertificateRecovered {
            serial, tbs_digest, ..
        } = seen.entry.event()
        {
            self.recover(seen, serial, *tbs_digest, intent);
        } else if let Event::StatusRecovered {
            serial,
            revoked_at,
            reason,
        } = seen.entry.event()
        {
            self.status(seen, serial, *revoked_at, reason.as_ref());
        } else {
            self.changes(seen);
            self.refers(seen);
        }
    }

    /// One whose record a recovery lost, or that an intent of before it became.
    fn recover(
        &mut self,
        seen: &mut Seen<'_>,
        serial: &Text,
        tbs_digest: Hash,
        intent: Option<&Intent>,
    ) {
        let recovered = Issued {
            profile: intent.map(Intent::profile).unwrap_or_default(),
            tbs_digest,
            is_imported: intent.is_none(),
            certified: seen.entry.certificate.clone(),
            state: State::InForce,
            revoke_at: None,
        };
        let new = self.issued.insert(serial.clone(), recovered).is_none();
        let wanted = "a certificate that the log did not have";
        seen.hold(new, Check::Revocations, "serial", wanted, serial);
    }

    /// The status of a certificate by the last CRL before a recovery.
    fn status(
        &mut self,
        seen: &mut Seen<'_>,
        serial: &Text,
        revoked_at: Option<Timestamp>,
        reason: Option<&Text>,
    ) {
        let check = Check::Revocations;
        let paired = revoked_at.is_some() == reason.is_some();
        let wanted = "a time and a reason, or neither";
        seen.hold(paired, check, "reason", wanted, "one of the two");
        let next = match reason.map(Text::as_str) {
            None => State::InForce,
            Some("certificate-hold") => State::Held,
            Some(reason) => {
                let known = REASONS.contains(&reason);
                seen.hold(known, check, "reason", "a CRLReason", reason);
                State::Revoked
            }
        };
        if self.abandoned.contains(serial) {
            return;
        }
        let Some(issued) = self.issued.get_mut(serial) else {
            let wanted = "the serial of a certificate of this log";
            return seen.missing(check, "serial", wanted, serial);
        };
        let ca_key = issued.certified.as_ref().and_then(|it| it.ca_key);
        let count = self.out_of_force.entry(ca_key).or_default();
        match (issued.state, next) {
            (State::InForce, State::Held | State::Revoked) => *count += 1,
            (State::Held | State::Revoked, State::InForce) => *count = count.saturating_sub(1),
            (State::InForce, State::InForce)
            | (State::Held | State::Revoked, State::Held | State::Revoked) => {}
        }
        issued.state = next;
        issued.revoke_at = None;
    }

    pub(super) fn finish(&self, whole: bool, findings: &mut Findings) {
        // The log may end between the two only where it was cut: they are one transaction.
        if let Next::Superseded { sequence, old, .. } = &self.next {
            let wanted = format!("certificate.superseded of {old} after it");
            let check = Check::Renewals;
            let finding = Finding::new(check, *sequence, "serial", wanted, "the end");
            findings.missing(whole, finding);
        }
        if let Next::Revoked {
            sequence, serial, ..
        } = &self.next
        {
            let wanted = format!("certificate.revoked of {serial} after it");
            let check = Check::Revocations;
            let finding = Finding::new(check, *sequence, "serial", wanted, "the end");
            findings.missing(whole, finding);
        }
    }

    /// One that the log does not have, or the very one that it has, where the signer's store had lost it.
    fn import(&mut self, seen: &mut Seen<'_>, serial: &Text, tbs_digest: Hash) {
        let check = Check::Revocations;
        let imported = Issued {
            profile: Text::default(),
            tbs_digest,
            is_imported: true,
            certified: seen.entry.certificate.clone(),
            state: State::InForce,
            revoke_at: None,
        };
        let before = self.issued.insert(serial.clone(), imported);
        let first = before.as_ref().is_none_or(|before| !before.is_imported);
        let wanted = "a certificate that was not imported before";
        seen.hold(first, check, "serial", wanted, serial);
        if let Some(before) = before {
            seen.same(check, "tbs_digest", &before.tbs_digest, &tbs_digest);
        }
    }

    fn supersede(&mut self, old: &Text, revoke_at: Option<Timestamp>) {
        if let Some(old) = self.issued.get_mut(old)
            && old.state != State::Revoked
        {
            // A second renewal does not put it off.
            old.revoke_at = old.revoke_at.or(revoke_at);
        }
    }

    /// A renewal is of what was issued here, in force when its permit is recorded, and has its names.
    fn renews(&self, seen: &mut Seen<'_>) {
        let check = Check::Renewals;
        let Some(evidence) = seen.entry.evidence() else {
            return;
        };
        let Some(grant) = &evidence.grant else { return };
        let Some(renewed) = grant.source().renewed() else {
            return;
        };
        let old = self.issued.get(&Text::from(renewed.serial.as_str()));
        let Some(old) = old.filter(|old| !old.is_imported) else {
            let wanted = "the serial of a certificate that was issued in this log";
            return seen.missing(check, "source.serial", wanted, &renewed.serial);
        };
        let claims = grant.claims();
        let profile = Text::from(claims.profile.as_str());
        seen.same(check, "claims.profile", &old.profile, &profile);
        if seen.entry.is_permit() && old.state != State::InForce {
            let wanted = "a certificate in force";
            seen.missing(check, "source.serial", wanted, "one revoked or on hold");
        }
        let Some(certified) = &old.certified else {
            return;
        };
        let spki = &certified.spki_sha256;
        let got = renewed.spki_sha256;
        seen.same(check, "source.spki_sha256", spki, &got);
        if let Some(names) = &claims.names {
            let wanted = "the subject of the certificate";
            let same = subject_hash(&names.subject) == certified.subject;
            seen.hold(same, check, "claims.names.subject", wanted, &names.subject);
            let sans: Vec<String> = names.sans.iter().map(ToString::to_string).collect();
            let same = names_hash(&sans) == certified.sans;
            let wanted = "the names of the certificate";
            seen.hold(same, check, "claims.names.sans", wanted, sans.join(" "));
        }
        let Some(not_after) = claims.expires.map(Timestamp::from) else {
            return;
        };
        seen.same(check, "claims.expires", &certified.not_after, &not_after);
        if seen.entry.is_permit() {
            let decided = evidence.decided_ms.seconds();
            let wanted = format!("until {not_after}, when the old one ended");
            seen.hold(decided <= not_after, check, "decided_ms", wanted, decided);
        }
    }

    fn changes(&mut self, seen: &mut Seen<'_>) {
        let check = Check::Revocations;
        let (serial, from, next): (&Text, &[State], State) =
            if let Event::CertificateRevoked { serial, .. } = seen.entry.event() {
                (serial, &[State::InForce, State::Held], State::Revoked)
            } else if let Event::CertificateHeld { serial, .. } = seen.entry.event() {
                (serial, &[State::InForce], State::Held)
            } else if let Event::CertificateReleased { serial, .. } = seen.entry.event() {
                (serial, &[State::Held], State::InForce)
            } else {
                return;
            };
        let Some(issued) = self.issued.get_mut(serial) else {
            let wanted = "the serial of a certificate of this log";
            return seen.missing(check, "serial", wanted, serial);
        };
        if !from.contains(&issued.state) {
            let wanted = "a certificate that this can be done to";
            seen.missing(
                check,
                "serial",
                wanted,
                format_args!("{serial}, {}", issued.state.text()),
            );
        }
        let ca_key = issued.certified.as_ref().and_then(|it| it.ca_key);
        let count = self.out_of_force.entry(ca_key).or_default();
        match (issued.state, next) {
            (State::InForce, State::Held | State::Revoked) => *count += 1,
            (State::Held | State::Revoked, State::InForce) => *count = count.saturating_sub(1),
            (State::InForce, State::InForce)
            | (State::Held | State::Revoked, State::Held | State::Revoked) => {}
        }
        issued.state = next;
        let Event::CertificateRevoked { actor, reason, .. } = seen.entry.event() else {
            return;
        };
        let known = REASONS.contains(&reason.as_str());
        seen.hold(known, check, "reason", "a CRLReason", reason);
        if actor.as_str() == SCHEDULE {
            let superseded = Text::from("superseded");
            seen.same(check, "reason", &superseded, reason);
            let due = issued
                .revoke_at
                .is_some_and(|at| at <= seen.entry.wall() + Duration::from_secs(1));
            if !due {
                let wanted = "one whose time after a renewal is over";
                seen.missing(check, "serial", wanted, serial);
            }
        }
        issued.revoke_at = None;
    }

    fn refers(&self, seen: &mut Seen<'_>) {
        let check = Check::References;
        let (serial, request) = if let Event::RequestReplayed {
            serial, request, ..
        } = seen.entry.event()
        {
            (serial, Some(request))
        } else if let Event::RequestQueried {
            serial: Some(serial),
            ..
        } = seen.entry.event()
        {
            (serial, None)
        } else {
            return;
        };
        let issued = self.issued.get(serial);
        let Some(issued) = issued.filter(|issued| !issued.is_imported) else {
            let wanted = "the serial of a certificate that was issued in this log";
            return seen.missing(check, "serial", wanted, serial);
        };
        if let Some(request) = request {
            let profile = request.profile.clone().unwrap_or_default();
            seen.same(check, "profile", &issued.profile, &profile);
        } else {
            seen.hold(true, check, "serial", "", "");
        }
    }
}

/// The record after an import revokes what was imported.
fn revokes(seen: &mut Seen<'_>, sequence: u64, serial: &Text, actor: &Text) {
    let check = Check::Revocations;
    if let Event::CertificateRevoked {
        serial: revoked,
        actor: by,
        ..
    } = seen.entry.event()
    {
        seen.same(check, "serial", serial, revoked);
        seen.same(check, "actor", actor, by);
    } else {
        let wanted = format!("certificate.revoked of {serial}, after record {sequence}");
        seen.hold(false, check, "kind", wanted, seen.entry.event().kind());
    }
}

/// What must follow the record of a certificate.
fn next(seen: &Seen<'_>, intent: Option<&Intent>, new: Text, versions: &Versions) -> Next {
    let Some(intent) = intent else {
        return Next::Perhaps(new);
    };
    let Some(source) = &intent.source else {
        return Next::Perhaps(new);
    };
    let renewed = source.as_ref().and_then(Source::renewed);
    let Some(old) = renewed.map(|renewed| Text::from(renewed.serial.as_str())) else {
        return Next::Another;
    };
    let draft = &seen.entry.record.draft;
    let profile = seen.entry.request().and_then(|it| it.profile.as_ref());
    let renewal = draft
        .context
        .policy_hash
        .and_then(|hash| versions.of_model(&hash))
        .and_then(|version| version.bundle.profile(profile?.as_str()))
        .and_then(|profile| profile.renewal());
    let Some(renewal) = renewal else {
        return Next::Perhaps(new);
    };
    let grace = match renewal.supersede {
        Supersede::Keep => None,
        Supersede::RevokeAfter(grace) => Some(grace),
    };
    Next::Superseded {
        sequence: seen.entry.sequence(),
        old,
        new,
        grace,
    }
}

impl State {
    fn text(self) -> &'static str {
        match self {
            Self::InForce => "which is in force",
            Self::Held => "which is on hold",
            Self::Revoked => "which is revoked",
        }
    }
}
