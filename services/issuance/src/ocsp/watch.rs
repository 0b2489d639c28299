//! The schedule: what is due is signed in small batches at a bounded rate, in the order of need, and told of.

use std::sync::Arc;
use std::time::Duration;

use assay_hsm::{OperationError, Priority};
use assay_runtime::drain::Shutdown;
use assay_runtime::ops::Readiness;
use assay_runtime::telemetry::chain;
use assay_store::{DueResponse, OcspCounts, SignedResponse};
use assay_types::Timestamp;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use super::{Ocsp, OcspError};
use crate::metrics;
use crate::upkeep::prune_batches;

/// The names of this part in `/readyz`.
const COMPONENTS: [&str; 2] = ["ocsp", "next-ocsp"];
/// Responses of one commit.
const BATCH: u32 = 64;
/// Of them those at the token at a time.
const AT_A_TIME: usize = 4;
/// Between two looks while nothing is due.
const IDLE: Duration = Duration::from_millis(500);
/// After a batch of which nothing was signed, and how long what the HSM service does not sign yet keeps out of the way of the
/// others: the list that it has to agree with comes within seconds.
const AFTER_FAILURE: Duration = Duration::from_secs(2);
/// How long what cannot be signed by itself keeps out of the way of the others.
const PUT_OFF: Duration = Duration::from_secs(60);
/// How often the responses are counted, and those of expired certificates removed.
const COUNT_INTERVAL: Duration = Duration::from_secs(5);
const SECONDS_A_DAY: i64 = 86_400;
/// Days before the responder's certificate ends from which it is told.
const RENEWAL_WARNING_DAYS: i64 = 14;

impl Ocsp {
    /// Runs until the shutdown.
    pub(crate) async fn run(self: Arc<Self>, readiness: Readiness, shutdown: Shutdown) {
        tokio::select! {
            () = shutdown.requested() => {}
            ((), ()) = async { tokio::join!(self.sign_what_is_due(), self.count(&readiness)) } => {}
        }
    }

    /// Does once, now, what it does by schedule.
    pub(crate) async fn look(self: &Arc<Self>, readiness: &Readiness) {
        self.seed().await;
        if let Err(error) = self.batch().await {
            tracing::error!(error = chain(&error), "OCSP responses are not signed");
        }
        self.look_at_responses(readiness).await;
    }

    async fn sign_what_is_due(self: &Arc<Self>) {
        self.seed().await;
        let mut told = None;
        loop {
            let began = Instant::now();
            let pause = match self.batch().await {
                Ok(0) => IDLE,
                Ok(signed) => {
                    told = None;
                    Duration::from_secs(u64::from(signed)) / self.schedule.rate
                }
                Err(error) => {
                    // Once: it may stay so for long, and what comes of it is in /readyz.
                    let error = chain(&error);
                    if told.as_ref() != Some(&error) {
                        tracing::error!(error, "OCSP responses are not signed");
                        told = Some(error);
                    }
                    AFTER_FAILURE
                }
            };
            tokio::time::sleep_until(began + pause).await;
        }
    }

    /// Certificates that were issued while there was no responder get their turn as well.
    async fn seed(&self) {
        let mut after = Some(0);
        while let Some(position) = after {
            let now = self.recorder.timestamp();
            let seeded = self.store.seed_ocsp(self.ca_id.clone(), position, now);
            match seeded.await {
                Ok(next) => after = next,
                Err(error) => {
                    tracing::warn!(%error, "older certificates have no OCSP responses yet");
                    tokio::time::sleep(AFTER_FAILURE).await;
                }
            }
        }
    }

    /// Signs and keeps a batch, and says how many responses that were. A crash loses one batch at most, which is then due
    /// again.
    async fn batch(self: &Arc<Self>) -> Result<u32, OcspError> {
        self.recorder.check_clock()?;
        let now = self.recorder.timestamp();
        let due = self
            .store
            .due_ocsp(self.ca_id.clone(), now, BATCH.min(self.schedule.rate));
        let mut due = due.await?.into_iter();
        let mut signed = Vec::new();
        let mut failure = None;
        let mut others_fail = false;
        let mut at_work = JoinSet::new();
        let start = |at_work: &mut JoinSet<_>, one: DueResponse| {
            let this = Arc::clone(self);
            at_work.spawn(async move { this.sign_one(one).await });
        };
        for one in due.by_ref().take(AT_A_TIME) {
            start(&mut at_work, one);
        }
        while let Some(done) = at_work.join_next().await {
            match done {
                Ok(Ok(Some(response))) => signed.push(response),
                Ok(Ok(None)) | Err(_) => {}
                Ok(Err(error)) => {
                    others_fail |= !is_not_now(&error);
                    failure = Some(error);
                }
            }
            if !others_fail && let Some(one) = due.next() {
                start(&mut at_work, one);
            }
        }
        let count = u32::try_from(signed.len()).unwrap_or(u32::MAX);
        if count > 0 {
            self.keep(signed).await?;
        }
        match failure {
            Some(error) if count == 0 => Err(error),
            Some(_) | None => Ok(count),
        }
    }

    /// `None` for what the HSM service refuses for good. Both that and what it does not sign yet go to the end, so that they do
    /// not keep others from their turn.
    async fn sign_one(&self, due: DueResponse) -> Result<Option<SignedResponse>, OcspError> {
        let priority = if due.changed {
            Priority::Normal
        } else {
            Priority::Background
        };
        match self.sign(&due, priority).await {
            Ok(signed) => Ok(Some(signed)),
            Err(OcspError::Sign(error)) if error.is_permanent() => {
                tracing::error!(serial = %due.serial, %error, "an OCSP response is not signed");
                let until = self.recorder.timestamp() + PUT_OFF;
                self.store.defer_ocsp(due, until).await?;
                Ok(None)
            }
            Err(error) => {
                if is_not_now(&error) {
                    let until = self.recorder.timestamp() + AFTER_FAILURE;
                    self.store.defer_ocsp(due, until).await?;
                }
                Err(error)
            }
        }
    }

    async fn count(&self, readiness: &Readiness) {
        let mut interval = tokio::time::interval(COUNT_INTERVAL);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            self.look_at_responses(readiness).await;
        }
    }

    async fn look_at_responses(&self, readiness: &Readiness) {
        let clock = self.recorder.clock();
        let now = clock.now;
        let batches = if clock.jump.is_none() && clock.settling_until.is_none() {
            prune_batches(COUNT_INTERVAL)
        } else {
            0
        };
        for _ in 0..batches {
            match self.store.prune_ocsp(now).await {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, "responses for expired certificates cannot be removed");
                    break;
                }
            }
        }
        match self.store.count_ocsp(self.ca_id.clone(), now).await {
            Ok(counts) => self.tell(counts, now, readiness),
            Err(error) => tracing::warn!(%error, "OCSP responses cannot be counted"),
        }
    }

    fn tell(&self, counts: OcspCounts, now: Timestamp, readiness: &Readiness) {
        let component = self.place.component(COMPONENTS);
        let end = Timestamp::from(self.responder.not_after);
        let left = counts.next_update.map(|next| next.seconds_since(now));
        metrics::ocsp(self.place, counts, left, end.seconds_since(now));
        let first_end = counts
            .next_update
            .map_or("nothing is signed".to_owned(), |next| {
                format!("the first ends {next}")
            });
        readiness.tell(
            component,
            format!(
                "{} responses, {} due, {} unsigned, {first_end}; responder until {end}",
                counts.all, counts.due, counts.waiting,
            ),
        );
        readiness.warn(component, self.warning(counts, end, now));
    }

    fn warning(&self, counts: OcspCounts, end: Timestamp, now: Timestamp) -> Option<String> {
        const RENEW: &str = "renew it by `assay-ceremony ocsp` and restart the signer";
        let days = end.seconds_since(now) / SECONDS_A_DAY;
        if end <= now {
            return Some(format!(
                "the responder's certificate has ended, nothing is signed: {RENEW}"
            ));
        }
        // Half of the overlap is gone: what should have been signed again by now was not.
        let overlap = self.schedule.validity.saturating_sub(self.schedule.refresh);
        let is_late = |next: Timestamp| next < now + overlap / 2;
        if counts.next_update.is_some_and(is_late) && end >= now + overlap {
            return Some(format!(
                "{} responses are due and the first of them ends soon: see the token's health, or raise ocsp.rate",
                counts.due
            ));
        }
        (days < RENEWAL_WARNING_DAYS)
            .then(|| format!("the responder's certificate ends in {days} days: {RENEW}"))
    }
}

/// The HSM service may sign it later: when the list that it has to agree with is signed.
fn is_not_now(error: &OcspError) -> bool {
    matches!(error, OcspError::Sign(OperationError::NotNow { .. }))
}
