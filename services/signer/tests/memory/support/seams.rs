//! Clock and randomness.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use assay_issuance::{Clock, Random};
use assay_types::Timestamp;
use openssl::error::ErrorStack;
use openssl::pkey::{PKey, Private};
use openssl::sha::sha256;

use super::key;

/// The time at which each test begins: 2030-01-01T00:00:00Z.
pub(crate) const BEGIN: Timestamp = Timestamp::from_seconds(1_893_456_000);

/// A clock that is advanced by hand.
pub(crate) struct ManualClock(Mutex<Duration>);

impl ManualClock {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Duration::ZERO))
    }

    pub(crate) fn advance(&self, by: Duration) {
        *self.0.lock().unwrap() += by;
    }

    pub(crate) fn now(&self) -> Timestamp {
        BEGIN + self.monotonic()
    }
}

impl Clock for ManualClock {
    fn wall(&self) -> SystemTime {
        SystemTime::from(BEGIN) + self.monotonic()
    }

    fn monotonic(&self) -> Duration {
        *self.0.lock().unwrap()
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
