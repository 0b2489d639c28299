//! What is done beside requests: open intents are finished, the token and the clock are watched, counts are written.

use std::sync::Arc;
use std::time::Duration;

use assay_audit::Event;
use assay_runtime::drain::Shutdown;
use assay_runtime::ops::Readiness;
use assay_runtime::telemetry;
use assay_store::{CrlReason, PRUNE_BATCH, Retention, Store};
use tokio::sync::Mutex;
use tokio::time::MissedTickBehavior;

use crate::anchor::Unlogged;
use crate::app::Parts;
use crate::metrics;
use crate::pipeline::{Finish, Recovered, Refusals};
use crate::policies::Policies;
use crate::recorder::Recorder;
use crate::rollover::Generations;

/// The name of the clock in `/readyz`.
const CLOCK: &str = "clock";
/// The name of the state in `/readyz`.
const STATE: &str = "state";
/// The actor of revocations that a schedule makes.
const SCHEDULE: &str = "assay://signer/schedule";
/// How often the watch looks.
const INTERVAL: Duration = Duration::from_secs(1);
/// How often old rows are removed.
const PRUNE_INTERVAL: Duration = Duration::from_secs(10);
/// Rows of one kind that are made in a second at most, over time: two quotas or two pieces of evidence for each of 200
/// certificates, and the evidence of 20 refusals. hsm.toml allows fewer certificates by default, 2,000 in an hour.
const ROWS_PER_SECOND: u64 = 2 * 200 + 20;

/// Batches each `interval` that remove twice what is made in it, so that rows of a day that end together are gone within
/// another day.
pub(crate) const fn prune_batches(interval: Duration) -> u64 {
    (2 * ROWS_PER_SECOND * interval.as_secs()).div_ceil(PRUNE_BATCH as u64)
}

/// How long a CertRep is kept for a byte-identical retransmission; devices come back after weeks in a drawer.
const REPLY_RETENTION: Duration = Duration::from_secs(30 * 86_400);
/// How long a quota's window is kept: windows are of one hour.
const QUOTA_RETENTION: Duration = Duration::from_secs(2 * 3_600);
const SECONDS_A_DAY: i64 = 86_400;
/// Days before the policy in force expires from which it is told: time for people to approve the next one.
const EXPIRY_WARNING_DAYS: i64 = 14;

/// Does what is due, whether somebody asks or not.
pub(crate) struct Upkeep {
    store: Store,
    policies: Arc<Policies>,
    generations: Arc<Generations>,
    recorder: Arc<Recorder>,
    finish: Arc<Finish>,
    refusals: Arc<Refusals>,
    unlogged: Arc<Unlogged>,
    readiness: Readiness,
    /// Of each CA, whether its token was ready when last looked at.
    was_ready: Mutex<[Option<bool>; 2]>,
}

impl Upkeep {
    pub(crate) fn new(
        parts: &Parts,
        finish: Arc<Finish>,
        refusals: Arc<Refusals>,
        readiness: Readiness,
    ) -> Self {
        Self {
            store: parts.store.clone(),
            policies: Arc::clone(&parts.policies),
            generations: Arc::clone(&parts.generations),
            recorder: Arc::clone(&parts.recorder),
            finish,
            refusals,
            unlogged: Arc::clone(&parts.unlogged),
            readiness,
            was_ready: Mutex::default(),
        }
    }

    /// Runs until the shutdown: once a second, and when the health of a token changes.
    pub(crate) async fn run(self: Arc<Self>, shutdown: Shutdown) {
        let mut interval = tokio::time::interval(INTERVAL);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut prune_interval = tokio::time::interval(PRUNE_INTERVAL);
        prune_interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let health = self.generations.all();
        let mut health: Vec<_> = health.map(|generation| generation.token.health()).collect();
        loop {
            tokio::select! {
                () = shutdown.requested() => return,
                _ = prune_interval.tick() => self.prune().await,
                _ = interval.tick() => self.look().await,
                () = any_changed(&mut health) => self.look().await,
            }
        }
    }

    /// Does all of it once.
    pub(crate) async fn look(&self) {
        self.refusals.write_counts().await;
        let alarm = self.refusals.challenge_alarm();
        self.readiness.warn("challenges", alarm);
        let is_written = self.look_at_state().await;
        self.look_at_token().await;
        if let Err(error) = self.unlogged.look(&self.store, &self.readiness).await {
            tracing::warn!(
                error = telemetry::chain(&error),
                "the journal's certificates cannot be looked up"
            );
        }
        self.look_at_policy();
        self.look_at_stops();
        self.look_at_forms();
        for generation in self.generations.all() {
            generation.revocation.tell(&self.readiness);
        }
        if !self.look_at_clock().await {
            return;
        }
        let mut generations = self.generations.all();
        let has_token = generations.any(|generation| generation.token.health().borrow().ready);
        // While nothing can be written, nothing is signed again and again either.
        if is_written {
            self.expire_requests().await;
            if has_token {
                self.finish_open_intents().await;
                self.revoke_superseded().await;
            }
        }
        if has_token {
            self.refresh_crls().await;
        }
    }

    /// Writes the counts of requests that have no record of their own, at the end of the run.
    pub(crate) async fn record_last_counts(&self) {
        self.refusals.write_last_counts().await;
    }

    /// Removes stored CertReps and quota windows that nobody can ask for any more, and evidence past its time; in batches,
    /// so that no enrolment waits long for it.
    pub(crate) async fn prune(&self) {
        let clock = self.recorder.clock();
        if clock.jump.is_some() || clock.settling_until.is_some() {
            return;
        }
        let now = clock.now;
        let retention = Retention {
            replies_before: now - REPLY_RETENTION,
            quotas_before: now - QUOTA_RETENTION,
            evidence_until: now,
        };
        let mut removed = 0;
        for _ in 0..prune_batches(PRUNE_INTERVAL) {
            match self.store.prune(retention).await {
                Ok(0) => break,
                Ok(rows) => removed += rows,
                Err(error) => return tracing::warn!(%error, "old rows cannot be removed"),
            }
        }
        if removed > 0 {
            tracing::debug!(rows = removed, "old rows removed");
        }
    }

    /// Finishes each open intent that no request in this process is working on. At a wrong time one could be given up that is
    /// still to be signed.
    pub(crate) async fn finish_open_intents(&self) {
        if self.recorder.check_clock().is_err() {
            return;
        }
        let now = self.recorder.timestamp();
        let open = match self.store.open_intents(None).await {
            Ok(open) => open,
            Err(error) => return tracing::error!(%error, "open intents cannot be read"),
        };
        for intent in open {
            let serial = intent.serial.to_string();
            match self.finish.recover(intent, now).await {
                Ok(Recovered::AtWork | Recovered::Waits) => {}
                Ok(outcome) => tracing::info!(serial, ?outcome, "open intent closed"),
                Err(error) => {
                    let error = telemetry::chain(&error);
                    tracing::warn!(serial, error, "open intent kept");
                }
            }
        }
    }

    /// Revokes what was superseded once its grace period is over.
    async fn revoke_superseded(&self) {
        let now = self.recorder.timestamp();
        let due = match self.store.due_revocations(now).await {
            Ok(due) => due,
            Err(error) => return tracing::error!(%error, "due revocations cannot be read"),
        };
        for certificate in due {
            let event = Event::CertificateRevoked {
                actor: SCHEDULE.into(),
                serial: certificate.serial.to_string().into(),
                reason: CrlReason::Superseded.as_str().into(),
                successor_of: None,
            };
            let draft = self
                .recorder
                .draft(self.policies.active().model_hash(), event);
            let serial = certificate.serial;
            match self
                .store
                .revoke(
                    serial.clone(),
                    CrlReason::Superseded,
                    draft.moment.wall_ms.seconds(),
                    vec![draft],
                )
                .await
            {
                Ok(_) => {
                    if let Some(generation) = self.generations.of(&certificate.ca_id) {
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
    async fn expire_requests(&self) {
        let now = self.recorder.timestamp();
        let policy_hash = self.policies.active().model_hash();
        let recorder = Arc::clone(&self.recorder);
        let expired = self.store.expire_pending(now, move |row| {
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
    async fn refresh_crls(&self) {
        for generation in self.generations.all() {
            let revocation = &generation.revocation;
            if !revocation.is_due() || !generation.token.health().borrow().ready {
                continue;
            }
            let policy_hash = self.policies.active().model_hash();
            if let Err(error) = revocation.issue(policy_hash).await {
                tracing::error!(error = telemetry::chain(&*error), "no new CRL");
            }
        }
    }

    /// Whether changes are written.
    async fn look_at_state(&self) -> bool {
        let probed = self.store.probe().await;
        match &probed {
            Ok(()) => self.readiness.clear(STATE),
            Err(error) => self.readiness.set_cause(STATE, telemetry::chain(error)),
        }
        probed.is_ok()
    }

    async fn look_at_token(&self) {
        let open_intents = self
            .store
            .counts()
            .await
            .map_or(0, |counts| counts.open_intents);
        metrics::open_intents(open_intents);
        if let Ok(bytes) = self.store.file_bytes().await {
            metrics::state_file(bytes);
        }
        let approved = self.policies.active().approves_next_ca();
        let generations = &self.generations;
        let stage = generations.stage(approved, self.recorder.now());
        let current = generations.current(stage);
        let mut others = None;
        let mut was_ready = self.was_ready.lock().await;
        for (generation, was_ready) in generations.all().zip(&mut *was_ready) {
            let health = generation.token.health().borrow().clone();
            metrics::token(generation.place, &health, generation.token.queue_depth());
            let cause = health
                .cause
                .clone()
                .unwrap_or_else(|| "the HSM service is away".to_owned());
            if !Arc::ptr_eq(generation, current) {
                let ca = generation.place.label();
                others = (!health.ready).then(|| format!("keys of the {ca} CA: {cause}"));
            } else if health.ready {
                self.readiness.clear("token");
            } else {
                self.readiness.set_cause("token", cause.clone());
            }
            if was_ready.replace(health.ready) == Some(health.ready) {
                continue;
            }
            if health.ready {
                self.finish.try_again();
            }
            let event = Event::TokenEvent {
                token_label: generation.token.token_label().into(),
                token_serial: generation.token.token_serial().into(),
                change: if health.ready { "ready" } else { "lost" }.into(),
                detail: if health.ready { String::new() } else { cause }.into(),
            };
            self.record(event).await;
        }
        self.readiness.warn("token", others);
        let warnings = generations.first().health().warnings;
        let warnings = (!warnings.is_empty()).then(|| warnings.join("; "));
        self.readiness.warn("hsm", warnings);
    }

    /// A form that was taken out of hsm.toml after the activation.
    fn look_at_forms(&self) {
        let in_force = self.policies.active();
        let generations = &self.generations;
        let uncovered = in_force
            .profiles()
            .flat_map(|profile| generations.uncovered(profile));
        let uncovered: Vec<String> = uncovered.map(|error| error.to_string()).collect();
        let warning = (!uncovered.is_empty()).then(|| {
            format!(
                "requests are answered as in an outage: {}",
                uncovered.join("; ")
            )
        });
        self.readiness.warn("forms", warning);
    }

    /// A stop is what an operator wanted, so that the signer is ready; the devices of the profile get nothing all the same.
    fn look_at_stops(&self) {
        let stops = self.policies.stops();
        let named: Vec<String> = stops
            .iter()
            .map(|stop| format!("{} since {}", stop.profile, stop.stopped_at))
            .collect();
        let warning = (!named.is_empty()).then(|| {
            format!(
                "stopped, so that nothing is issued: {}; a version of the policy that resumes them ends that",
                named.join(", ")
            )
        });
        self.readiness.warn("profiles", warning);
    }

    fn look_at_policy(&self) {
        let now = self.recorder.timestamp();
        let in_force = self.policies.active();
        let Some(expires) = in_force.expires() else {
            return self.readiness.set_cause(
                "policy",
                "none is in force; activate an approved version (`assay policy propose`, `approve`, `activate`)",
            );
        };
        let number = in_force.number();
        if expires <= now {
            self.readiness.warn("policy", None);
            return self.readiness.set_cause(
                "policy",
                format!("version {number} expired; activate an approved version"),
            );
        }
        self.readiness.clear("policy");
        let left = expires.seconds_since(now) / SECONDS_A_DAY;
        let soon = left < EXPIRY_WARNING_DAYS;
        self.readiness.warn(
            "policy",
            soon.then(|| {
                format!("version {number} expires in {left} days; have a new one approved")
            }),
        );
    }

    /// Whether the clock is right.
    async fn look_at_clock(&self) -> bool {
        let clock = self.recorder.clock();
        let settling = clock.settling_until;
        let settling = settling.map(|until| {
            format!("a jump was accepted: nothing is pruned, or dropped from a CRL, until {until}")
        });
        self.readiness.warn(CLOCK, settling);
        if let Some(jump) = clock.jump {
            self.readiness.set_cause(CLOCK, jump.to_string());
            return false;
        }
        self.readiness.clear(CLOCK);
        if let Some(delta_ms) = self.recorder.clock_step() {
            tracing::warn!(delta_ms, "the wall clock was stepped");
            self.record(Event::ClockStep { delta_ms }).await;
        }
        true
    }

    async fn record(&self, event: Event) {
        let policy_hash = self.policies.active().model_hash();
        let recorded = self.recorder.append(&self.store, policy_hash, event);
        if let Err(error) = recorded.await {
            tracing::error!(%error, "the audit log cannot be written");
        }
    }
}

/// Comes back when the health of one of the tokens has changed.
async fn any_changed(health: &mut [tokio::sync::watch::Receiver<assay_hsm::Health>]) {
    // A sender that is gone changes no more; the interval continues.
    match health {
        [first, next] => tokio::select! {
            _ = first.changed() => {}
            _ = next.changed() => {}
        },
        [first, ..] => drop(first.changed().await),
        [] => std::future::pending().await,
    }
}
