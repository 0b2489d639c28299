//! Requests that wait for operators.

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use assay_audit::{Event, Text};
use assay_decision::Evidence;
use assay_policy::Approval;
use assay_types::{Hash, Timestamp};

use super::{End, Seen};
use crate::Check;
use crate::entry::{SLACK, SLACK_MS};
use crate::report::{Finding, Findings, a_record};
use crate::versions::{Version, Versions};

const CHECK: Check = Check::Approved;

#[derive(Default)]
pub(super) struct Queue {
    known: HashMap<Text, Waiting>,
    /// The request that each serial was made for: it may come to nothing.
    uses: HashMap<Text, Text>,
}

struct Waiting {
    sequence: u64,
    profile: Text,
    /// As it was queued, where that is held.
    csr_sha256: Option<Hash>,
    source_id: Option<Text>,
    /// But for the time between the decision and its record.
    expires: Option<Timestamp>,
    approvals: BTreeSet<Text>,
    state: State,
    /// A certificate that came to nothing gave its approval back, which happens once.
    freed: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Approved,
    Issued,
    Denied,
    Expired,
}

impl Queue {
    pub(super) fn take(&mut self, seen: &mut Seen<'_>, versions: &Versions) {
        if let Event::RequestPending { pending_id, .. } = seen.entry.event() {
            let waiting = Waiting::of(seen, versions);
            let before = self.known.insert(pending_id.clone(), waiting);
            let (wanted, got) = ("an id that is new", pending_id);
            seen.hold(before.is_none(), CHECK, "pending_id", wanted, got);
        } else if let Event::PendingApproved { pending_id, .. } = seen.entry.event() {
            if let Some(waiting) = self.find(seen, pending_id) {
                waiting.approve(seen, versions);
            }
        } else if let Event::PendingDenied { pending_id, .. } = seen.entry.event() {
            if let Some(waiting) = self.find(seen, pending_id) {
                let from = waiting.undecided(seen, versions);
                waiting.go_on(seen, from, State::Denied);
            }
        } else if let Event::PendingExpired { pending_id } = seen.entry.event() {
            if let Some(waiting) = self.find(seen, pending_id) {
                waiting.go_on(seen, &[State::Waiting, State::Approved], State::Expired);
                waiting.is_over(seen);
            }
        } else if let Event::StateRecovered { .. } = seen.entry.event() {
            for waiting in self.known.values_mut() {
                if matches!(waiting.state, State::Waiting | State::Approved) {
                    waiting.state = State::Expired;
                }
            }
            // An intent that is given up from here on frees nothing.
            self.uses.clear();
        } else if let Event::RequestPolled {
            pending_id,
            request,
        } = seen.entry.event()
        {
            let profile = request.profile.clone().unwrap_or_default();
            if let Some(waiting) = self.find(seen, pending_id) {
                seen.same(CHECK, "profile", &waiting.profile, &profile);
            }
        } else if let Event::IntentAbandoned { issuance, .. } = seen.entry.event() {
            let waiting = self.uses.remove(&issuance.serial);
            if let Some(waiting) = waiting.and_then(|id| self.known.get_mut(&id))
                && !waiting.freed
            {
                waiting.freed = true;
                waiting.state = State::Approved;
            }
        } else if let Event::IntentOpened { issuance, .. } = seen.entry.event()
            && let Some(evidence) = seen.entry.evidence()
            && let Some(id) = evidence.pending_id.as_deref().map(Text::from)
        {
            self.uses.insert(issuance.serial.clone(), id.clone());
            if let Some(waiting) = self.find(seen, &id) {
                waiting.issue(seen, evidence, versions);
            }
        }
    }

    /// A run ends what waited too long within a second; one that was not there for long may not have come to it.
    pub(super) fn finish(&self, end: End, whole: bool, findings: &mut Findings) {
        if end.monotonic_ms < SLACK_MS {
            return;
        }
        for (id, waiting) in &self.known {
            let over = matches!(waiting.state, State::Waiting | State::Approved);
            if over && waiting.expires.is_some_and(|at| at + SLACK < end.wall) {
                let kinds: &[&str] = match waiting.state {
                    State::Approved => &["intent.opened", "pending.expired"],
                    State::Waiting | State::Issued | State::Denied | State::Expired => {
                        &["pending.approved", "pending.denied", "pending.expired"]
                    }
                };
                let wanted = format!("{} of {id} after it", a_record(kinds));
                let got = "none until the end of the log";
                let at = waiting.sequence;
                let finding = Finding::new(CHECK, at, "pending_id", wanted, got);
                findings.missing(whole, finding.lacks(kinds));
            }
        }
    }

    fn find(&mut self, seen: &mut Seen<'_>, id: &Text) -> Option<&mut Waiting> {
        let found = self.known.get_mut(id);
        if found.is_none() {
            let of = format!("of {id}");
            seen.absent(CHECK, "pending_id", &["request.pending"], of);
        }
        found
    }
}

impl Waiting {
    fn of(seen: &Seen<'_>, versions: &Versions) -> Self {
        let evidence = seen.entry.evidence();
        let request = seen.entry.request();
        let profile = request.and_then(|request| request.profile.clone());
        let profile = profile.unwrap_or_default();
        let approval = version(seen, versions)
            .and_then(|version| version.bundle.profile(profile.as_str()))
            .and_then(|profile| profile.approval());
        Self {
            sequence: seen.entry.sequence(),
            profile,
            csr_sha256: evidence.map(Evidence::csr_digest),
            source_id: evidence.and_then(source_id),
            expires: approval.map(|approval| seen.entry.wall() + approval.expires),
            approvals: BTreeSet::new(),
            state: State::Waiting,
            freed: false,
        }
    }

    fn approve(&mut self, seen: &mut Seen<'_>, versions: &Versions) {
        let Event::PendingApproved {
            actor,
            approvals,
            required,
            ..
        } = seen.entry.event()
        else {
            return;
        };
        let from = self.undecided(seen, versions);
        let new = self.approvals.insert(actor.clone());
        let wanted = "an operator who has not approved it yet";
        seen.hold(new, CHECK, "actor", wanted, actor);
        let counted = self.approvals.len() as u64;
        if counted < *approvals {
            let kinds = ["pending.approved"];
            seen.lacks(CHECK, "approvals", &kinds, counted, approvals);
        } else if counted != *approvals {
            seen.missing(CHECK, "approvals", counted, approvals);
        }
        if let Some(needed) = self.needed(seen, versions) {
            seen.same(CHECK, "required", &needed, required);
        }
        let next = if approvals >= required {
            State::Approved
        } else {
            State::Waiting
        };
        self.go_on(seen, from, next);
        if let Some(expires) = self.expires {
            let late = seen.entry.wall() > expires + SLACK;
            let wanted = format!("before {expires}, when it expired");
            seen.hold(!late, CHECK, "wall_ms", wanted, seen.entry.wall_ms());
        }
    }

    /// Operators who must approve under the policy that the record names.
    fn needed(&self, seen: &Seen<'_>, versions: &Versions) -> Option<u64> {
        let profile = version(seen, versions)?
            .bundle
            .profile(self.profile.as_str());
        let approval = profile.and_then(|profile| profile.approval());
        Some(approval.map_or(1, Approval::operators).into())
    }

    /// The states in which operators decide: one that was approved by too few for a policy that came later is decided again.
    fn undecided(&self, seen: &Seen<'_>, versions: &Versions) -> &'static [State] {
        let needed = self.needed(seen, versions);
        if needed.is_some_and(|needed| needed > self.approvals.len() as u64) {
            &[State::Waiting, State::Approved]
        } else {
            &[State::Waiting]
        }
    }

    fn go_on(&mut self, seen: &mut Seen<'_>, from: &[State], next: State) {
        if !from.contains(&self.state) {
            let wanted = "a request that waits";
            if self.state == State::Issued {
                let kinds = ["intent.abandoned"];
                seen.lacks(CHECK, "pending_id", &kinds, wanted, self.state);
            } else {
                seen.missing(CHECK, "pending_id", wanted, self.state);
            }
        }
        self.state = next;
    }

    fn is_over(&self, seen: &mut Seen<'_>) {
        if let Some(expires) = self.expires {
            let early = seen.entry.wall() < expires - SLACK;
            let wanted = format!("after {expires}, when it expired");
            seen.hold(!early, CHECK, "wall_ms", wanted, seen.entry.wall_ms());
        }
    }

    fn issue(&mut self, seen: &mut Seen<'_>, evidence: &Evidence, versions: &Versions) {
        let approvals = self.approvals.len() as u64;
        if let Some(needed) = self.needed(seen, versions)
            && needed > approvals
        {
            let wanted = format!("a request that {needed} operators approved");
            let (member, kinds) = ("evidence.pending_id", ["pending.approved"]);
            seen.lacks(CHECK, member, &kinds, wanted, approvals);
        }
        if self.state != State::Approved {
            let wanted = "a request that was approved";
            let kinds = match self.state {
                State::Issued => ["intent.abandoned"],
                State::Waiting | State::Approved | State::Denied | State::Expired => {
                    ["pending.approved"]
                }
            };
            seen.lacks(CHECK, "evidence.pending_id", &kinds, wanted, self.state);
        }
        self.state = State::Issued;
        let profile = Text::from(evidence.profile.as_str());
        seen.same(CHECK, "evidence.profile", &self.profile, &profile);
        if let Some(csr) = &self.csr_sha256 {
            let got = &evidence.csr_digest();
            seen.same(CHECK, "evidence.csr_sha256", csr, got);
        }
        if let (Some(wanted), Some(got)) = (&self.source_id, source_id(evidence)) {
            seen.same(CHECK, "evidence.source", wanted, &got);
        }
        let Some(expires) = self.expires else { return };
        let late = seen.entry.wall() > expires + SLACK;
        let wanted = format!("before {expires}, when it expired");
        seen.hold(!late, CHECK, "wall_ms", wanted, seen.entry.wall_ms());
        // A challenge's own expiry rests while the request waits.
        let challenge = evidence
            .grant
            .as_ref()
            .filter(|grant| grant.source().challenge_kind().is_some());
        if let Some(until) = challenge.and_then(|grant| grant.claims().expires) {
            let until = until.into();
            let same = expires.abs_diff(until) <= SLACK;
            let wanted = format!("about {expires}, when the request expires");
            seen.hold(same, CHECK, "evidence.claims.expires", wanted, until);
        }
    }
}

/// The version of the policy that the record names.
fn version<'a>(seen: &Seen<'_>, versions: &'a Versions) -> Option<&'a Version> {
    let hash = seen.entry.record.draft.context.policy_hash?;
    versions.of_model(&hash)
}

/// What is the same when the request is decided once more: the challenge, or the certificate that is renewed.
fn source_id(evidence: &Evidence) -> Option<Text> {
    let grant = evidence.grant.as_ref()?;
    Some(Text::from(grant.source().id()))
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Waiting => "one that waits",
            Self::Approved => "one that was approved",
            Self::Issued => "one that was issued",
            Self::Denied => "one that was denied",
            Self::Expired => "one that expired",
        })
    }
}
