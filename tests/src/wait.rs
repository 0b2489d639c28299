//! Waiting for a condition, never for a time.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// A demo that is not ready by then has hung. It makes two tokens and a dozen keys, perhaps on a machine that is busy.
pub const START: Duration = Duration::from_secs(150);

/// A running service that has not reacted to an event (a kill, a token that goes away) by then has hung.
pub const REACTION: Duration = Duration::from_secs(60);

/// Between two looks at a condition that nothing announces.
const LOOK: Duration = Duration::from_millis(10);

/// Looks until `condition` yields a value, or fails with `what` once `limit` has passed.
///
/// # Errors
///
/// When the limit passed, or at once when `condition` fails: an error is final, `None` means "not yet".
pub async fn until<T>(
    what: &str,
    limit: Duration,
    mut condition: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    let begin = Instant::now();
    loop {
        if let Some(value) = condition().await? {
            return Ok(value);
        }
        if begin.elapsed() > limit {
            bail!("{what}: not within {limit:?}");
        }
        tokio::time::sleep(LOOK).await;
    }
}
