//! Requests that have no record of their own, until their count is written.

use std::collections::{BTreeMap, BTreeSet};

use assay_audit::{Event, MAX_SIGNER_KEYS, RequestClass};
use assay_types::{Hash, TimestampMillis};

/// Counts that are kept apart. Past it those of further profiles share one count for each class and frontend. With the
/// keys of each it bounds the memory: 512 times 256 hashes are some 8 MB.
const MAX_COUNTS: usize = 512;

/// Requests that are counted together. Names of profiles come from the policy, frontends from the allow-list: strangers add none.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) class: RequestClass,
    pub(super) peer: String,
    pub(super) profile: Option<String>,
    pub(super) policy_hash: Option<Hash>,
}

#[derive(Debug, Default)]
pub(super) struct Counts(BTreeMap<Key, Count>);

#[derive(Debug, Clone)]
struct Count {
    from: TimestampMillis,
    to: TimestampMillis,
    requests: u64,
    signer_keys: BTreeSet<Hash>,
    more_signer_keys: bool,
}

/// A count that is to be written. One that could not be is put back.
#[derive(Debug)]
pub(crate) struct Counted {
    key: Key,
    count: Count,
}

impl Counts {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn add(&mut self, mut key: Key, signer_key: Option<Hash>, now: TimestampMillis) {
        if self.0.len() >= MAX_COUNTS && !self.0.contains_key(&key) {
            key.profile = None;
        }
        let count = self.0.entry(key).or_insert_with(|| Count::new(now));
        count.to = count.to.max(now);
        count.requests += 1;
        if let Some(signer_key) = signer_key {
            count.add_key(signer_key);
        }
    }

    /// The next one to be written: failed challenges first, as each of their counts is to be of a second, then the oldest.
    pub(super) fn take_next(&mut self) -> Option<Counted> {
        let rank = |(key, count): &(&Key, &Count)| {
            (key.class != RequestClass::ChallengeFailed, count.from)
        };
        let key = self.0.iter().min_by_key(rank)?.0.clone();
        let count = self.0.remove(&key)?;
        Some(Counted { key, count })
    }

    pub(super) fn put_back(&mut self, Counted { key, count }: Counted) {
        let Some(newer) = self.0.get_mut(&key) else {
            self.0.insert(key, count);
            return;
        };
        newer.from = newer.from.min(count.from);
        newer.to = newer.to.max(count.to);
        newer.requests += count.requests;
        newer.more_signer_keys |= count.more_signer_keys;
        for signer_key in count.signer_keys {
            newer.add_key(signer_key);
        }
    }
}

impl Count {
    fn new(now: TimestampMillis) -> Self {
        Self {
            from: now,
            to: now,
            requests: 0,
            signer_keys: BTreeSet::new(),
            more_signer_keys: false,
        }
    }

    fn add_key(&mut self, signer_key: Hash) {
        if (self.signer_keys.len() as u64) < MAX_SIGNER_KEYS {
            self.signer_keys.insert(signer_key);
        } else {
            self.more_signer_keys |= !self.signer_keys.contains(&signer_key);
        }
    }
}

impl Counted {
    /// The policy that was in force, and what is recorded.
    pub(crate) fn event(&self) -> (Option<Hash>, Event) {
        let Self { key, count } = self;
        let event = Event::RequestsCounted {
            peer: key.peer.as_str().into(),
            class: key.class,
            profile: key.profile.as_deref().map(Into::into),
            from_ms: count.from,
            to_ms: count.to,
            requests: count.requests,
            signer_keys: count.signer_keys.len() as u64,
            more_signer_keys: count.more_signer_keys,
        };
        (key.policy_hash, event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: TimestampMillis = TimestampMillis::from_millis(7);

    fn key(class: RequestClass, profile: &str) -> Key {
        Key {
            class,
            peer: "assay://frontend/a".to_owned(),
            profile: Some(profile.to_owned()),
            policy_hash: None,
        }
    }

    fn hash(number: u32) -> Hash {
        Hash::of(&number.to_be_bytes())
    }

    #[test]
    fn keys_are_told_apart_up_to_the_bound_and_no_request_is_lost() {
        let mut counts = Counts::default();
        for number in 0..1_000 {
            let of = key(RequestClass::ChallengeFailed, "devices");
            counts.add(of, Some(hash(number % 300)), NOW);
        }
        let counted = counts.take_next().unwrap();
        assert_eq!(counted.count.signer_keys.len() as u64, MAX_SIGNER_KEYS);
        counts.put_back(counted);
        let (_, event) = counts.take_next().unwrap().event();
        assert!(matches!(
            event,
            Event::RequestsCounted {
                requests: 1_000,
                signer_keys: MAX_SIGNER_KEYS,
                more_signer_keys: true,
                ..
            }
        ));
        assert!(counts.take_next().is_none());
    }

    #[test]
    fn the_counts_are_bounded_and_those_past_the_bound_share_one() {
        let mut counts = Counts::default();
        for number in 0..2_000 {
            counts.add(key(RequestClass::Polled, &number.to_string()), None, NOW);
        }
        assert_eq!(counts.0.len(), MAX_COUNTS + 1);
        let all: u64 = counts.0.values().map(|count| count.requests).sum();
        assert_eq!(all, 2_000);
    }

    #[test]
    fn failed_challenges_are_written_before_older_counts() {
        let mut counts = Counts::default();
        counts.add(key(RequestClass::Unverified, "devices"), None, NOW);
        let later = TimestampMillis::from_millis(8);
        counts.add(key(RequestClass::ChallengeFailed, "devices"), None, later);
        let class = |counted: Option<Counted>| counted.unwrap().key.class;
        assert_eq!(class(counts.take_next()), RequestClass::ChallengeFailed);
        assert_eq!(class(counts.take_next()), RequestClass::Unverified);
    }
}
