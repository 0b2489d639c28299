//! The rollover in time. The next CA is in the store and in the log before any device hears of it; it takes over by the
//! clock, and that is recorded as it happens.

use std::sync::Arc;
use std::time::Duration;

use assay_audit::{Event, Hash};
use assay_runtime::drain::Shutdown;
use assay_runtime::ops::Readiness;
use assay_runtime::telemetry::chain;
use assay_store::StoreError;
use tokio::time::MissedTickBehavior;

use super::{Generations, Next, Stage, seconds};
use crate::metrics;
use crate::pipeline::Pipeline;

/// The name of this part in `/readyz`.
const COMPONENT: &str = "rollover";
const INTERVAL: Duration = Duration::from_millis(500);
const SECONDS_A_DAY: i64 = 86_400;

/// Runs until the shutdown; ends at once where no CA takes over.
pub(crate) async fn watch(pipeline: Arc<Pipeline>, readiness: Readiness, shutdown: Shutdown) {
    let Some(next) = &pipeline.generations.next else {
        return;
    };
    let mut interval = tokio::time::interval(INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = None;
    loop {
        tokio::select! {
            () = shutdown.requested() => return,
            _ = interval.tick() => {}
        }
        let failure = look(&pipeline, next).await.err();
        if let Some(error) = &failure
            && told.as_ref() != Some(error)
        {
            tracing::error!(error, "the rollover waits");
        }
        tell(&pipeline, next, failure.as_deref(), &readiness);
        told = failure;
    }
}

async fn look(pipeline: &Pipeline, next: &Next) -> Result<(), String> {
    let (generations, clock) = (&pipeline.generations, &pipeline.recorder.clock);
    let approved = pipeline.policies.active().approves_next_ca();
    match generations.stage(approved, clock.now()) {
        Stage::Single => Ok(()),
        Stage::Announced => {
            announce(pipeline, next)
                .await
                .map_err(|error| chain(&error))?;
            if next.is_signed() {
                return Ok(());
            }
            let signed = next.sign(&generations.first).await;
            signed.map_err(|error| chain(&error))
        }
        Stage::Overlap | Stage::Over => switch(pipeline, next).await.map_err(|error| chain(&error)),
    }
}

async fn announce(pipeline: &Pipeline, next: &Next) -> Result<(), StoreError> {
    let switch_at = seconds(next.switch_at);
    let event = Event::CaAnnounced {
        ca_sha256: Hash::of(&next.ca().certificate),
        predecessor_sha256: Hash::of(&pipeline.generations.first.ca.certificate),
        switch_at,
        answered_until: seconds(next.answered_until()),
    };
    let announced = pipeline.store.announce_rollover(
        next.ca().id.clone(),
        switch_at,
        pipeline.recorder.clock.now_seconds(),
        vec![draft(pipeline, event)],
    );
    if announced.await? {
        let switch_at = humantime::format_rfc3339_seconds(next.switch_at);
        tracing::info!(%switch_at, "the next CA is announced");
    }
    Ok(())
}

async fn switch(pipeline: &Pipeline, next: &Next) -> Result<(), StoreError> {
    let event = Event::CaSwitched {
        ca_sha256: Hash::of(&next.ca().certificate),
        predecessor_sha256: Hash::of(&pipeline.generations.first.ca.certificate),
    };
    let switched = pipeline.store.switch_rollover(
        next.ca().id.clone(),
        pipeline.recorder.clock.now_seconds(),
        vec![draft(pipeline, event)],
    );
    if switched.await? {
        tracing::info!("the next CA has taken over");
    }
    Ok(())
}

fn draft(pipeline: &Pipeline, event: Event) -> assay_audit::Draft {
    let policy_hash = pipeline.policies.active().model_hash();
    pipeline.recorder.draft(policy_hash, event)
}

fn tell(pipeline: &Pipeline, next: &Next, failure: Option<&str>, readiness: &Readiness) {
    let now = pipeline.recorder.clock.now();
    let approved = pipeline.policies.active().approves_next_ca();
    let stage = pipeline.generations.stage(approved, now);
    let text = humantime::format_rfc3339_seconds;
    let (switch_at, until) = (text(next.switch_at), text(next.answered_until()));
    metrics::rollover(
        seconds(next.switch_at).saturating_sub(seconds(now)),
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
    readiness.tell(COMPONENT, detail);
    readiness.warn(
        COMPONENT,
        warning(&pipeline.generations, next, stage, failure, seconds(now)),
    );
}

fn warning(
    generations: &Generations,
    next: &Next,
    stage: Stage,
    failure: Option<&str>,
    now: i64,
) -> Option<String> {
    if let Some(failure) = failure {
        return Some(format!("the rollover waits: {failure}"));
    }
    let days = seconds(next.switch_at).saturating_sub(now) / SECONDS_A_DAY;
    match stage {
        Stage::Single => Some(format!(
            "the next CA is approved by no version in force, and is to take over in {days} days: propose, approve and \
             activate one (`assay policy propose`)"
        )),
        Stage::Over if seconds(generations.first.ca.issuer.not_after) <= now => Some(
            "the old CA has ended: finish the rollover (`assay-ceremony next finish`)".to_owned(),
        ),
        Stage::Announced | Stage::Overlap | Stage::Over => None,
    }
}
