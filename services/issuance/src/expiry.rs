//! Counts at a fixed interval which certificates end soon and have no successor, so that an alert comes before devices
//! drop off the network, and tells which profile's renewals do not work.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use assay_runtime::drain::Shutdown;
use assay_runtime::ops::Readiness;
use assay_store::{ExpirySpan, Store, StoreError};
use assay_types::Timestamp;
use tokio::time::MissedTickBehavior;

use crate::metrics;
use crate::policies::{InForce, Policies};
use crate::recorder::Recorder;

/// The name of this part in `/readyz`.
const COMPONENT: &str = "expiry";
/// How often it is counted: often beside the shortest span that is told, seldom beside what a count costs.
const INTERVAL: Duration = Duration::from_secs(30);
const DAY: Duration = Duration::from_secs(86_400);
/// Days ahead by which certificates are counted, and the label of each.
const AHEAD: [(u32, &str); 3] = [(1, "1d"), (WEEK, "7d"), (30, "30d")];
/// Days of the span that `/readyz` tells, ahead and back.
const WEEK: u32 = 7;

/// Counts until the shutdown.
pub(crate) async fn watch(
    store: Store,
    policies: Arc<Policies>,
    recorder: Arc<Recorder>,
    readiness: Readiness,
    shutdown: Shutdown,
) {
    let mut interval = tokio::time::interval(INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.requested() => return,
            _ = interval.tick() => {}
        }
        let now = recorder.timestamp();
        match count(&store, &policies.active(), now).await {
            Ok(counts) => tell(&counts, &readiness),
            Err(error) => tracing::warn!(%error, "what ends soon cannot be counted"),
        }
    }
}

/// Certificates in force of one profile, without a successor.
#[derive(Debug, Default)]
struct Counts {
    /// Ending within the days of [`AHEAD`].
    ahead: [u64; AHEAD.len()],
    /// Ended within the last week.
    lapsed: u64,
}

/// By profile: those of the policy in force and of all before that issued something, so that no series is left behind.
async fn count(
    store: &Store,
    in_force: &InForce,
    now: Timestamp,
) -> Result<BTreeMap<String, Counts>, StoreError> {
    let back = now - WEEK * DAY..=now - Duration::from_secs(1);
    let ahead = AHEAD.map(|(end, _)| now..=now + end * DAY);
    let spans = std::iter::once(back).chain(ahead);
    let spans = spans.map(|span| ExpirySpan {
        span,
        renewed: false,
    });
    let counted = store.count_expiring(None, spans.collect());
    let names = in_force
        .profiles()
        .map(|profile| profile.name().to_string());
    let mut counts: BTreeMap<_, _> = names.map(|name| (name, Counts::default())).collect();
    for (profile, found) in counted.await? {
        let mut found = found.into_iter();
        let mut next = || found.next().unwrap_or_default();
        let lapsed = next();
        let ahead = AHEAD.map(|_| next());
        counts.insert(profile, Counts { ahead, lapsed });
    }
    Ok(counts)
}

fn tell(counts: &BTreeMap<String, Counts>, readiness: &Readiness) {
    let (mut soon, mut lapsed) = (0_u64, 0_u64);
    for (profile, counts) in counts {
        for ((days, label), count) in AHEAD.into_iter().zip(counts.ahead) {
            metrics::ending(profile, label, count);
            if days == WEEK {
                soon = soon.saturating_add(count);
            }
        }
        metrics::lapsed(profile, counts.lapsed);
        lapsed = lapsed.saturating_add(counts.lapsed);
    }
    readiness.tell(
        COMPONENT,
        format!(
            "{soon} certificates end within {WEEK} days without a successor, {lapsed} ended so in the last {WEEK}"
        ),
    );
}
