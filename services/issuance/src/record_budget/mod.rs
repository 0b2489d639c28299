//! Which requests get a record of their own, and which are only counted.
//!
//! Each record is durable and is never removed, so that a stranger who could cause any number of them would fill the disk and use up
//! the leaf hashes that the HSM service signs for. A certificate, a waiting request and an intent are always recorded
//! singly; all else has a budget for its class, and past it is counted in memory. At most one count is written each second
//! over time. A count that was not written is lost in a crash.

mod alarm;
mod bucket;
mod counts;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use assay_audit::{MAX_EVIDENCE, RequestClass};
use assay_types::{Hash, TimestampMillis};

use alarm::Alarms;
use bucket::{Bucket, Limit};
pub(crate) use counts::Counted;
use counts::{Counts, Key};

/// Single records of a class: at once, per minute over time, and at a start that follows the last record at once.
const fn limit(class: RequestClass) -> Limit {
    let (burst, per_minute) = match class {
        RequestClass::Unverified | RequestClass::Unauthorised => (50, 6),
        RequestClass::ChallengeFailed => (500, 30),
        RequestClass::Refused => (10_000, 60),
        RequestClass::Deferred => (100, 6),
        RequestClass::Replayed | RequestClass::Polled | RequestClass::Queried => (200, 12),
    };
    Limit {
        burst,
        per_minute,
        at_start: AT_START,
    }
}

/// Single records of each class that a start may make in any case, so that the first ones are seen.
const AT_START: u64 = 2;

/// Failed challenges of one profile, within those of all profiles: one that is attacked leaves room for others.
const CHALLENGES_OF_PROFILE: Limit = Limit {
    burst: 100,
    per_minute: 20,
    at_start: AT_START,
};

/// Refusals of one challenge, certificate or waiting request: more are repetitions.
const REFUSALS_OF_SOURCE: Limit = Limit {
    burst: 10,
    per_minute: 1,
    at_start: AT_START,
};

/// Sources whose refusals are distinguished. Past it those that were refused lately are forgotten; the budget of the class holds
/// all the same.
const MAX_SOURCES: usize = 4_096;

/// Records of counts: one each second, for as long as there are any.
const COUNT_RECORDS: Limit = Limit {
    burst: 60,
    per_minute: 60,
    at_start: AT_START,
};

/// Bytes of evidence of refusals. Past it a refusal has its record alone.
const EVIDENCE_BYTES: Limit = Limit {
    burst: 4 << 20,
    per_minute: 240 << 10,
    at_start: MAX_EVIDENCE as u64,
};

/// The most records of a day beside those of certificates, waiting requests and intents that strangers or devices can cause.
pub(crate) const MAX_RECORDS_PER_DAY: u64 = {
    let mut records = COUNT_RECORDS.per_day();
    let mut rest: &[RequestClass] = &RequestClass::ALL;
    while let [class, others @ ..] = rest {
        records += limit(*class).per_day();
        rest = others;
    }
    records
};

/// Leaf hashes that an HSM service takes on a day by default (`[limits]` of hsm.toml).
const LEAVES_PER_DAY: u64 = 1_000_000;

// A flood must leave most of the ceiling to certificates: past it no checkpoint is signed.
const _: () = assert!(MAX_RECORDS_PER_DAY * 3 <= LEAVES_PER_DAY);

/// A request that may be counted instead of recorded.
pub(crate) struct Subject<'a> {
    pub(crate) class: RequestClass,
    pub(crate) peer: &'a str,
    /// A profile of the policy; never a name that a request invents.
    pub(crate) profile: Option<&'a str>,
    pub(crate) policy_hash: Option<Hash>,
    /// The challenge, certificate or waiting request that authorises its sender to ask.
    pub(crate) source: Option<&'a str>,
    /// SHA-256 of the key that signed it, once the signature was verified.
    pub(crate) signer_key: Option<Hash>,
}

/// The time by both clocks: budgets go by the one that nobody sets.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    pub(crate) wall: TimestampMillis,
    pub(crate) monotonic_ms: u64,
}

pub(crate) struct RecordBudgets(Mutex<State>);

struct State {
    /// Since when there was no record, on the monotonic clock of this run, which may begin later: then it is below 0.
    quiet_since_ms: i64,
    classes: BTreeMap<RequestClass, Bucket>,
    challenges: BTreeMap<String, Bucket>,
    sources: HashMap<String, Bucket>,
    evidence: Bucket,
    count_records: Bucket,
    counts: Counts,
    alarms: Alarms,
}

impl RecordBudgets {
    /// `quiet` has passed since the newest record. The budgets are as full as that time makes them, so that a restart renews
    /// none.
    pub(crate) fn new(quiet: Duration, now: Now) -> Self {
        let quiet_ms = u64::try_from(quiet.as_millis()).unwrap_or(u64::MAX);
        let bucket = |limit| Bucket::after(limit, quiet_ms, now.monotonic_ms);
        let of_class = |class| (class, bucket(limit(class)));
        Self(Mutex::new(State {
            quiet_since_ms: now
                .monotonic_ms
                .cast_signed()
                .saturating_sub_unsigned(quiet_ms),
            classes: RequestClass::ALL.into_iter().map(of_class).collect(),
            challenges: BTreeMap::new(),
            sources: HashMap::new(),
            evidence: bucket(EVIDENCE_BYTES),
            count_records: bucket(COUNT_RECORDS),
            counts: Counts::default(),
            alarms: Alarms::default(),
        }))
    }

    /// Whether the request gets a record of its own; else it is counted.
    pub(crate) fn single(&self, subject: &Subject<'_>, now: Now) -> bool {
        let mut state = self.state();
        if subject.class == RequestClass::ChallengeFailed
            && let Some(profile) = subject.profile
        {
            let wall = now.wall.seconds();
            state.alarms.failed(profile, wall, now.monotonic_ms);
        }
        let single = state.may_record(subject, now.monotonic_ms);
        if !single {
            let key = Key {
                class: subject.class,
                peer: subject.peer.to_owned(),
                profile: subject.profile.map(str::to_owned),
                policy_hash: subject.policy_hash,
            };
            state.counts.add(key, subject.signer_key, now.wall);
        }
        single
    }

    /// Whether this much evidence of a refusal may be kept.
    pub(crate) fn may_keep(&self, bytes: usize, now: Now) -> bool {
        self.state().evidence.take(bytes as u64, now.monotonic_ms)
    }

    /// The counts that are to be written now.
    pub(crate) fn due(&self, now: Now) -> Vec<Counted> {
        let mut state = self.state();
        let mut due = Vec::new();
        while !state.counts.is_empty() && state.count_records.take(1, now.monotonic_ms) {
            due.extend(state.counts.take_next());
        }
        due
    }

    /// Every count, at the end of the run.
    pub(crate) fn last(&self) -> Vec<Counted> {
        let mut state = self.state();
        std::iter::from_fn(|| state.counts.take_next()).collect()
    }

    /// Keeps what could not be written.
    pub(crate) fn put_back(&self, counted: Vec<Counted>) {
        let mut state = self.state();
        for counted in counted {
            state.counts.put_back(counted);
        }
    }

    /// The warning about profiles under which too many challenges fail.
    pub(crate) fn alarm(&self, now: Now) -> Option<String> {
        let mut state = self.state();
        // A profile whose budget is full again, or that is gone, needs no entry.
        let now_ms = now.monotonic_ms;
        state.challenges.retain(|_, bucket| !bucket.is_full(now_ms));
        state.alarms.warning(now_ms)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn may_record(&mut self, subject: &Subject<'_>, now_ms: u64) -> bool {
        let own = match (subject.class, subject.profile, subject.source) {
            (RequestClass::ChallengeFailed, Some(profile), _) => {
                let quiet_ms = now_ms.cast_signed().saturating_sub(self.quiet_since_ms);
                let quiet_ms = quiet_ms.unsigned_abs();
                let new = || Bucket::after(CHALLENGES_OF_PROFILE, quiet_ms, now_ms);
                let own = self.challenges.entry(profile.to_owned());
                own.or_insert_with(new).take(1, now_ms)
            }
            (RequestClass::Refused, _, Some(source)) => self.source(source, now_ms).take(1, now_ms),
            _ => true,
        };
        let class = self.classes.get_mut(&subject.class);
        own && class.is_some_and(|class| class.take(1, now_ms))
    }

    fn source(&mut self, source: &str, now_ms: u64) -> &mut Bucket {
        if self.sources.len() >= MAX_SOURCES && !self.sources.contains_key(source) {
            self.sources.retain(|_, bucket| !bucket.is_full(now_ms));
            // With more than half left, this walk would soon be due again.
            if self.sources.len() > MAX_SOURCES / 2 {
                self.sources.clear();
            }
        }
        let new = || Bucket::full(REFUSALS_OF_SOURCE, now_ms);
        self.sources.entry(source.to_owned()).or_insert_with(new)
    }
}

impl Now {
    #[cfg(test)]
    fn at(monotonic_ms: u64) -> Self {
        Self {
            wall: TimestampMillis::from_millis(monotonic_ms.cast_signed()),
            monotonic_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: u64 = 86_400_000;

    fn subject(class: RequestClass) -> Subject<'static> {
        Subject {
            class,
            peer: "assay://frontend/a",
            profile: Some("devices"),
            policy_hash: None,
            source: None,
            signer_key: None,
        }
    }

    fn long_quiet() -> RecordBudgets {
        RecordBudgets::new(Duration::from_secs(86_400), Now::at(0))
    }

    fn singles(budgets: &RecordBudgets, subject: &Subject<'_>, now: Now) -> usize {
        (0..20_000).filter(|_| budgets.single(subject, now)).count()
    }

    #[test]
    fn each_class_has_a_budget_of_its_own() {
        let budgets = long_quiet();
        for class in RequestClass::ALL {
            let wanted = match class {
                RequestClass::Unverified | RequestClass::Unauthorised => 50,
                RequestClass::ChallengeFailed | RequestClass::Deferred => 100,
                RequestClass::Refused => 10_000,
                RequestClass::Replayed | RequestClass::Polled | RequestClass::Queried => 200,
            };
            assert_eq!(singles(&budgets, &subject(class), Now::at(0)), wanted);
        }
    }

    #[test]
    fn an_attacked_profile_or_device_leaves_room_for_others() {
        let budgets = long_quiet();
        for profile in ["a", "b", "c", "d", "e"] {
            let failed = Subject {
                profile: Some(profile),
                ..subject(RequestClass::ChallengeFailed)
            };
            assert_eq!(singles(&budgets, &failed, Now::at(0)), 100);
        }
        for source in ["certificate 1", "certificate 2"] {
            let refused = Subject {
                source: Some(source),
                ..subject(RequestClass::Refused)
            };
            assert_eq!(singles(&budgets, &refused, Now::at(0)), 10);
        }
    }

    #[test]
    fn the_sources_are_bounded() {
        let budgets = long_quiet();
        for number in 0..20_000_u32 {
            let source = number.to_string();
            let refused = Subject {
                source: Some(&source),
                ..subject(RequestClass::Refused)
            };
            budgets.single(&refused, Now::at(number.into()));
        }
        assert!(budgets.state().sources.len() <= MAX_SOURCES);
    }

    #[test]
    fn a_day_of_floods_makes_no_more_records_than_the_budgets_add_up_to() {
        const STEP_MS: u64 = 10_000;
        let budgets = long_quiet();
        let (mut sent, mut singles, mut counted, mut counts) = (0, 0, 0, 0);
        for step in 0..DAY_MS / STEP_MS {
            let now = Now::at(step * STEP_MS);
            // More at first, as the budgets are full.
            let each = if step == 0 { 12_000 } else { 15 };
            for number in 0..each {
                let source = format!("{step} {number}");
                for class in RequestClass::ALL {
                    let profile = ["a", "b", "c", "d", "e", "f"].get(number % 6).copied();
                    let subject = Subject {
                        profile,
                        source: Some(&source),
                        ..subject(class)
                    };
                    sent += 1;
                    singles += u64::from(budgets.single(&subject, now));
                }
            }
            for due in budgets.due(now) {
                counts += 1;
                counted += requests(&due);
            }
        }
        let records = singles + counts;
        assert!(records <= MAX_RECORDS_PER_DAY, "{records}");
        // The flood was one that uses them up.
        assert!(records >= MAX_RECORDS_PER_DAY / 2, "{records}");
        counted += budgets.last().iter().map(requests).sum::<u64>();
        // A request that is in no count has a record.
        assert_eq!(singles + counted, sent);
    }

    fn requests(counted: &Counted) -> u64 {
        let (_, event) = counted.event();
        let assay_audit::Event::RequestsCounted { requests, .. } = event else {
            panic!("{event:?}");
        };
        requests
    }

    #[test]
    fn a_loop_of_restarts_renews_no_budget() {
        let replayed = subject(RequestClass::Replayed);
        for quiet in [0, 5] {
            let budgets = RecordBudgets::new(Duration::from_secs(quiet), Now::at(7));
            assert_eq!(singles(&budgets, &replayed, Now::at(7)), 2);
            let failed = subject(RequestClass::ChallengeFailed);
            assert_eq!(singles(&budgets, &failed, Now::at(7)), 2);
        }
        let budgets = RecordBudgets::new(Duration::from_secs(60), Now::at(7));
        assert_eq!(singles(&budgets, &replayed, Now::at(7)), 12);
    }

    #[test]
    fn evidence_is_bounded_by_its_length() {
        let budgets = long_quiet();
        let kept = (0..1_000)
            .filter(|_| budgets.may_keep(MAX_EVIDENCE, Now::at(0)))
            .count();
        assert_eq!(kept, 64);
        assert!(!budgets.may_keep(MAX_EVIDENCE, Now::at(15_999)));
        assert!(budgets.may_keep(MAX_EVIDENCE, Now::at(16_000)));
    }
}
