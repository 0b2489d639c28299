//! Puts the parts together, in the order in which each may refuse to start.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use assay_audit::{Event, Moment, Record};
use assay_hsm::wire::JournalInfo;
use assay_hsm::{SignatureAlgorithm, StartError, Token};
use assay_runtime::drain::Shutdown;
use assay_runtime::ops::Readiness;
use assay_runtime::telemetry;
use assay_store::{AuditQuery, IssuerRow, LogState, Store, StoreError};
use assay_types::Timestamp;
use openssl::hash::MessageDigest;

use crate::admission::Admission;
use crate::anchor::{self, Unlogged};
use crate::challenge_key::ChallengeKey;
use crate::clock::{AcceptedJump, Clock, Past, SignerClock};
use crate::generation::{Generation, Place};
use crate::issuing_ca::RaState;
use crate::load_active::load_active;
use crate::log::Log;
use crate::ocsp::Ocsp;
use crate::pipeline::{Finish, LEAST_TICK, Pipeline, Refusals};
use crate::policies::Policies;
use crate::ra::warn_of_single_ra;
use crate::random::Random;
use crate::record_budget::RecordBudgets;
use crate::recorder::Recorder;
use crate::rollover::{self, Generations, Rollover};
use crate::settings::{CrlConfig, GenerationSettings, LimitsConfig, RolloverSettings, Settings};
use crate::terms::Terms;
use crate::upkeep::Upkeep;
use crate::{expiry, log};

/// Why the signer refused to start; its text says how to fix it.
pub type StartFailure = Box<dyn Error>;

/// What the signer stands on beside its tokens.
pub struct Environment {
    /// The state.
    pub store: Store,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The source of serial numbers, challenges, salts and ids.
    pub random: Arc<dyn Random>,
    /// Ends its tasks.
    pub shutdown: Shutdown,
    /// The log as the journal of the HSM service has it. Only a token in software has no journal.
    pub journal: Option<JournalInfo>,
}

/// The core of a signer that has proven its state and its policy and has not opened its tokens yet.
pub struct Prepared {
    settings: Settings,
    environment: Environment,
    audit_log: LogState,
    unlogged: Unlogged,
    challenge_key: ChallengeKey,
    recorder: Arc<Recorder>,
    budgets: RecordBudgets,
    policies: Policies,
}

/// What several contexts work on. Each takes of it what it needs, and keeps no more.
pub struct Parts {
    /// The state.
    pub store: Store,
    /// The policy in force, and the profiles that are stopped.
    pub policies: Arc<Policies>,
    /// The terms that a version of the policy is checked against.
    pub terms: Arc<Terms>,
    /// The CA, and the one that takes over.
    pub generations: Arc<Generations>,
    /// Makes audit records and tells the time.
    pub recorder: Arc<Recorder>,
    /// Makes challenges and finds them.
    pub challenge_key: Arc<ChallengeKey>,
    /// The source of randomness.
    pub random: Arc<dyn Random>,
    /// The log's head.
    pub log: Arc<Log>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) budgets: Arc<RecordBudgets>,
    pub(crate) unlogged: Arc<Unlogged>,
}

/// The core of the signer: what answers requests, and what it does by itself.
pub struct Issuance {
    parts: Parts,
    pipeline: Arc<Pipeline>,
    upkeep: Arc<Upkeep>,
    rollover: Arc<Rollover>,
    readiness: Readiness,
    shutdown: Shutdown,
}

impl Prepared {
    /// Holds the log to its hashes and its checkpoint and the policy in force to its approvals. `without_policy` leaves the
    /// policy out.
    ///
    /// # Errors
    /// Whatever makes the start unsafe.
    pub async fn new(
        settings: Settings,
        environment: Environment,
        without_policy: bool,
    ) -> Result<Self, StartFailure> {
        if settings.limits.refusal_tick < LEAST_TICK {
            tracing::warn!("limits.refusal_tick is none: when a refusal leaves tells what failed");
        }
        let Environment {
            store,
            clock,
            random,
            shutdown: _,
            journal,
        } = &environment;
        let signed = journal.as_ref().map_or(0, |journal| journal.log_size);
        // Before anything is added to it.
        let audit_log = store.check_log(signed).await??;
        if let Some(journal) = journal {
            anchor::check(&audit_log, journal)?;
        }
        let unlogged = Unlogged::among(journal.as_ref());
        let challenge_key = ChallengeKey::load(&settings.challenge_key)?;
        challenge_key.hold(store, &settings.challenge_key).await?;
        let past = past(store, journal.as_ref()).await?;
        let newest = past.newest.map(|moment| moment.wall_ms);
        let latest = newest.unwrap_or_default();
        let clock = SignerClock::new(Arc::clone(clock), &past);
        let recorder = Arc::new(Recorder::new(settings.config_hash, clock, &**random)?);
        let begin = recorder.budget_time();
        let quiet = begin.wall.millis().saturating_sub(latest.millis());
        let quiet = Duration::from_millis(quiet.unsigned_abs());
        let budgets = RecordBudgets::new(quiet, begin);
        let now = recorder.now();
        let in_force = load_active(store, &settings.terms, without_policy, now).await?;
        let policies = Policies::new(in_force, store.stops().await?);
        Ok(Self {
            settings,
            environment,
            audit_log,
            unlogged,
            challenge_key,
            recorder,
            budgets,
            policies,
        })
    }

    /// Opens the keys of each CA by `open`, and finishes what a former run left unfinished.
    ///
    /// # Errors
    /// Whatever makes the start unsafe.
    pub async fn start(
        self,
        open: impl AsyncFn(&GenerationSettings) -> Result<Arc<dyn Token>, StartError>,
    ) -> Result<Issuance, StartFailure> {
        let Self {
            settings,
            environment,
            audit_log,
            unlogged,
            challenge_key,
            recorder,
            budgets,
            policies,
        } = self;
        let Environment {
            store,
            clock: _,
            random,
            shutdown,
            journal: _,
        } = environment;
        let now = recorder.now();
        if settings.first.ocsp.is_none() {
            store.disable_ocsp().await?;
        }
        let (crl, first, rollover) = (settings.crl, settings.first, settings.rollover);
        let generations = start_cas(first, rollover, crl, &store, &recorder, &open).await?;
        let generations = Arc::new(generations);
        for generation in generations.all() {
            let ca = &generation.ca;
            let kept = store.keep_issuer(IssuerRow {
                ca_id: ca.id.clone(),
                certificates: ca.issuers(),
                since: recorder.timestamp(),
            });
            kept.await?;
        }
        for profile in policies.active().profiles() {
            generations.serve(profile, now)?;
            warn_of_single_ra(profile, now);
        }
        let unlogged = Arc::new(unlogged);
        let log = Log::open(
            store.clone(),
            Arc::clone(&generations),
            Arc::clone(&recorder),
            settings.audit_log,
            audit_log,
            Arc::clone(&unlogged),
        )?;
        let parts = Parts {
            store,
            policies: Arc::new(policies),
            terms: Arc::new(settings.terms),
            generations,
            recorder,
            challenge_key: Arc::new(challenge_key),
            random,
            log: Arc::new(log),
            admission: Arc::new(Admission::new(&settings.limits)),
            budgets: Arc::new(budgets),
            unlogged,
        };
        Issuance::assemble(parts, &settings.limits, settings.keep_evidence, shutdown).await
    }
}

impl Issuance {
    async fn assemble(
        parts: Parts,
        limits: &LimitsConfig,
        keep_evidence: Duration,
        shutdown: Shutdown,
    ) -> Result<Self, StartFailure> {
        let readiness = Readiness::waiting_for(&["token", "policy", "journal", "clock", "state"]);
        // The state knows most of what the journal names; nothing waits for that to be found out.
        parts.unlogged.look(&parts.store, &readiness).await?;
        let finish = Arc::new(Finish::new(&parts));
        let refusals = Arc::new(Refusals::new(&parts));
        let pipeline = Pipeline::new(
            &parts,
            limits,
            keep_evidence,
            Arc::clone(&finish),
            Arc::clone(&refusals),
        )?;
        let upkeep = Upkeep::new(&parts, finish, refusals, readiness.clone());
        let (kernel_boot, booted_ms) = parts.recorder.known_boot().unzip();
        let started = Event::ServiceStarted {
            schema: assay_store::VERSION,
            kernel_boot,
            booted_ms,
        };
        let policy_hash = parts.policies.active().model_hash();
        parts
            .recorder
            .append(&parts.store, policy_hash, started)
            .await?;
        // What a former run left unfinished is finished before anything new is begun.
        upkeep.finish_open_intents().await;
        Ok(Self {
            pipeline: Arc::new(pipeline),
            upkeep: Arc::new(upkeep),
            rollover: Arc::new(Rollover::new(&parts, readiness.clone())),
            parts,
            readiness,
            shutdown,
        })
    }

    /// Its parts, for the services that frontends and people call.
    pub fn parts(&self) -> &Parts {
        &self.parts
    }

    /// What answers pkiMessages.
    pub fn pipeline(&self) -> &Arc<Pipeline> {
        &self.pipeline
    }

    /// Its tasks end with it.
    pub fn shutdown(&self) -> &Shutdown {
        &self.shutdown
    }

    /// Whether it serves, and what is wrong if it does not.
    pub fn readiness(&self) -> &Readiness {
        &self.readiness
    }

    /// Does once, now, what its tasks do by schedule: what is due of upkeep, of a rollover, of OCSP and of the log.
    ///
    /// # Errors
    /// Where no checkpoint can be signed.
    pub async fn tend(&self) -> Result<(), StartFailure> {
        self.upkeep.look().await;
        self.upkeep.prune().await;
        self.rollover.look().await;
        for ocsp in self.responders() {
            ocsp.look(&self.readiness).await;
        }
        let policy_hash = self.parts.policies.active().model_hash();
        Ok(self.parts.log.checkpoint(policy_hash).await?)
    }

    fn responders(&self) -> impl Iterator<Item = &Arc<Ocsp>> {
        let all = self.parts.generations.all();
        all.filter_map(|generation| generation.ocsp.as_ref())
    }

    /// Starts its tasks, which run until the shutdown.
    pub fn watch(&self) {
        let Self {
            parts,
            readiness,
            shutdown,
            ..
        } = self;
        shutdown.spawn(Arc::clone(&self.upkeep).run(shutdown.clone()));
        shutdown.spawn(Arc::clone(&self.rollover).run(shutdown.clone()));
        shutdown.spawn(log::watch(
            Arc::clone(&parts.log),
            Arc::clone(&parts.policies),
            readiness.clone(),
            shutdown.clone(),
        ));
        shutdown.spawn(expiry::watch(
            parts.store.clone(),
            Arc::clone(&parts.policies),
            Arc::clone(&parts.recorder),
            readiness.clone(),
            shutdown.clone(),
        ));
        for ocsp in self.responders() {
            shutdown.spawn(Arc::clone(ocsp).run(readiness.clone(), shutdown.clone()));
        }
    }

    /// Writes the end of this run to the log with a checkpoint over it, and closes the tokens. Everything that was accepted
    /// is done by then.
    ///
    /// # Errors
    /// Where the log cannot be written.
    pub async fn stop(&self) -> Result<(), StoreError> {
        let recorded = self.last_records().await;
        for generation in self.parts.generations.all() {
            generation.token.shutdown().await;
        }
        recorded
    }

    async fn last_records(&self) -> Result<(), StoreError> {
        let policy_hash = self.parts.policies.active().model_hash();
        let stopped = Event::ServiceStopped {
            cause: "signal".into(),
        };
        let Parts {
            recorder,
            store,
            log,
            ..
        } = &self.parts;
        self.upkeep.record_last_counts().await;
        log.close_counts(policy_hash).await?;
        recorder.append(store, policy_hash, stopped).await?;
        if let Err(error) = log.checkpoint(policy_hash).await {
            // Nothing is lost: the next start signs for these records too.
            let error = telemetry::chain(&error);
            tracing::warn!(error, "the last records are not under a checkpoint yet");
        }
        Ok(())
    }
}

/// The CA, and the one that takes over where there is one.
pub(crate) async fn start_cas(
    first: GenerationSettings,
    rollover: Option<RolloverSettings>,
    crl: CrlConfig,
    store: &Store,
    recorder: &Arc<Recorder>,
    open: &impl AsyncFn(&GenerationSettings) -> Result<Arc<dyn Token>, StartError>,
) -> Result<Generations, StartFailure> {
    let now = recorder.now();
    let Some(rollover) = rollover else {
        let (place, ra) = (Place::First, RaState::Answers);
        let first = Generation::start(first, place, open, crl, ra, store, recorder).await?;
        return Ok(Generations::single(first));
    };
    let RolloverSettings {
        next,
        switch_at,
        overlap,
    } = rollover;
    // After the switch the old RA may end while the old CA still signs its lists.
    let ra = if now < switch_at {
        RaState::Answers
    } else {
        RaState::Ended
    };
    let (place, lists) = (Place::First, crl.clone());
    let first = Generation::start(first, place, open, lists, ra, store, recorder).await?;
    let (place, ra) = (Place::Next, RaState::Answers);
    let next = Generation::start(next, place, open, crl, ra, store, recorder).await?;
    let kept = store.find_rollover(next.ca.id.clone()).await?;
    rollover::check_time(switch_at, kept, now)?;
    Ok(Generations::with_next(first, next, switch_at, overlap))
}

/// The time before this run, as the log and the journal of the HSM service have it.
pub(crate) async fn past(
    store: &Store,
    journal: Option<&JournalInfo>,
) -> Result<Past, StartFailure> {
    let last = store.counts().await?.audit_records;
    let newest = store.audit_after(last.saturating_sub(1), 1).await?;
    let mut past = Past {
        journal: journal.map_or(Timestamp::MIN, |journal| {
            Timestamp::from_seconds(journal.newest_entry)
        }),
        ..Past::default()
    };
    let Some(newest) = newest.first() else {
        return Ok(past);
    };
    past.newest = Some(Record::from_canonical(&newest.record)?.draft.moment);
    let started = newest_of(store, "service.started").await?;
    // Every later record is of that run.
    let began = started.as_ref().map_or(0, |record| record.sequence);
    if let Some(record) = &started
        && let Event::ServiceStarted {
            kernel_boot: Some(boot),
            booted_ms: Some(booted_ms),
            ..
        } = record.draft.event
    {
        let monotonic_ms = record.draft.moment.monotonic_ms;
        let right = Moment {
            wall_ms: booted_ms + Duration::from_millis(monotonic_ms),
            monotonic_ms,
        };
        past.right = Some((right, boot));
    }
    if let Some(record) = newest_of(store, "clock.accepted").await?
        && let Event::ClockAccepted { from, to, .. } = record.draft.event
    {
        if let Some((right, _)) = past.right.as_mut().filter(|_| record.sequence > began) {
            *right = record.draft.moment;
        }
        past.accepted = Some(AcceptedJump {
            at: record.draft.moment.wall_ms.seconds(),
            earliest: from.min(to),
        });
    }
    Ok(past)
}

async fn newest_of(store: &Store, kind: &str) -> Result<Option<Record>, StartFailure> {
    let newest = store.list_audit(AuditQuery {
        kind: Some(kind.to_owned()),
        rows: 1,
        ..AuditQuery::default()
    });
    let rows = newest.await?.rows;
    let newest = rows.first().map(|row| Record::from_canonical(&row.record));
    Ok(newest.transpose()?)
}

/// The hash of the CA's signature algorithm, for verification in software.
pub(crate) fn digest_of(algorithm: SignatureAlgorithm) -> MessageDigest {
    match algorithm {
        SignatureAlgorithm::EcdsaWithSha256 | SignatureAlgorithm::Sha256WithRsa => {
            MessageDigest::sha256()
        }
        SignatureAlgorithm::EcdsaWithSha384 => MessageDigest::sha384(),
    }
}
