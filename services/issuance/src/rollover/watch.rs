//! The rollover in time. The next CA is in the store and in the log before any device hears of it; it takes over by the
//! clock, and that is recorded as it happens.

use std::sync::Arc;
use std::time::Duration;

use assay_audit::Event;
use assay_runtime::drain::Shutdown;
use assay_runtime::ops::Readiness;
use assay_runtime::telemetry::chain;
use assay_store::{Store, StoreError};
use assay_types::{Hash, Timestamp};
use tokio::sync::Mutex;
use tokio::time::MissedTickBehavior;

use super::{Generations, Next, Stage};
use crate::app::Parts;
use crate::metrics;
use crate::policies::Policies;
use crate::recorder::Recorder;

/// The name of this part in `/readyz`.
const COMPONENT: &str = "rollover";
const INTERVAL: Duration = Duration::from_millis(500);
const SECONDS_A_DAY: i64 = 86_400;

/// Announces the next CA, and records that it took over.
pub(crate) struct Rollover {
    generations: Arc<Generations>,
    store: Store,
    policies: Arc<Policies>,
    recorder: Arc<Recorder>,
    readiness: Readiness,
    /// What stood in the way when last looked at.
    failure: Mutex<Option<String>>,
}

impl Rollover {
    pub(crate) fn new(parts: &Parts, readiness: Readiness) -> Self {
        Self {
            generations: Arc::clone(&parts.generations),
            store: parts.store.clone(),
            policies: Arc::clone(&parts.policies),
            recorder: Arc::clone(&parts.recorder),
            readiness,
            failure: Mutex::default(),
        }
    }

    /// Runs until the shutdown; ends at once where no CA takes over.
    pub(crate) async fn run(self: Arc<Self>, shutdown: Shutdown) {
        if self.generations.next.is_none() {
            return;
        }
        let mut interval = tokio::time::interval(INTERVAL);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.requested() => return,
                _ = interval.tick() => self.look().await,
            }
        }
    }

    /// Does what is due now.
    pub(crate) async fn look(&self) {
        let Some(next) = &self.generations.next else {
            return;
        };
        // Neither the announcement nor the switch can be taken back.
        if self.recorder.check_clock().is_err() {
            return;
        }
        let failure = self.advance(next).await.err();
        self.tell(next, failure.as_deref());
        let mut told = self.failure.lock().await;
        if let Some(error) = &failure
            && told.as_ref() != Some(error)
        {
            tracing::error!(error, "the rollover waits");
        }
        *told = failure;
    }

    async fn advance(&self, next: &Next) -> Result<(), String> {
        let generations = &self.generations;
        let approved = self.policies.active().approves_next_ca();
        match generations.stage(approved, self.recorder.now()) {
            Stage::Single => Ok(()),
            Stage::Announced => {
                self.announce(next).await.map_err(|error| chain(&error))?;
                if next.is_signed() {
                    return Ok(());
                }
                let signed = next.sign(&generations.first).await;
                signed.map_err(|error| chain(&error))
            }
            Stage::Overlap | Stage::Over => self.switch(next).await.map_err(|error| chain(&error)),
        }
    }

    async fn announce(&self, next: &Next) -> Result<(), StoreError> {
        let switch_at = Timestamp::from(next.switch_at);
        let event = Event::CaAnnounced {
            ca_sha256: Hash::of(&next.ca().certificate),
            predecessor_sha256: Hash::of(&self.generations.first.ca.certificate),
            switch_at,
            answered_until: next.answered_until().into(),
        };
        let announced = self.store.announce_rollover(
            next.ca().id.clone(),
            switch_at,
            self.recorder.timestamp(),
            vec![self.draft(event)],
        );
        if announced.await? {
            tracing::info!(%switch_at, "the next CA is announced");
        }
        Ok(())
    }

    async fn switch(&self, next: &Next) -> Result<(), StoreError> {
        let event = Event::CaSwitched {
            ca_sha256: Hash::of(&next.ca().certificate),
            predecessor_sha256: Hash::of(&self.generations.first.ca.certificate),
        };
        let switched = self.store.switch_rollover(
            next.ca().id.clone(),
            self.recorder.timestamp(),
            vec![self.draft(event)],
        );
        if switched.await? {
            tracing::info!("the next CA has taken over");
        }
        Ok(())
    }

    fn draft(&self, event: Event) -> assay_audit::Draft {
        let policy_hash = self.policies.active().model_hash();
        self.recorder.draft(policy_hash, event)
    }

    fn tell(&self, next: &Next, failure: Option<&str>) {
        let now = self.recorder.now();
        let approved = self.policies.active().approves_next_ca();
        let stage = self.generations.stage(approved, now);
        let now = Timestamp::from(now);
        let switch_at = Timestamp::from(next.switch_at);
        let until = Timestamp::from(next.answered_until());
        metrics::rollover(
            switch_at.seconds_since(now),
            stage == Stage::Announced && next.is_signed(),
        );
        let detail = match stage {
            Stage::Single => format!(
                "a CA to take over {switch_at} is configured; no version in force approves it, and nobody hears of it"
            ),
            Stage::Announced => format!("the next CA is announced and takes over {switch_at}"),
            Stage::Overlap => {
                format!("the next CA took over {switch_at}; the old RA is answered until {until}")
            }
            Stage::Over => format!(
                "the next CA took over {switch_at}; the old one signs CRLs and OCSP responses alone since {until}"
            ),
        };
        self.readiness.tell(COMPONENT, detail);
        self.readiness.warn(
            COMPONENT,
            warning(&self.generations, next, stage, failure, now),
        );
    }
}

fn warning(
    generations: &Generations,
    next: &Next,
    stage: Stage,
    failure: Option<&str>,
    now: Timestamp,
) -> Option<String> {
    if let Some(failure) = failure {
        return Some(format!("the rollover waits: {failure}"));
    }
    let days = Timestamp::from(next.switch_at).seconds_since(now) / SECONDS_A_DAY;
    match stage {
        Stage::Single => Some(format!(
            "the next CA is approved by no version in force, and is to take over in {days} days: propose, approve and \
             activate one (`assay policy propose`)"
        )),
        Stage::Over if Timestamp::from(generations.first.ca.issuer.not_after) <= now => Some(
            "the old CA has ended: finish the rollover (`assay-ceremony next finish`)".to_owned(),
        ),
        Stage::Announced | Stage::Overlap | Stage::Over => None,
    }
}
