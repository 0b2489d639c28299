//! What was issued: which certificates there are, which are in force, and which took the place of which.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use assay_audit::{Event, Text};
use assay_policy::{Profile, Source, Supersede};
use assay_types::{Hash, Timestamp};

use super::Seen;
use super::intents::Intent;
use crate::Check;
use crate::entry::{Certified, SLACK, names_hash, subject_hash};
use crate::report::{Finding, Findings, a_record};
use crate::versions::Versions;

/// CRLReason of RFC 5280 section 5.3.1, as records name them, and its code; a hold has an event of its own.
pub(super) const REASONS: [(&str, u8); 8] = [
    ("unspecified", 0),
    ("key-compromise", 1),
    ("ca-compromise", 2),
    ("affiliation-changed", 3),
    ("superseded", 4),
    ("cessation-of-operation", 5),
    ("privilege-withdrawn", 9),
    ("aa-compromise", 10),
];

/// The code of a reason, as CRLs have it.
pub(super) fn reason_code(name: &Text) -> Option<u8> {
    let mut reasons = REASONS.iter();
    let found = reasons.find(|(of, _)| *of == name.as_str());
    found.map(|(_, code)| *code)
}

/// The actor of revocations that a schedule makes.
const SCHEDULE: &str = "assay://signer/schedule";

/// Kinds of records of a certificate that can be renewed.
const ISSUED: [&str; 2] = ["request.issued", "certificate.recovered"];
/// Kinds of records of a certificate.
const KNOWN: [&str; 3] = [
    "request.issued",
    "certificate.imported",
    "certificate.recovered",
];

/// Renewals between a certificate and one that it descends from; as many as the signer looks through.
const MAX_LINE: usize = 100_000;

#[derive(Default)]
pub(super) struct Index {
    issued: HashMap<Text, Issued>,
    abandoned: HashSet<Text>,
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
    /// The one that it renews.
    renewal_of: Option<Text>,
    is_renewed: bool,
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
                let wanted = "the certificate of the record before";
                let kinds = ["request.issued"];
                seen.lacks(check, "successor", &kinds, wanted, successor);
            }
            (Next::Perhaps(new), Some((old, successor, revoke_at))) => {
                seen.same(check, "successor", &new, successor);
                self.supersede(old, revoke_at);
            }
            (Next::Superseded { sequence, old, .. }, None) => {
                let of = format!("of {old}, after record {sequence}");
                let finding = next_to(seen, check, "certificate.superseded", &of);
                seen.findings.made(check);
                seen.findings.bad(finding);
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

    /// The contents of the certificate with this serial number, where it is in the export.
    pub(super) fn certified(&self, serial: &Text) -> Option<&Certified> {
        self.issued.get(serial)?.certified.as_ref()
    }

    pub(super) fn take(
        &mut self,
        seen: &mut Seen<'_>,
        intent: Option<&Intent>,
        versions: &Versions,
    ) {
        self.renews(seen, versions);
        if let Event::RequestIssued {
            request,
            issuance,
            renewal_of,
            ..
        } = seen.entry.event()
        {
            let issued = Issued {
                profile: request.profile.clone().unwrap_or_default(),
                tbs_digest: issuance.tbs_digest,
                is_imported: false,
                certified: seen.entry.certificate.clone(),
                state: State::InForce,
                revoke_at: None,
                renewal_of: renewal_of.clone(),
                is_renewed: false,
            };
            self.succeeds(seen, intent, renewal_of.as_ref(), versions);
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
            renewal_of: None,
            is_renewed: false,
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
                let known = reason_code(&reason.into()).is_some();
                seen.hold(known, check, "reason", "a CRLReason", reason);
                State::Revoked
            }
        };
        if self.abandoned.contains(serial) {
            return;
        }
        let Some(issued) = self.issued.get_mut(serial) else {
            let of = format!("of {serial}");
            return seen.absent(check, "serial", &KNOWN, of);
        };
        issued.state = next;
        issued.revoke_at = None;
    }

    pub(super) fn finish(&self, whole: bool, findings: &mut Findings) {
        // The log may end between the two only where it was cut: they are one transaction.
        if let Next::Superseded { sequence, old, .. } = &self.next {
            let kinds = ["certificate.superseded"];
            let of = format!("of {old} after it");
            let finding = Finding::absent(Check::Renewals, *sequence, "serial", &kinds, of);
            findings.missing(whole, finding);
        }
        if let Next::Revoked {
            sequence, serial, ..
        } = &self.next
        {
            let kinds = ["certificate.revoked"];
            let of = format!("of {serial} after it");
            let finding = Finding::absent(Check::Revocations, *sequence, "serial", &kinds, of);
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
            renewal_of: None,
            is_renewed: false,
        };
        let before = self.issued.insert(serial.clone(), imported);
        let first = before.as_ref().is_none_or(|before| !before.is_imported);
        let wanted = "a certificate that was not imported before";
        seen.hold(first, check, "serial", wanted, serial);
        if let Some(before) = before {
            seen.same(check, "tbs_digest", &before.tbs_digest, &tbs_digest);
        }
    }

    /// A certificate that renews another names it, finds it in force also when it is issued itself, and is the only one to renew it
    /// where the profile says so.
    fn succeeds(
        &mut self,
        seen: &mut Seen<'_>,
        intent: Option<&Intent>,
        old: Option<&Text>,
        versions: &Versions,
    ) {
        let check = Check::Renewals;
        if let Some(source) = intent.and_then(|intent| intent.source.as_ref()) {
            let renewed = source.as_ref().and_then(Source::renewed);
            let permitted = renewed.map(|renewed| renewed.serial.as_str());
            let shown = |serial: Option<&str>| serial.unwrap_or("none").to_owned();
            let named = old.map(Text::as_str);
            seen.same(check, "renewal_of", &shown(permitted), &shown(named));
        }
        let Some(serial) = old else { return };
        let once = profile(seen, versions)
            .and_then(|profile| profile.renewal())
            .is_some_and(|renewal| renewal.once);
        let Some(old) = self.issued.get_mut(serial) else {
            let of = format!("of {serial}");
            return seen.absent(check, "renewal_of", &ISSUED, of);
        };
        let in_force = old.state == State::InForce;
        let got = format_args!("{serial}, {}", old.state.text());
        let wanted = "a certificate in force";
        if old.state == State::Held {
            let kinds = ["certificate.released"];
            seen.hold_or_lacks(false, check, "renewal_of", &kinds, wanted, got);
        } else {
            seen.hold(in_force, check, "renewal_of", wanted, got);
        }
        let wanted = "the only renewal of a certificate that renews once";
        let right = !(once && old.is_renewed);
        seen.hold(right, check, "renewal_of", wanted, "a second one");
        old.is_renewed = true;
    }

    /// Whether one certificate descends from another by renewal.
    fn descends(&self, serial: &Text, from: &Text) -> bool {
        let mut current = serial;
        for _ in 0..MAX_LINE {
            let Some(old) = self
                .issued
                .get(current)
                .and_then(|it| it.renewal_of.as_ref())
            else {
                return false;
            };
            if old == from {
                return true;
            }
            current = old;
        }
        false
    }

    fn supersede(&mut self, old: &Text, revoke_at: Option<Timestamp>) {
        if let Some(old) = self.issued.get_mut(old)
            && old.state != State::Revoked
        {
            // A second renewal does not put it off.
            old.revoke_at = old.revoke_at.or(revoke_at);
        }
    }

    /// A renewal is of what was issued here, in force when its permit is recorded or within the grace after its end, and has
    /// its names.
    fn renews(&self, seen: &mut Seen<'_>, versions: &Versions) {
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
            let of = format!("of {}", renewed.serial);
            return seen.absent(check, "source.serial", &ISSUED, of);
        };
        let claims = grant.claims();
        let profile = Text::from(claims.profile.as_str());
        seen.same(check, "claims.profile", &old.profile, &profile);
        if let Some(successor) = &renewed.successor {
            let known = self.issued.get(&Text::from(successor.as_str()));
            let of = known.and_then(|it| it.renewal_of.as_ref());
            if known.is_none() {
                let of = format!("of {successor}, which renewed this one,");
                seen.absent(check, "source.successor", &ISSUED, of);
            } else if of.is_none_or(|of| of.as_str() != renewed.serial) {
                let wanted = "the serial of a certificate that renewed this one";
                seen.missing(check, "source.successor", wanted, successor);
            }
        }
        if seen.entry.is_permit() && old.state != State::InForce {
            let wanted = "a certificate in force";
            let got = old.state.text();
            if old.state == State::Held {
                seen.lacks(
                    check,
                    "source.serial",
                    &["certificate.released"],
                    wanted,
                    got,
                );
            } else {
                seen.missing(check, "source.serial", wanted, got);
            }
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
            // Without the version nothing is known of its grace.
            let Some(profile) = self::profile(seen, versions) else {
                return;
            };
            let renewal = profile.renewal();
            let last = not_after + renewal.map_or(Duration::ZERO, |renewal| renewal.grace);
            let wanted = format!("until {last}, when the old one ended or its grace did");
            seen.hold(decided <= last, check, "decided_ms", wanted, decided);
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
        if let Event::CertificateRevoked {
            successor_of: Some(of),
            ..
        }
        | Event::CertificateHeld {
            successor_of: Some(of),
            ..
        } = seen.entry.event()
            && !self.descends(serial, of)
        {
            let wanted = format!("a certificate that {serial} descends from by renewal");
            seen.lacks(check, "successor_of", &["request.issued"], wanted, of);
        }
        let Some(issued) = self.issued.get_mut(serial) else {
            let of = format!("of {serial}");
            return seen.absent(check, "serial", &KNOWN, of);
        };
        if !from.contains(&issued.state) {
            let wanted = "a certificate that this can be done to";
            let got = format!("{serial}, {}", issued.state.text());
            match (issued.state, next) {
                (State::InForce, _) => {
                    seen.lacks(check, "serial", &["certificate.held"], wanted, got);
                }
                (State::Held, _) => {
                    seen.lacks(check, "serial", &["certificate.released"], wanted, got);
                }
                (State::Revoked, _) => seen.missing(check, "serial", wanted, got),
            }
        }
        issued.state = next;
        let Event::CertificateRevoked { actor, reason, .. } = seen.entry.event() else {
            return;
        };
        let known = reason_code(reason).is_some();
        seen.hold(known, check, "reason", "a CRLReason", reason);
        if actor.as_str() == SCHEDULE {
            let superseded = Text::from("superseded");
            seen.same(check, "reason", &superseded, reason);
            let due = issued
                .revoke_at
                .is_some_and(|at| at <= seen.entry.wall() + Duration::from_secs(1));
            if !due {
                let wanted = "one whose time after a renewal is over";
                let kinds = ["certificate.superseded"];
                seen.lacks(check, "serial", &kinds, wanted, serial);
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
            let of = format!("of {serial}");
            return seen.absent(check, "serial", &ISSUED, of);
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
        let of = format!("of {serial}, after record {sequence}");
        let finding = next_to(seen, check, "certificate.revoked", &of);
        seen.findings.made(check);
        seen.findings.bad(finding);
    }
}

/// Another record than the one that must stand in its place.
fn next_to(seen: &Seen<'_>, check: Check, kind: &'static str, of: &str) -> Finding {
    let wanted = format!("{} {of}", a_record(&[kind]));
    let got = seen.entry.event().kind();
    Finding::new(check, seen.entry.sequence(), "kind", wanted, got).lacks(&[kind])
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
    let renewal = profile(seen, versions).and_then(|profile| profile.renewal());
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

/// The profile of a record about a request, under the policy that the record names.
fn profile<'a>(seen: &Seen<'_>, versions: &'a Versions) -> Option<&'a Profile> {
    let name = seen.entry.request()?.profile.as_ref()?;
    let hash = seen.entry.record.draft.context.policy_hash?;
    versions.of_model(&hash)?.bundle.profile(name.as_str())
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
