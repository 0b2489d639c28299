//! The end of a library that hangs: a PKCS#11 call cannot be ended otherwise than with its process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The longest and shortest time between two looks at the deadlines.
const MOST_TICK: Duration = Duration::from_millis(250);
const LEAST_TICK: Duration = Duration::from_millis(5);

/// No call is under way.
const IDLE: u64 = 0;

/// The deadlines of the calls that are under way, one for each thread that makes calls.
pub(crate) struct Watchdog {
    base: Instant,
    /// Milliseconds after `base`.
    deadlines: Vec<AtomicU64>,
}

/// A thread's place; dropped, its call is over.
pub(crate) struct Call<'a>(&'a AtomicU64);

impl Watchdog {
    /// Watches over `places` threads from now on; `shortest` is the shortest deadline that any of them will have.
    pub(crate) fn start(places: usize, shortest: Duration) -> std::io::Result<Arc<Self>> {
        let watchdog = Arc::new(Self {
            base: Instant::now(),
            deadlines: (0..places).map(|_| AtomicU64::new(IDLE)).collect(),
        });
        let watched = Arc::clone(&watchdog);
        let tick = (shortest / 8).clamp(LEAST_TICK, MOST_TICK);
        thread::Builder::new()
            .name("watchdog".to_owned())
            .spawn(move || {
                loop {
                    thread::park_timeout(tick);
                    watched.look();
                }
            })?;
        Ok(watchdog)
    }

    /// A call begins that has to be over within `limit`.
    pub(crate) fn call(&self, place: usize, limit: Duration) -> Option<Call<'_>> {
        let slot = self.deadlines.get(place)?;
        let deadline = self.base.elapsed().saturating_add(limit);
        slot.store(millis(deadline).max(IDLE + 1), Ordering::Release);
        Some(Call(slot))
    }

    fn look(&self) {
        let now = millis(self.base.elapsed());
        let passed = |slot: &AtomicU64| {
            let deadline = slot.load(Ordering::Acquire);
            deadline != IDLE && now > deadline
        };
        if self.deadlines.iter().any(passed) {
            end("the PKCS#11 library did not return in time");
        }
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.0.store(IDLE, Ordering::Release);
    }
}

/// Ends the process at once. No destructor of the library runs: one that hangs would hang in it too.
pub(crate) fn end(cause: &str) -> ! {
    tracing::error!(cause, "the process ends itself to be started again");
    std::process::abort()
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
