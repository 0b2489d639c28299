//! Clock and randomness.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use assay_issuance::{Clock, Random};
use assay_types::{Hash, Timestamp};
use openssl::error::ErrorStack;
use openssl::pkey::{PKey, Private};
use openssl::sha::sha256;

use super::key;

/// The time at which each test begins: 2030-01-01T00:00:00Z.
pub(crate) const BEGIN: Timestamp = Timestamp::from_seconds(1_893_456_000);

/// A clock that is advanced by hand.
pub(crate) struct ManualClock(Mutex<Times>);

#[derive(Clone, Copy)]
struct Times {
    /// Since the first boot, which began with the test.
    passed: Duration,
    /// By how many seconds the wall clock is ahead of the truth.
    ahead: i64,
    booted_at: Duration,
    is_synchronised: bool,
}

impl ManualClock {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Times {
            passed: Duration::ZERO,
            ahead: 0,
            booted_at: Duration::ZERO,
            is_synchronised: false,
        }))
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.0.lock().unwrap().passed += by;
    }

    /// Sets the wall clock this many seconds ahead of the truth.
    pub(crate) fn set_ahead(&self, seconds: i64) {
        self.0.lock().unwrap().ahead = seconds;
    }

    /// The machine was off for so long.
    pub(crate) fn reboot(&self, after: Duration, is_synchronised: bool) {
        let mut times = self.0.lock().unwrap();
        times.passed += after;
        times.booted_at = times.passed;
        times.is_synchronised = is_synchronised;
    }

    /// The true time.
    pub(crate) fn now(&self) -> Timestamp {
        BEGIN + self.times().passed
    }

    fn times(&self) -> Times {
        *self.0.lock().unwrap()
    }
}

impl Clock for ManualClock {
    fn wall(&self) -> SystemTime {
        let ahead = Duration::from_secs(self.times().ahead.unsigned_abs());
        let true_time = SystemTime::from(BEGIN) + self.times().passed;
        match self.times().ahead {
            0.. => true_time + ahead,
            ..0 => true_time - ahead,
        }
    }

    fn since_boot(&self) -> Duration {
        self.times().passed - self.times().booted_at
    }

    fn boot(&self) -> Hash {
        Hash::of(&self.times().booted_at.as_nanos().to_be_bytes())
    }

    fn is_synchronised(&self) -> bool {
        self.times().is_synchronised
    }
}

/// The same bytes in the same order in each run.
pub(crate) struct Seeded(AtomicU64);

impl Seeded {
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(0))
    }
}

impl Random for Seeded {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), ErrorStack> {
        for chunk in bytes.chunks_mut(32) {
            let block = sha256(&self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes());
            chunk.copy_from_slice(&block[..chunk.len()]);
        }
        Ok(())
    }

    fn rsa_key(&self, _bits: u32) -> Result<PKey<Private>, ErrorStack> {
        Ok(key("decoy"))
    }
}
