//! Puts the parts together, in the order in which each may refuse to start, and runs them until told to stop.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use assay_audit::{Event, Record};
use assay_hsm::SignatureAlgorithm;
use assay_proto::v1::administration_server::AdministrationServer;
use assay_proto::v1::enrolment_server::EnrolmentServer;
use assay_runtime::drain::{Drained, Shutdown};
use assay_runtime::mtls::{self, Server};
use assay_runtime::ops::{Ops, Readiness};
use assay_runtime::ready::Ready;
use assay_runtime::telemetry;
use assay_store::{IssuerRow, Options, Store, StoreError};
use openssl::hash::MessageDigest;

use crate::administration::AdministrationService;
use crate::admission::Admission;
use crate::challenge_key::ChallengeKey;
use crate::clock::Clock;
use crate::config::CrlConfig;
use crate::enrolment::EnrolmentService;
use crate::generation::{Generation, Place};
use crate::issuing_ca::RaState;
use crate::log::Log;
use crate::pipeline::{Aggregate, Decoy, Finish, LEAST_TICK, Pipeline};
use crate::policies::Policies;
use crate::ra::warn_of_single_ra;
use crate::recorder::Recorder;
use crate::rollover::Generations;
use crate::settings::{GenerationSettings, Listener, RolloverSettings, Settings};
use crate::{administration, expiry, log, metrics, recovery, rollover};

/// What was accepted is finished within this after a signal.
const DRAIN: Duration = Duration::from_secs(10);
/// Largest gRPC message taken: a bundle of policy files or ten thousand inventory names stay below.
const MAX_ADMINISTRATION_MESSAGE: usize = 16 * 1024 * 1024;
/// A pkiMessage of the largest size that the codec reads, and its envelope.
const MAX_ENROLMENT_MESSAGE: usize = 256 * 1024;

/// A run that ended otherwise than as asked.
pub(crate) enum RunError {
    /// Refused to start.
    Start(Box<dyn Error>),
    /// Failed while serving.
    Serve(Box<dyn Error>),
}

impl<E: Error + 'static> From<E> for RunError {
    fn from(error: E) -> Self {
        Self::Start(Box::new(error))
    }
}

/// Runs the signer until SIGTERM or SIGINT.
pub(crate) async fn run(
    settings: Settings,
    without_policy: bool,
    ready_file: Option<&Path>,
) -> Result<(), RunError> {
    let shutdown = Shutdown::on_signals()?;
    let prometheus = telemetry::metrics("assay-signer", env!("CARGO_PKG_VERSION"))?;
    metrics::describe();
    if settings.limits.refusal_tick < LEAST_TICK {
        tracing::warn!("limits.refusal_tick is none: when a refusal leaves tells what failed");
    }
    let readiness = Readiness::waiting_for(&["token", "policy"]);

    let store = Store::open(&settings.state, &Options::default())?;
    // Before anything is added to it, and before the token's PIN is used.
    let audit_log = store.check_log().await??;
    let challenge_key = ChallengeKey::load(&settings.challenge_key)?;
    let clock = Clock::new(latest_record_ms(&store).await?);
    let recorder = Arc::new(Recorder::new(settings.config_hash, clock)?);
    let now = recorder.clock.now();
    let in_force =
        administration::load_active(&store, &settings.terms, without_policy, now).await?;
    let policies = Policies::new(in_force, store.stops().await?);
    let enrolment = bind(&settings.enrolment).await?;
    let administration = bind(&settings.administration).await?;
    let ops = Ops::bind(&settings.ops).await?;

    if settings.first.ocsp.is_none() {
        store.disable_ocsp().await?;
    }
    let (crl, first, rollover) = (settings.crl, settings.first, settings.rollover);
    let generations = Arc::new(start_cas(first, rollover, crl, &store, &recorder).await?);
    for generation in generations.all() {
        let ca = &generation.ca;
        let kept = store.keep_issuer(IssuerRow {
            ca_id: ca.id.clone(),
            certificates: ca.issuers(),
            since: recorder.clock.now_seconds(),
        });
        kept.await?;
    }
    for profile in policies.active().profiles() {
        generations.serve(profile, now)?;
        warn_of_single_ra(profile, now);
    }
    let pipeline = Arc::new(Pipeline {
        finish: Finish::new(
            store.clone(),
            Arc::clone(&generations),
            Arc::clone(&recorder),
        ),
        log: Log::open(
            store.clone(),
            Arc::clone(&generations),
            Arc::clone(&recorder),
            settings.audit_log,
            audit_log,
        )?,
        admission: Admission::new(&settings.limits),
        message_limits: assay_scep::Limits::default(),
        refusals: Aggregate::default(),
        decoy: Decoy::new()?,
        audit: settings.audit,
        limits: settings.limits,
        terms: settings.terms,
        generations,
        store,
        policies,
        challenge_key,
        recorder,
    });
    pipeline
        .record(
            pipeline.policies.active().model_hash(),
            Event::ServiceStarted {
                schema: assay_store::VERSION,
            },
        )
        .await?;

    recovery::strip_challenges(&pipeline).await?;
    // What a former run left unfinished is finished before anything new is begun.
    recovery::finish_open_intents(&pipeline).await;
    let mut ready = Ready::this_process();
    ready.enrolment = Some(enrolment.local_addr());
    ready.administration = Some(administration.local_addr());
    ready.ops = Some(ops.local_addr());
    ops.serve(prometheus, readiness.clone(), &shutdown);
    shutdown.spawn(recovery::watch(
        Arc::clone(&pipeline),
        readiness.clone(),
        shutdown.clone(),
    ));
    shutdown.spawn(log::watch(
        Arc::clone(&pipeline),
        readiness.clone(),
        shutdown.clone(),
    ));
    shutdown.spawn(expiry::watch(
        Arc::clone(&pipeline),
        readiness.clone(),
        shutdown.clone(),
    ));
    shutdown.spawn(rollover::watch(
        Arc::clone(&pipeline),
        readiness.clone(),
        shutdown.clone(),
    ));
    let responders = pipeline.generations.all();
    for ocsp in responders.filter_map(|generation| generation.ocsp.as_ref()) {
        shutdown.spawn(Arc::clone(ocsp).run(readiness.clone(), shutdown.clone()));
    }
    serve(&pipeline, enrolment, administration, readiness, &shutdown);
    if let Some(file) = ready_file {
        ready.write(file)?;
    }
    tracing::info!(?ready, "serving");

    shutdown.requested().await;
    if let Drained::Abandoned(tasks) = shutdown.drain(DRAIN).await {
        tracing::warn!(
            tasks,
            "stopping although work is unfinished; recovery will finish it"
        );
    }
    let recorded = last_records(&pipeline).await;
    for generation in pipeline.generations.all() {
        generation.hsm.shutdown().await;
    }
    recorded.map_err(|error| RunError::Serve(Box::new(error)))
}

/// The CA, and the one that takes over where there is one.
async fn start_cas(
    first: GenerationSettings,
    rollover: Option<RolloverSettings>,
    crl: CrlConfig,
    store: &Store,
    recorder: &Arc<Recorder>,
) -> Result<Generations, RunError> {
    let now = recorder.clock.now();
    let Some(rollover) = rollover else {
        let (place, ra) = (Place::First, RaState::Answers);
        let first = Generation::start(first, place, crl, ra, store, recorder, now).await?;
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
    let first = Generation::start(first, place, lists, ra, store, recorder, now).await?;
    let (place, ra) = (Place::Next, RaState::Answers);
    let next = Generation::start(next, place, crl, ra, store, recorder, now).await?;
    let kept = store.find_rollover(next.ca.id.clone()).await?;
    rollover::check_time(switch_at, kept, now)?;
    Ok(Generations::with_next(first, next, switch_at, overlap))
}

/// The end of this run in the log, and the checkpoint over it while the token still signs.
async fn last_records(pipeline: &Pipeline) -> Result<(), StoreError> {
    let policy_hash = pipeline.policies.active().model_hash();
    let stopped = Event::ServiceStopped {
        cause: "signal".into(),
    };
    pipeline.log.close_counts(policy_hash).await?;
    pipeline.record(policy_hash, stopped).await?;
    if let Err(error) = pipeline.log.checkpoint(policy_hash).await {
        // Nothing is lost: the next start signs for these records too.
        let error = telemetry::chain(&error);
        tracing::warn!(error, "the last records are not under a checkpoint yet");
    }
    Ok(())
}

async fn bind(listener: &Listener) -> Result<Server, mtls::MtlsError> {
    Server::bind(listener.listen, &listener.files, listener.allow.clone()).await
}

fn serve(
    pipeline: &Arc<Pipeline>,
    enrolment: Server,
    administration: Server,
    readiness: Readiness,
    shutdown: &Shutdown,
) {
    let service = EnrolmentServer::new(EnrolmentService {
        pipeline: Arc::clone(pipeline),
        shutdown: shutdown.clone(),
    })
    .max_decoding_message_size(MAX_ENROLMENT_MESSAGE);
    let service = tonic::service::interceptor::InterceptedService::new(service, mtls::authorise);
    listen(
        "enrolment",
        tonic::transport::Server::builder().add_service(service),
        enrolment,
        shutdown,
    );

    let service =
        AdministrationServer::new(AdministrationService::new(Arc::clone(pipeline), readiness))
            .max_decoding_message_size(MAX_ADMINISTRATION_MESSAGE);
    let service = tonic::service::interceptor::InterceptedService::new(service, mtls::authorise);
    listen(
        "administration",
        tonic::transport::Server::builder().add_service(service),
        administration,
        shutdown,
    );
}

fn listen(
    name: &'static str,
    router: tonic::transport::server::Router,
    server: Server,
    shutdown: &Shutdown,
) {
    let stop = shutdown.clone();
    let incoming = server.incoming(shutdown.token());
    shutdown.spawn(async move {
        let served = router
            .serve_with_incoming_shutdown(incoming, async move { stop.requested().await })
            .await;
        if let Err(error) = served {
            tracing::error!(
                listener = name,
                error = telemetry::chain(&error),
                "listener ended"
            );
        }
    });
}

/// Wall time of the newest audit record, 0 in an empty log.
async fn latest_record_ms(store: &Store) -> Result<i64, RunError> {
    let last = store.counts().await?.audit_records;
    let newest = store.list_audit(last.saturating_sub(1), 1, None).await?;
    match newest.first() {
        Some(row) => Ok(Record::from_canonical(&row.record)?.draft.moment.wall_ms),
        None => Ok(0),
    }
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
