//! Token buckets: a rate that holds over time, and a burst that may come at once.

use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};

use governor::clock::{Clock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

type Limiter<K, C> = RateLimiter<K, HashMapStateStore<K>, C, NoOpMiddleware<<C as Clock>::Instant>>;

/// One bucket: `rate` a second, and as many at once. A rate of 0 counts as 1.
pub struct Bucket(DefaultDirectRateLimiter);

impl Bucket {
    /// A full bucket.
    pub fn new(rate: u32) -> Self {
        Self(RateLimiter::direct(quota(rate, rate)))
    }

    /// Whether there is one more now; it is taken.
    pub fn take(&self) -> bool {
        self.0.check().is_ok()
    }
}

/// A bucket for each key, of which no more than a fixed number is kept.
pub struct Buckets<K: Hash + Eq + Clone, C: Clock + Clone = DefaultClock> {
    quota: Quota,
    most: usize,
    clock: C,
    limiter: Mutex<Limiter<K, C>>,
}

impl<K: Hash + Eq + Clone> Buckets<K> {
    /// For each key `rate` a second and `burst` at once (0 counts as 1); full for a key that is new. `most` keys are kept.
    pub fn new(rate: u32, burst: u32, most: usize) -> Self {
        Self::with_clock(rate, burst, most, DefaultClock::default())
    }
}

impl<K: Hash + Eq + Clone, C: Clock + Clone> Buckets<K, C> {
    fn with_clock(rate: u32, burst: u32, most: usize, clock: C) -> Self {
        let quota = quota(rate, burst);
        Self {
            quota,
            most,
            limiter: Mutex::new(RateLimiter::hashmap_with_clock(quota, clock.clone())),
            clock,
        }
    }

    /// Whether there is one more for this key now; it is taken.
    pub fn take(&self, key: &K) -> bool {
        let mut limiter = self.limiter.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken = limiter.check_key(key).is_ok();
        if limiter.len() > self.most {
            // A key whose bucket is full again loses nothing.
            limiter.retain_recent();
            // With more than half left, this walk would soon be due again: all of them begin anew.
            if limiter.len() > self.most / 2 {
                *limiter = RateLimiter::hashmap_with_clock(self.quota, self.clock.clone());
                taken = limiter.check_key(key).is_ok();
            }
        }
        taken
    }
}

fn quota(rate: u32, burst: u32) -> Quota {
    let at_least_one = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
    Quota::per_second(at_least_one(rate)).allow_burst(at_least_one(burst))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use governor::clock::FakeRelativeClock;

    use super::*;

    /// How many of a hundred are let through.
    fn taken<C: Clock + Clone>(buckets: &Buckets<u32, C>, key: u32) -> usize {
        (0..100).filter(|_| buckets.take(&key)).count()
    }

    #[test]
    fn a_key_has_its_burst_at_once_and_then_its_rate() {
        let clock = FakeRelativeClock::default();
        let buckets = Buckets::with_clock(10, 30, 8, clock.clone());
        assert_eq!(taken(&buckets, 1), 30);
        clock.advance(Duration::from_millis(500));
        assert_eq!(taken(&buckets, 1), 5);
        assert_eq!(taken(&buckets, 2), 30, "of its own");
        clock.advance(Duration::from_secs(3_600));
        assert_eq!(taken(&buckets, 1), 30, "never more than the burst");
    }

    #[test]
    fn the_keys_are_bounded_and_a_busy_one_is_kept_while_others_are_idle() {
        const MOST: usize = 8;
        let clock = FakeRelativeClock::default();
        let buckets = Buckets::with_clock(10, 10, MOST, clock.clone());
        assert_eq!(taken(&buckets, 0), 10);
        for idle in 1..1_000 {
            assert!(buckets.take(&idle));
            assert!(buckets.limiter.lock().unwrap().len() <= MOST);
            clock.advance(Duration::from_millis(100));
            assert_eq!(taken(&buckets, 0), 1, "after {idle} others");
        }
    }

    #[test]
    fn the_keys_are_bounded_where_all_are_busy() {
        const MOST: usize = 8;
        let buckets = Buckets::with_clock(1, 10, MOST, FakeRelativeClock::default());
        for busy in 0..1_000 {
            assert_eq!(taken(&buckets, busy), 10);
            assert!(buckets.limiter.lock().unwrap().len() <= MOST);
        }
    }
}
