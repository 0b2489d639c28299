//! Who gets in: a bucket for each frontend, a bound on requests at work, a budget for signed refusals and one for
//! failures of unwrapping.
//!
//! All of it is decided before any key operation; what does not get in is told to come back (HTTP 503).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::LimitsConfig;

/// What a client that was turned away is told to wait, seconds.
pub(crate) const RETRY_AFTER_SECONDS: u32 = 2;
/// Frontends that are told apart; allow-lists are far shorter, so the bound is never met.
pub(crate) const MAX_FRONTENDS: usize = 1_024;

/// The gate before the pipeline.
pub(crate) struct Admission {
    at_work: Arc<Semaphore>,
    frontends: Mutex<HashMap<String, Bucket>>,
    undecipherable: Mutex<HashMap<String, Bucket>>,
    refusals: Mutex<Bucket>,
    frontend_rate: u32,
    undecipherable_rate: u32,
}

/// Being at work; given back when dropped.
pub(crate) struct Admitted {
    _permit: OwnedSemaphorePermit,
}

impl Admission {
    pub(crate) fn new(limits: &LimitsConfig) -> Self {
        Self {
            at_work: Arc::new(Semaphore::new(limits.concurrency)),
            frontends: Mutex::default(),
            undecipherable: Mutex::default(),
            refusals: Mutex::new(Bucket::full(limits.refusal_rate)),
            frontend_rate: limits.frontend_rate,
            undecipherable_rate: limits.undecipherable_rate,
        }
    }

    /// A place for one request of `frontend`, or none.
    pub(crate) fn admit(&self, frontend: &str) -> Option<Admitted> {
        let mut frontends = self
            .frontends
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if frontends.len() >= MAX_FRONTENDS && !frontends.contains_key(frontend) {
            return None;
        }
        frontends
            .entry(frontend.to_owned())
            .or_insert_with(|| Bucket::full(self.frontend_rate))
            .take()
            .then_some(())?;
        let permit = Arc::clone(&self.at_work).try_acquire_owned().ok()?;
        Some(Admitted { _permit: permit })
    }

    /// Whether a message of a key that nobody knows may be decrypted: not while what came of `frontend` did not open too
    /// often.
    pub(crate) fn may_decrypt(&self, frontend: &str) -> bool {
        self.of_undecipherable(frontend, |bucket| bucket.level_at(Instant::now()) >= 1.0)
    }

    /// Draws on the budget of `frontend` for a decryption that came to nothing. Those at work when it is spent are
    /// counted too, down to as many as that below nothing.
    pub(crate) fn undecipherable(&self, frontend: &str) {
        self.of_undecipherable(frontend, |bucket| {
            bucket.level = bucket.level_at(Instant::now()) - 1.0;
        });
    }

    /// The frontend was admitted, so that the table is as bounded as that of the frontends.
    fn of_undecipherable<T>(&self, frontend: &str, act: impl FnOnce(&mut Bucket) -> T) -> T {
        let mut budgets = self
            .undecipherable
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let budget = budgets
            .entry(frontend.to_owned())
            .or_insert_with(|| Bucket::full(self.undecipherable_rate));
        act(budget)
    }

    /// Whether one more refusal may be signed now.
    pub(crate) fn may_refuse(&self) -> bool {
        self.refusals
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

/// A token bucket of one second's depth.
pub(crate) struct Bucket {
    rate: f64,
    level: f64,
    filled: Instant,
}

impl Bucket {
    pub(crate) fn full(rate: u32) -> Self {
        Self {
            rate: rate.into(),
            level: rate.into(),
            filled: Instant::now(),
        }
    }

    pub(crate) fn take(&mut self) -> bool {
        self.take_at(Instant::now())
    }

    fn take_at(&mut self, now: Instant) -> bool {
        let enough = self.level_at(now) >= 1.0;
        if enough {
            self.level -= 1.0;
        }
        enough
    }

    fn level_at(&mut self, now: Instant) -> f64 {
        let passed: Duration = now.saturating_duration_since(self.filled);
        self.level = (self.level + passed.as_secs_f64() * self.rate).min(self.rate);
        self.filled = now;
        self.level
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_depth_at_once_and_then_its_rate() {
        let mut bucket = Bucket::full(10);
        let start = bucket.filled;
        assert_eq!((0..20).filter(|_| bucket.take_at(start)).count(), 10);
        let later = start + Duration::from_millis(500);
        assert_eq!((0..20).filter(|_| bucket.take_at(later)).count(), 5);
    }
}
