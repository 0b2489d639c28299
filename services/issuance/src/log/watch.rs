//! The task that signs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use assay_runtime::drain::Shutdown;
use assay_runtime::ops::Readiness;
use assay_runtime::telemetry;
use tokio::time::MissedTickBehavior;

use super::{Log, NoCheckpoint};
use crate::policies::Policies;

/// A log that was not signed for so long needs somebody.
const OVERDUE: Duration = Duration::from_secs(60);

/// Runs until the shutdown: once an interval. The last checkpoint, after the drain, is not its.
pub(crate) async fn watch(
    log: Arc<Log>,
    policies: Arc<Policies>,
    readiness: Readiness,
    shutdown: Shutdown,
) {
    let mut interval = tokio::time::interval(log.settings.interval);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut signed = Instant::now();
    loop {
        tokio::select! {
            () = shutdown.requested() => return,
            _ = interval.tick() => {}
        }
        let policy_hash = policies.active().model_hash();
        match log.checkpoint(policy_hash).await {
            Ok(()) => {
                signed = Instant::now();
                readiness.warn("log", None);
                readiness.clear("log");
            }
            Err(error) => {
                let refused = matches!(&error, NoCheckpoint::Token(error) if error.is_permanent());
                let error = telemetry::chain(&error);
                tracing::debug!(error, "no checkpoint");
                if refused {
                    readiness.set_cause("log", format!("no checkpoint is signed: {error}"));
                }
                if signed.elapsed() >= OVERDUE {
                    let text = format!("no checkpoint is signed any more: {error}");
                    readiness.set_cause("log", text);
                }
            }
        }
    }
}
