//! What happens beside requests: open intents are finished, the token and the clock are watched, counts are written.

use std::sync::Arc;
use std::time::Duration;

use assay_audit::Event;
use assay_runtime::drain::Shutdown;
use assay_runtime::ops::Readiness;
use assay_store::{CrlReason, Retention};
use tokio::time::MissedTickBehavior;

use crate::metrics;
use crate::pipeline::{Pipeline, Recovered};

/// The actor of revocations that a schedule makes.
const SCHEDULE: &str = "assay://signer/schedule";
/// How often the watch looks.
const INTERVAL: Duration = Duration::from_secs(1);
/// How often old rows are removed.
const PRUNE_INTERVAL: Duration = Duration::from_secs(60);
/// Seconds that a CertRep is kept for a byte-identical retransmission; devices come back after weeks in a drawer.
const REPLY_RETENTION: i64 = 30 * 86_400;
/// Seconds that a quota's window is kept: windows are of one hour.
const QUOTA_RETENTION: i64 = 2 * 3_600;
const SECONDS_A_DAY: i64 = 86_400;
/// Days before the policy in force expires from which it is told: time for people to approve the next one.
const EXPIRY_WARNING_DAYS: i64 = 14;

/// Runs until the shutdown: once a second.
pub(crate) async fn watch(pipeline: Arc<Pipeline>, readiness: Readiness, shutdown: Shutdown) {
    let mut interval = tokio::time::interval(INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut prune_interval = tokio::time::interval(PRUNE_INTERVAL);
    prune_interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut token = TokenWatch::default();
    let mut health: Vec<_> = pipeline
        .generations
        .all()
        .map(|generation| generation.hsm.health())
        .collect();
    loop {
        let second_passed = tokio::select! {
            () = shutdown.requested() => return,
            _ = prune_interval.tick() => {
                prune(&pipeline).await;
                continue;
            }
            _ = interval.tick() => true,
            () = any_changed(&mut health) => false,
        };
        token.look(&pipeline, &readiness).await;
        look_at_policy(&pipeline, &readiness);
        for generation in pipeline.generations.all() {
            generation.revocation.tell(&readiness);
        }
        look_at_clock(&pipeline).await;
        if second_passed {
            pipeline.flush_refusals().await;
        }
        expire_requests(&pipeline).await;
        if health.iter().any(|health| health.borrow().ready) {
            finish_open_intents(&pipeline).await;
            revoke_superseded(&pipeline).await;
            refresh_crls(&pipeline).await;
        }
    }
}

/// Removes stored CertReps and quota windows that nobody can ask for any more, and evidence past its time; a batch at a
/// time, so that no enrolment waits for it.
async fn prune(pipeline: &Pipeline) {
    let now = pipeline.recorder.clock.now_seconds();
    let retention = Retention {
        replies_before: now.saturating_sub(REPLY_RETENTION),
        quotas_before: now.saturating_sub(QUOTA_RETENTION),
        evidence_until: now,
    };
    match pipeline.store.prune(retention).await {
        Ok(0) => {}
        Ok(rows) => tracing::debug!(rows, "old rows removed"),
        Err(error) => tracing::warn!(%error, "old rows cannot be removed"),
    }
}

/// Finishes each open intent that no request in this process is working on.
pub(crate) async fn finish_open_intents(pipeline: &Pipeline) {
    let now = pipeline.recorder.clock.now_seconds();
    let open = match pipeline.store.open_intents(None).await {
        Ok(open) => open,
        Err(error) => return tracing::error!(%error, "open intents cannot be read"),
    };
    for intent in open {
        let serial = intent.serial.to_string();
        match pipeline.finish.recover(intent, now).await {
            Ok(Recovered::AtWork) => {}
            Ok(outcome) => tracing::info!(serial, ?outcome, "open intent closed"),
            Err(error) => tracing::warn!(serial, %error, "open intent kept"),
        }
    }
}

/// Revokes what was superseded once its grace period is over.
async fn revoke_superseded(pipeline: &Pipeline) {
    let now = pipeline.recorder.clock.now_seconds();
    let due = match pipeline.store.due_revocations(now).await {
        Ok(due) => due,
        Err(error) => return tracing::error!(%error, "due revocations cannot be read"),
    };
    for certificate in due {
        let event = Event::CertificateRevoked {
            actor: SCHEDULE.into(),
            serial: certificate.serial.to_string().into(),
            reason: CrlReason::Superseded.as_str().into(),
        };
        let draft = pipeline
            .recorder
            .draft(pipeline.policies.active().model_hash(), event);
        let serial = certificate.serial;
        match pipeline
            .store
            .revoke(serial.clone(), CrlReason::Superseded, now, vec![draft])
            .await
        {
            Ok(_) => {
                if let Some(generation) = pipeline.generations.of(&certificate.ca_id) {
                    generation.revocation.want();
                }
            }
            Err(error) => {
                tracing::error!(%serial, %error, "a superseded certificate is not revoked yet");
            }
        }
    }
}

/// Ends what waited too long; what it had reserved is free again.
async fn expire_requests(pipeline: &Pipeline) {
    let now = pipeline.recorder.clock.now_seconds();
    let policy_hash = pipeline.policies.active().model_hash();
    let recorder = Arc::clone(&pipeline.recorder);
    let expired = pipeline.store.expire_pending(now, move |row| {
        let pending_id = row.id.as_str().into();
        recorder.draft(policy_hash, Event::PendingExpired { pending_id })
    });
    match expired.await {
        Ok(0) => {}
        Ok(count) => tracing::info!(count, "waiting requests expired"),
        Err(error) => tracing::error!(%error, "waiting requests cannot be expired"),
    }
}

/// Each CA lists what it has issued, whichever of them issues now.
async fn refresh_crls(pipeline: &Pipeline) {
    for generation in pipeline.generations.all() {
        let revocation = &generation.revocation;
        if !revocation.is_due() || !generation.hsm.health().borrow().ready {
            continue;
        }
        let policy_hash = pipeline.policies.active().model_hash();
        if let Err(error) = revocation.issue(policy_hash).await {
            tracing::error!(
                error = assay_runtime::telemetry::chain(&error),
                "no new CRL"
            );
        }
    }
}

/// Comes back when the health of one of the tokens' workers has changed.
async fn any_changed(health: &mut [tokio::sync::watch::Receiver<assay_hsm::Health>]) {
    // A sender that is gone changes no more; the interval goes on.
    match health {
        [first, next] => tokio::select! {
            _ = first.changed() => {}
            _ = next.changed() => {}
        },
        [first, ..] => drop(first.changed().await),
        [] => std::future::pending().await,
    }
}

/// Tells of the token once for each change.
#[derive(Default)]
struct TokenWatch {
    was_ready: [Option<bool>; 2],
}

impl TokenWatch {
    async fn look(&mut self, pipeline: &Pipeline, readiness: &Readiness) {
        let open_intents = pipeline
            .store
            .counts()
            .await
            .map_or(0, |counts| counts.open_intents);
        metrics::open_intents(open_intents);
        let approved = pipeline.policies.active().approves_next_ca();
        let generations = &pipeline.generations;
        let stage = generations.stage(approved, pipeline.recorder.clock.now());
        let current = generations.current(stage);
        let mut others = None;
        for (generation, was_ready) in generations.all().zip(&mut self.was_ready) {
            let health = generation.hsm.health().borrow().clone();
            metrics::token(generation.place, &health, generation.hsm.queue_depth());
            let cause = health
                .cause
                .clone()
                .unwrap_or_else(|| "no worker serves".to_owned());
            if !Arc::ptr_eq(generation, current) {
                let ca = generation.place.label();
                others = (!health.ready).then(|| format!("keys of the {ca} CA: {cause}"));
            } else if health.ready {
                readiness.clear("token");
            } else {
                readiness.set_cause("token", cause.clone());
            }
            if was_ready.replace(health.ready) == Some(health.ready) {
                continue;
            }
            let event = Event::TokenEvent {
                token_label: generation.hsm.token_label().into(),
                token_serial: generation.hsm.token_serial().into(),
                change: if health.ready { "ready" } else { "lost" }.into(),
                detail: if health.ready { String::new() } else { cause }.into(),
            };
            record(pipeline, event).await;
        }
        readiness.warn("token", others);
    }
}

fn look_at_policy(pipeline: &Pipeline, readiness: &Readiness) {
    let now = pipeline.recorder.clock.now_seconds();
    let in_force = pipeline.policies.active();
    let Some(expires) = in_force.expires() else {
        return readiness.set_cause(
            "policy",
            "none is in force; activate an approved version (`assay policy propose`, `approve`, `activate`)",
        );
    };
    let number = in_force.number();
    if expires <= now {
        readiness.warn("policy", None);
        return readiness.set_cause(
            "policy",
            format!("version {number} expired; activate an approved version"),
        );
    }
    readiness.clear("policy");
    let left = (expires - now) / SECONDS_A_DAY;
    let soon = left < EXPIRY_WARNING_DAYS;
    readiness.warn(
        "policy",
        soon.then(|| format!("version {number} expires in {left} days; have a new one approved")),
    );
}

async fn look_at_clock(pipeline: &Pipeline) {
    if let Some(delta_ms) = pipeline.recorder.clock.step() {
        tracing::warn!(delta_ms, "the wall clock was stepped");
        record(pipeline, Event::ClockStep { delta_ms }).await;
    }
}

async fn record(pipeline: &Pipeline, event: Event) {
    let policy_hash = pipeline.policies.active().model_hash();
    if let Err(error) = pipeline.record(policy_hash, event).await {
        tracing::error!(%error, "the audit log cannot be written");
    }
}
