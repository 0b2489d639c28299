//! The signer's own clock: wall time that never goes backwards within a run, and steps that are told.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use assay_audit::Moment;

/// A wall clock that moved this far against the monotonic one since the last look was set by somebody.
const STEP: i64 = 2_000;

/// Wall time with a monotonic guard (all in milliseconds since the Unix epoch).
pub(crate) struct Clock {
    started: Instant,
    latest: AtomicI64,
    /// Wall time minus monotonic time when last looked at.
    offset: AtomicI64,
}

impl Clock {
    /// `latest` is the newest time that the audit log knows: no later record may be older.
    pub(crate) fn new(latest: i64) -> Self {
        Self {
            started: Instant::now(),
            latest: AtomicI64::new(latest),
            offset: AtomicI64::new(wall()),
        }
    }

    /// Now, or the newest time ever given where the wall clock was set back.
    pub(crate) fn now(&self) -> SystemTime {
        let ms = self.now_ms();
        UNIX_EPOCH + Duration::from_millis(ms.unsigned_abs())
    }

    /// Seconds since the Unix epoch.
    pub(crate) fn now_seconds(&self) -> i64 {
        self.now_ms() / 1_000
    }

    /// Both clocks, for a record.
    pub(crate) fn moment(&self) -> Moment {
        Moment {
            wall_ms: self.now_ms(),
            monotonic_ms: self.monotonic_ms().unsigned_abs(),
        }
    }

    /// By how much the wall clock was stepped since the last call, if it was.
    pub(crate) fn step(&self) -> Option<i64> {
        let offset = wall() - self.monotonic_ms();
        let delta = offset - self.offset.swap(offset, Ordering::Relaxed);
        (delta.abs() >= STEP).then_some(delta)
    }

    fn now_ms(&self) -> i64 {
        let wall = wall();
        self.latest.fetch_max(wall, Ordering::Relaxed).max(wall)
    }

    fn monotonic_ms(&self) -> i64 {
        i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX)
    }
}

fn wall() -> i64 {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_never_older_than_the_log() {
        let ahead = wall() + 60_000;
        let clock = Clock::new(ahead);
        assert_eq!(clock.moment().wall_ms, ahead);
        assert!(Clock::new(0).moment().wall_ms < ahead);
    }

    #[test]
    fn a_clock_that_is_not_set_has_no_step() {
        assert_eq!(Clock::new(0).step(), None);
        let clock = Clock::new(0);
        clock.offset.fetch_sub(5_000, Ordering::Relaxed);
        assert!(
            clock
                .step()
                .is_some_and(|delta| (4_900..5_100).contains(&delta))
        );
    }
}
