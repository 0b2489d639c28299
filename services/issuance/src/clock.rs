//! The signer's own clock: wall time that never goes backwards within a run, and steps that are told.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use assay_audit::Moment;
use assay_types::TimestampMillis;

/// A wall clock that moved this far against the monotonic one since the last look was set by somebody.
const STEP: i64 = 2_000;

/// Where the time comes from.
pub trait Clock: Send + Sync {
    /// The time of day, which somebody may set.
    fn wall(&self) -> SystemTime;

    /// Time that has passed since a fixed moment; never less than before.
    fn monotonic(&self) -> Duration;
}

/// The clocks of the operating system.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self {
            started: Instant::now(),
        }
    }
}

impl Clock for SystemClock {
    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }
}

/// Wall time with a monotonic guard (all in milliseconds since the Unix epoch).
pub(crate) struct SignerClock {
    source: Arc<dyn Clock>,
    latest: AtomicI64,
    /// Wall time minus monotonic time when last looked at.
    offset: AtomicI64,
}

impl SignerClock {
    /// `latest` is the newest time that the audit log knows: no later record may be older.
    pub(crate) fn new(source: Arc<dyn Clock>, latest: TimestampMillis) -> Self {
        let clock = Self {
            source,
            latest: AtomicI64::new(latest.millis()),
            offset: AtomicI64::new(0),
        };
        clock
            .offset
            .store(clock.wall_ms() - clock.monotonic_ms(), Ordering::Relaxed);
        clock
    }

    /// Now, or the newest time ever given where the wall clock was set back.
    pub(crate) fn now(&self) -> SystemTime {
        self.timestamp_millis().into()
    }

    /// The same in milliseconds.
    pub(crate) fn timestamp_millis(&self) -> TimestampMillis {
        let wall = self.wall_ms();
        let latest = self.latest.fetch_max(wall, Ordering::Relaxed);
        TimestampMillis::from_millis(latest.max(wall))
    }

    /// Both clocks, for a record.
    pub(crate) fn moment(&self) -> Moment {
        Moment {
            wall_ms: self.timestamp_millis(),
            monotonic_ms: self.monotonic_ms().unsigned_abs(),
        }
    }

    /// By how much the wall clock was stepped since the last call, if it was.
    pub(crate) fn step(&self) -> Option<i64> {
        let offset = self.wall_ms() - self.monotonic_ms();
        let delta = offset - self.offset.swap(offset, Ordering::Relaxed);
        (delta.abs() >= STEP).then_some(delta)
    }

    fn wall_ms(&self) -> i64 {
        TimestampMillis::from(self.source.wall()).millis()
    }

    fn monotonic_ms(&self) -> i64 {
        i64::try_from(self.source.monotonic().as_millis()).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::UNIX_EPOCH;

    use super::*;

    /// Wall time and monotonic time as they are set, in milliseconds.
    struct Set(Mutex<(u64, u64)>);

    impl Clock for Set {
        fn wall(&self) -> SystemTime {
            UNIX_EPOCH + Duration::from_millis(self.0.lock().unwrap().0)
        }

        fn monotonic(&self) -> Duration {
            Duration::from_millis(self.0.lock().unwrap().1)
        }
    }

    fn clock(latest: i64) -> (Arc<Set>, SignerClock) {
        let set = Arc::new(Set(Mutex::new((1_000_000, 0))));
        (
            Arc::clone(&set),
            SignerClock::new(set, TimestampMillis::from_millis(latest)),
        )
    }

    #[test]
    fn time_is_never_older_than_the_log_nor_than_it_was() {
        let (_, clock_behind) = clock(1_060_000);
        assert_eq!(clock_behind.moment().wall_ms.millis(), 1_060_000);
        let (set, clock) = clock(0);
        assert_eq!(clock.moment().wall_ms.millis(), 1_000_000);
        *set.0.lock().unwrap() = (400_000, 5);
        let moment = clock.moment();
        assert_eq!(
            (moment.wall_ms.millis(), moment.monotonic_ms),
            (1_000_000, 5)
        );
    }

    #[test]
    fn only_a_clock_that_is_set_has_a_step() {
        let (set, clock) = clock(0);
        *set.0.lock().unwrap() = (1_060_000, 60_000);
        assert_eq!(clock.step(), None);
        *set.0.lock().unwrap() = (1_056_000, 61_000);
        assert_eq!(clock.step(), Some(-5_000));
        assert_eq!(clock.step(), None);
    }
}
