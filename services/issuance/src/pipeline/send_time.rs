//! When an answer leaves: the uniform failure on a tick of a clock that starts with its request, every other at once.

use std::time::Duration;

use tokio::time::Instant;

use crate::metrics;

/// What the timer tells apart; a shorter tick is none.
pub(crate) const LEAST_TICK: Duration = Duration::from_millis(1);

/// Whether an answer may tell by its time what was done for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SendTime {
    AtOnce,
    /// At the next multiple of `refusal_tick` after receipt.
    OnTick,
}

impl SendTime {
    /// Returns when it is time. Everything is done by then, the reply's signature included, so that what follows
    /// costs the same for each cause.
    pub(super) async fn wait(self, received: Instant, tick: Duration) {
        if self == Self::AtOnce || tick < LEAST_TICK {
            return;
        }
        let Some(next) = next_tick(received, Instant::now(), tick) else {
            return;
        };
        if next > received + tick {
            metrics::tick_missed();
        }
        // Until an instant, not for a time: how long ago the work ended must not show in the rounding of the timer.
        tokio::time::sleep_until(next).await;
    }
}

/// The first multiple of `tick` after `since` that lies after `now`.
fn next_tick(since: Instant, now: Instant, tick: Duration) -> Option<Instant> {
    let passed = now.saturating_duration_since(since).as_nanos();
    let ticks = passed.checked_div(tick.as_nanos())?.saturating_add(1);
    since.checked_add(tick.checked_mul(u32::try_from(ticks).ok()?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(25);

    #[test]
    fn whatever_the_work_took_the_answer_leaves_on_a_multiple_of_the_tick() {
        let since = Instant::now();
        for (took_us, tick) in [
            (0, 1),
            (1, 1),
            (24_999, 1),
            (25_000, 2),
            (49_999, 2),
            (130_000, 6),
        ] {
            let now = since + Duration::from_micros(took_us);
            assert_eq!(
                next_tick(since, now, TICK),
                Some(since + TICK * tick),
                "{took_us} µs"
            );
        }
    }

    #[tokio::test]
    async fn only_the_uniform_failure_waits() {
        let since = Instant::now();
        SendTime::OnTick.wait(since, TICK).await;
        assert!(since.elapsed() >= TICK);

        let hour = Duration::from_secs(3_600);
        SendTime::AtOnce.wait(since, hour).await;
        SendTime::OnTick.wait(since, Duration::ZERO).await;
        assert!(since.elapsed() < hour);
    }
}
