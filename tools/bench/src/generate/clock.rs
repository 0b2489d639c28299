use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use assay_issuance::Clock;
use assay_types::Hash;

/// A clock that begins in the past, runs, and is also put forward by hand.
pub(super) struct Forwarded {
    started: Instant,
    begin: SystemTime,
    forwarded_ms: AtomicU64,
}

impl Forwarded {
    /// `behind` the time of day.
    pub(super) fn new(behind: Duration) -> Self {
        Self {
            started: Instant::now(),
            begin: SystemTime::now() - behind,
            forwarded_ms: AtomicU64::new(0),
        }
    }

    pub(super) fn forward(&self, by: Duration) {
        let ms = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.forwarded_ms.fetch_add(ms, Ordering::Relaxed);
    }
}

impl Clock for Forwarded {
    fn wall(&self) -> SystemTime {
        self.begin + self.since_boot()
    }

    fn since_boot(&self) -> Duration {
        self.started.elapsed() + Duration::from_millis(self.forwarded_ms.load(Ordering::Relaxed))
    }

    fn boot(&self) -> Hash {
        Hash::of(b"the generator")
    }

    fn is_synchronised(&self) -> bool {
        false
    }
}
