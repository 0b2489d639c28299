//! Who gets in: a bucket for each frontend, a bound on requests at work, a budget for signed refusals and one for
//! failures of unwrapping.
//!
//! All of it is decided before any key operation; what does not get in is told to come back (HTTP 503).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use assay_runtime::buckets::{Bucket, Buckets};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::settings::LimitsConfig;

/// What a client that was turned away is told to wait, seconds.
pub(crate) const RETRY_AFTER_SECONDS: u32 = 2;
/// Frontends that are told apart; allow-lists are far shorter, so the bound is never met.
pub(crate) const MAX_FRONTENDS: usize = 1_024;

/// The gate before the pipeline.
pub(crate) struct Admission {
    at_work: Arc<Semaphore>,
    frontends: Buckets<String>,
    undecipherable: Mutex<HashMap<String, Allowance>>,
    undecipherable_rate: u32,
    refusals: Bucket,
}

/// Being at work; given back when dropped.
pub(crate) struct Admitted {
    _permit: OwnedSemaphorePermit,
}

impl Admission {
    pub(crate) fn new(limits: &LimitsConfig) -> Self {
        Self {
            at_work: Arc::new(Semaphore::new(limits.concurrency)),
            frontends: Buckets::new(limits.frontend_rate, limits.frontend_rate, MAX_FRONTENDS),
            undecipherable: Mutex::default(),
            undecipherable_rate: limits.undecipherable_rate,
            refusals: Bucket::new(limits.refusal_rate),
        }
    }

    /// A place for one request of `frontend`, or none.
    pub(crate) fn admit(&self, frontend: &str) -> Option<Admitted> {
        self.frontends.take(&frontend.to_owned()).then_some(())?;
        let permit = Arc::clone(&self.at_work).try_acquire_owned().ok()?;
        Some(Admitted { _permit: permit })
    }

    /// Whether a message of a key that nobody knows may be decrypted: not while what came of `frontend` did not open too
    /// often.
    pub(crate) fn may_decrypt(&self, frontend: &str) -> bool {
        self.of_undecipherable(frontend, |allowance| allowance.level(Instant::now()) >= 1.0)
    }

    /// Draws on the budget of `frontend` for a decryption that came to nothing. Those at work when it is spent are
    /// counted too, down to as many as that below nothing.
    pub(crate) fn undecipherable(&self, frontend: &str) {
        self.of_undecipherable(frontend, |allowance| allowance.draw(Instant::now()));
    }

    /// Only frontends of the allow-list come here, so that the table is no longer than the list.
    fn of_undecipherable<T>(&self, frontend: &str, act: impl FnOnce(&mut Allowance) -> T) -> T {
        let mut allowances = self
            .undecipherable
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let allowance = allowances
            .entry(frontend.to_owned())
            .or_insert_with(|| Allowance::full(self.undecipherable_rate, Instant::now()));
        act(allowance)
    }

    /// Whether one more refusal may be signed now.
    pub(crate) fn may_refuse(&self) -> bool {
        self.refusals.take()
    }
}

/// A budget of one second's depth that is drawn on after the fact, and so may be overdrawn. A token bucket cannot: what
/// finds it empty costs nothing.
struct Allowance {
    rate: f64,
    level: f64,
    filled: Instant,
}

impl Allowance {
    fn full(rate: u32, now: Instant) -> Self {
        Self {
            rate: rate.into(),
            level: rate.into(),
            filled: now,
        }
    }

    fn level(&mut self, now: Instant) -> f64 {
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.level = passed.mul_add(self.rate, self.level).min(self.rate);
        self.filled = now;
        self.level
    }

    fn draw(&mut self, now: Instant) {
        self.level = self.level(now) - 1.0;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_allowance_that_was_overdrawn_is_filled_at_its_rate() {
        let start = Instant::now();
        let mut allowance = Allowance::full(10, start);
        for _ in 0..15 {
            allowance.draw(start);
        }
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        assert!(allowance.level(at(590)) < 1.0);
        assert!(allowance.level(at(610)) >= 1.0);
        assert!(allowance.level(at(60_000)) <= 10.0);
    }
}
