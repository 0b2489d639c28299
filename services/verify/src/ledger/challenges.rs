//! Challenges: issued, then used within their time, and a one-time challenge once.

use std::collections::HashMap;
use std::fmt;

use assay_audit::{Event, Text};
use assay_decision::issued_sha256;
use assay_types::{Hash, Timestamp, TimestampMillis};

use super::{GIVEN_UP, Seen, given_up};
use crate::Check;
use crate::entry::SLACK;

const CHECK: Check = Check::Challenges;
const ONE_TIME: &str = "one-time";
const STATIC: &str = "static";

#[derive(Default)]
pub(super) struct Challenges {
    known: HashMap<Text, Challenge>,
    /// What each serial, and each request that waits, uses: it may come to nothing.
    uses: HashMap<Text, Use>,
}

struct Challenge {
    kind: Text,
    profile: Text,
    subject: Option<Text>,
    expires_at: Option<Timestamp>,
    claims_sha256: Option<Hash>,
    state: State,
    /// A certificate that came to nothing freed it, which happens once.
    freed: bool,
}

#[derive(Clone, PartialEq, Eq)]
enum State {
    Open,
    Reserved(Text),
    Spent(Text),
    Revoked,
}

struct Use {
    id: Text,
    /// The request that waited for it.
    pending: Option<Text>,
}

impl Challenges {
    pub(super) fn take(&mut self, seen: &mut Seen<'_>) {
        if let Event::ChallengeIssued { .. } = seen.entry.event() {
            self.issued(seen);
        } else if let Event::StateRecovered { .. } = seen.entry.event() {
            for challenge in self.known.values_mut() {
                if matches!(challenge.state, State::Open | State::Reserved(_)) {
                    challenge.state = State::Revoked;
                }
            }
            // An intent that is given up from here on frees nothing.
            self.uses.clear();
        } else if let Event::ChallengeRevoked { challenge_id, .. } = seen.entry.event() {
            let wanted = "a challenge that is open";
            match self.known.get_mut(challenge_id) {
                None => {
                    let of = format!("of {challenge_id}");
                    seen.absent(CHECK, "challenge_id", &["challenge.issued"], of);
                }
                Some(challenge) => {
                    let open = challenge.state == State::Open;
                    if !open {
                        let got = &challenge.state;
                        seen.lacks(CHECK, "challenge_id", &GIVEN_UP, wanted, got);
                    }
                    challenge.state = State::Revoked;
                }
            }
        } else {
            self.free(seen);
            self.used(seen);
        }
    }

    fn issued(&mut self, seen: &mut Seen<'_>) {
        let Event::ChallengeIssued {
            challenge_id,
            challenge_kind,
            profile,
            subject,
            expires_at,
            claims_sha256,
            ..
        } = seen.entry.event()
        else {
            return;
        };
        let one_time = challenge_kind.as_str() == ONE_TIME;
        let whole = subject.is_some() == one_time && (expires_at.is_some() || !one_time);
        let wanted = "a subject and an expiry of a one-time challenge, no subject of a static one";
        seen.hold(whole, CHECK, "subject", wanted, "another form");
        let hashed = claims_sha256.is_some();
        seen.hold(
            hashed,
            CHECK,
            "claims_sha256",
            "a hash of the claims",
            "none",
        );
        let later = expires_at.is_none_or(|at| at > seen.entry.wall());
        seen.hold(
            later,
            CHECK,
            "expires_at",
            "a time to come",
            "one that is past",
        );
        if !one_time && let (Some(got), Ok(wanted)) = (claims_sha256, static_claims(profile)) {
            seen.same(CHECK, "claims_sha256", &wanted, got);
        }
        let challenge = Challenge {
            kind: challenge_kind.clone(),
            profile: profile.clone(),
            subject: subject.clone(),
            expires_at: *expires_at,
            claims_sha256: *claims_sha256,
            state: State::Open,
            freed: false,
        };
        let before = self.known.insert(challenge_id.clone(), challenge);
        let (wanted, got) = ("an id that is new", challenge_id);
        seen.hold(before.is_none(), CHECK, "challenge_id", wanted, got);
    }

    /// What a decision rested on.
    fn used(&mut self, seen: &mut Seen<'_>) {
        let Some(evidence) = seen.entry.evidence() else {
            return;
        };
        let Some(grant) = &evidence.grant else { return };
        let Some((kind, claims)) = grant
            .source()
            .challenge_kind()
            .map(|kind| (kind, grant.claims()))
        else {
            return;
        };
        let id = Text::from(grant.source().id());
        let expires = claims.expires.map(Timestamp::from);
        let Some(challenge) = self.known.get_mut(&id) else {
            let of = format!("of {id}");
            return seen.absent(CHECK, "source.id", &["challenge.issued"], of);
        };
        let kind = Text::from(kind.as_str());
        seen.same(CHECK, "source.kind", &challenge.kind, &kind);
        let profile = Text::from(claims.profile.as_str());
        seen.same(CHECK, "claims.profile", &challenge.profile, &profile);
        let shown = |hash: Option<Hash>| hash.map_or("none".to_owned(), |hash| hash.to_string());
        let derived = issued_sha256(grant).ok().flatten();
        seen.same(
            CHECK,
            "claims",
            &shown(challenge.claims_sha256),
            &shown(derived),
        );
        if let Some(names) = &claims.names {
            let known = challenge.subject.clone().unwrap_or_default();
            let subject = Text::from(names.subject.to_string());
            seen.same(CHECK, "claims.names.subject", &known, &subject);
        }
        // While a request waits its own expiry counts.
        let queued = matches!(seen.entry.event(), Event::RequestPending { .. });
        if evidence.pending_id.is_none() || queued {
            challenge.in_time(seen, expires, evidence.decided_ms);
        }
        let pending = evidence.pending_id.as_deref().map(Text::from);
        if let Event::IntentOpened { issuance, .. } = seen.entry.event() {
            let serial = issuance.serial.clone();
            let needs = pending.clone().map_or(State::Open, State::Reserved);
            let place = Use { id, pending };
            if challenge.spend(seen, needs, State::Spent(serial.clone())) {
                self.uses.insert(serial, place);
            }
        } else if let Event::RequestPending { pending_id, .. } = seen.entry.event() {
            let place = Use { id, pending: None };
            let kept = State::Reserved(pending_id.clone());
            if challenge.spend(seen, State::Open, kept) {
                self.uses.insert(pending_id.clone(), place);
            }
        }
    }

    /// What came to nothing gives its challenge back.
    fn free(&mut self, seen: &mut Seen<'_>) {
        let Some(over) = given_up(seen.entry.event()) else {
            return;
        };
        let Some(place) = self.uses.remove(over) else {
            return;
        };
        let Some(challenge) = self.known.get_mut(&place.id) else {
            return;
        };
        if challenge.state == State::Reserved(over.clone()) {
            challenge.state = State::Open;
        } else if challenge.state == State::Spent(over.clone()) && !challenge.freed {
            challenge.freed = true;
            challenge.state = place.pending.map_or(State::Open, State::Reserved);
        }
    }
}

impl Challenge {
    fn in_time(
        &self,
        seen: &mut Seen<'_>,
        expires: Option<Timestamp>,
        decided_ms: TimestampMillis,
    ) {
        let shown = |at: Option<Timestamp>| at.map_or("never".to_owned(), |at| at.to_string());
        if self.kind.as_str() == ONE_TIME {
            seen.same(
                CHECK,
                "claims.expires",
                &shown(self.expires_at),
                &shown(expires),
            );
        }
        if !seen.entry.is_permit() {
            return;
        }
        let decided = decided_ms.seconds();
        let in_time = self.expires_at.is_none_or(|at| decided < at + SLACK);
        let wanted = format!("before {}", shown(self.expires_at));
        seen.hold(in_time, CHECK, "decided_ms", wanted, decided_ms);
    }

    /// Whether it is one that is used up.
    fn spend(&mut self, seen: &mut Seen<'_>, needs: State, next: State) -> bool {
        if self.kind.as_str() == STATIC {
            if self.state == State::Revoked {
                let wanted = "a challenge that is not revoked";
                seen.missing(CHECK, "source.id", wanted, &self.state);
            }
            return false;
        }
        if self.state != needs {
            let kinds: &[&str] = match needs {
                State::Reserved(_) => &["request.pending"],
                State::Open | State::Spent(_) | State::Revoked => &GIVEN_UP,
            };
            seen.lacks(CHECK, "source.id", kinds, needs, &self.state);
        }
        self.state = next;
        true
    }
}

fn static_claims(profile: &Text) -> Result<Hash, assay_types::CanonicalError> {
    let kind = assay_policy::ChallengeKind::Static;
    assay_decision::claims_sha256(kind, profile.as_str(), "", &[])
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => f.write_str("a challenge that is open"),
            Self::Reserved(id) => write!(f, "one kept for request {id}"),
            Self::Spent(serial) => write!(f, "one spent on certificate {serial}"),
            Self::Revoked => f.write_str("one that is revoked"),
        }
    }
}
