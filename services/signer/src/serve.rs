//! The process of the signer: its state file, the HSM service, its listeners, until it is asked to stop.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use assay_hsm::{Hsm, Token};
use assay_issuance::{
    Environment, GenerationSettings, OpenSslRandom, Prepared, StartFailure, SystemClock,
};
use assay_proto::v1::administration_server::AdministrationServer;
use assay_proto::v1::enrolment_server::EnrolmentServer;
use assay_runtime::drain::{Drained, Shutdown};
use assay_runtime::mtls::{CallLimits, MAX_CALLS, Server, check_anchors_apart};
use assay_runtime::ops::Ops;
use assay_runtime::ready::Ready;
use assay_runtime::telemetry;
use assay_store::{Options, StateKey, Store};
use assay_types::MAX_CRL;

use crate::app::Signer;
use crate::metrics;
use crate::settings::{Listener, Settings};

/// What was accepted is finished within this after a signal.
const DRAIN: Duration = Duration::from_secs(10);
/// Largest gRPC message taken: a bundle of policy files or ten thousand inventory names stay below.
const MAX_ADMINISTRATION_MESSAGE: usize = 16 * 1024 * 1024;
/// A pkiMessage of the largest size that the codec reads, and its envelope.
const MAX_ENROLMENT_MESSAGE: usize = 256 * 1024;

/// The limits of one frontend. Its requests are a few kilobytes each, so that the bytes are those of all its calls at once.
const ENROLMENT: CallLimits = CallLimits {
    calls: MAX_CALLS,
    // One task of a frontend asks for both, one after the other; a frontend and its successor may run side by side.
    calls_of: &[
        ("/assay.v1.Enrolment/PublicInfo", 4),
        ("/assay.v1.Enrolment/FileContent", 4),
    ],
    received: 32 * MAX_ENROLMENT_MESSAGE,
    unsent: 32 * MAX_ENROLMENT_MESSAGE,
    request_time: Duration::from_secs(10),
    answer_time: Duration::from_secs(60),
    reply_time: Duration::from_secs(15),
};

/// The limits of one person: a few commands side by side, each as long as it needs.
const ADMINISTRATION: CallLimits = CallLimits {
    calls: 32,
    calls_of: &[],
    received: 2 * MAX_ADMINISTRATION_MESSAGE,
    // The largest reply is a CRL, of which the present CA and the one that takes over have one each.
    unsent: 2 * MAX_CRL,
    request_time: Duration::from_secs(60),
    answer_time: Duration::from_secs(900),
    // Longer than an export waits for its reader, who is then told why it ends.
    reply_time: Duration::from_secs(60),
};

/// Addresses that are bound, and at which nobody is served yet. Binding starts no thread and needs no runtime.
pub struct Listeners {
    enrolment: Server,
    administration: Server,
    ops: Ops,
}

impl Listeners {
    /// Binds the addresses of the configuration.
    ///
    /// # Errors
    /// Where one is taken, or a certificate cannot be used.
    pub fn bind(settings: &Settings) -> Result<Self, StartFailure> {
        let bind = |listener: &Listener, limits| {
            Server::bind(
                listener.listen,
                &listener.files,
                listener.allow.clone(),
                limits,
            )
        };
        check_anchors_apart(
            ("enrolment", &settings.enrolment.files),
            ("administration", &settings.administration.files),
        )?;
        Ok(Self {
            enrolment: bind(&settings.enrolment, ENROLMENT)?,
            administration: bind(&settings.administration, ADMINISTRATION)?,
            ops: Ops::bind(&settings.ops)?,
        })
    }
}

/// A run that ended otherwise than as asked.
#[derive(Debug)]
pub enum RunError {
    /// Refused to start.
    Start(StartFailure),
    /// Failed while serving.
    Serve(StartFailure),
}

/// Runs the signer until SIGTERM or SIGINT. Once all its addresses are bound they are written to `ready_file`.
///
/// # Errors
/// [`RunError::Start`] for whatever makes the start unsafe, [`RunError::Serve`] where the last records cannot be written.
pub async fn run(
    settings: Settings,
    listeners: Listeners,
    clock: SystemClock,
    without_policy: bool,
    ready_file: Option<&Path>,
) -> Result<(), RunError> {
    let shutdown = Shutdown::on_signals().map_err(|error| RunError::Start(error.into()))?;
    let clock = Arc::new(clock);
    let started = start(
        settings,
        listeners,
        clock,
        without_policy,
        ready_file,
        &shutdown,
    );
    let signer = Box::pin(started).await.map_err(RunError::Start)?;
    shutdown.requested().await;
    if let Drained::Abandoned(tasks) = shutdown.drain(DRAIN).await {
        tracing::warn!(
            tasks,
            "stopping although work is unfinished; recovery will finish it"
        );
    }
    let stopped = signer.issuance().stop().await;
    stopped.map_err(|error| RunError::Serve(error.into()))
}

async fn start(
    settings: Settings,
    listeners: Listeners,
    clock: Arc<SystemClock>,
    without_policy: bool,
    ready_file: Option<&Path>,
    shutdown: &Shutdown,
) -> Result<Signer, StartFailure> {
    let prometheus = telemetry::metrics("assay-signer", env!("CARGO_PKG_VERSION"))?;
    metrics::describe();
    let hsm = Hsm::connect(settings.hsm).await?;
    hsm.set_observer(Arc::new(metrics::token_operation));
    let environment = Environment {
        store: Store::open(&settings.state, &state_key(&hsm), &Options::default())?,
        clock,
        random: Arc::new(OpenSslRandom),
        shutdown: shutdown.clone(),
        journal: Some(hsm.welcome().journal.clone()),
    };
    let origin = settings.issuance.audit_log.origin.clone();
    let prepared = Prepared::new(settings.issuance, environment, without_policy).await?;
    let Listeners {
        enrolment,
        administration,
        ops,
    } = listeners;
    check_origin(&hsm, &origin)?;
    let issuance = prepared
        .start(async |ca: &GenerationSettings| {
            Ok(Arc::new(hsm.ca(&ca.hsm_certificates())?) as Arc<dyn Token>)
        })
        .await?;
    let signer = Signer::new(issuance);
    let mut ready = Ready::this_process();
    ready.enrolment = Some(enrolment.local_addr());
    ready.administration = Some(administration.local_addr());
    ready.ops = Some(ops.local_addr());
    ops.serve(prometheus, signer.issuance().readiness().clone(), shutdown)?;
    signer.issuance().watch();
    serve(&signer, enrolment, administration, shutdown)?;
    if let Some(file) = ready_file {
        ready.write(file)?;
    }
    tracing::info!(?ready, "serving");
    Ok(signer)
}

/// Makes the state, for a CA whose keys have signed nothing yet, and returns where it is.
///
/// # Errors
/// Where the HSM service has signed before, or there is a state.
pub async fn create_state(settings: Settings) -> Result<PathBuf, StartFailure> {
    let hsm = Hsm::connect(settings.hsm).await?;
    let journal = &hsm.welcome().journal;
    let has_signed = journal.log_size > 0
        || !journal.unlogged.is_empty()
        || journal.crl_numbers.iter().any(Option::is_some);
    if has_signed {
        let size = journal.log_size;
        return Err(format!(
            "--create-state is for a CA that has signed nothing, and the HSM service has signed a log of {size} records: restore \
             the state from a backup, and recover what it lacks (docs/recovery.md)"
        )
        .into());
    }
    Store::create(&settings.state, &state_key(&hsm), &Options::default())?;
    Ok(settings.state)
}

/// The statement that approvers sign before the state, which was restored from a backup, is recovered by this export of the journal of
/// the HSM service.
///
/// # Errors
/// Where the state, the export and the HSM service do not go together, or nothing is lost.
pub async fn propose_recovery(
    settings: Settings,
    clock: SystemClock,
    export: File,
    policy_floor: u64,
    reason: String,
) -> Result<Vec<u8>, StartFailure> {
    let hsm = Hsm::connect(settings.hsm).await?;
    let environment = restored(&hsm, &settings.state, clock)?;
    let statement = assay_issuance::propose_recovery(
        &settings.issuance,
        &environment,
        export,
        policy_floor,
        reason,
    );
    Ok(statement.await?.to_text()?)
}

/// Recovers the state by this export of the journal, as the statement says, which the makers of `approvals` have signed. Returns a
/// line about what was done.
///
/// # Errors
/// Where they are not enough, or anything does not go together. Nothing was changed then.
pub async fn recover(
    settings: Settings,
    clock: SystemClock,
    export: File,
    statement: Vec<u8>,
    approvals: Vec<Vec<u8>>,
) -> Result<String, StartFailure> {
    let hsm = Hsm::connect(settings.hsm).await?;
    check_origin(&hsm, &settings.issuance.audit_log.origin)?;
    let environment = restored(&hsm, &settings.state, clock)?;
    let open = async |ca: &GenerationSettings| {
        Ok(Arc::new(hsm.ca(&ca.hsm_certificates())?) as Arc<dyn Token>)
    };
    let issuance = settings.issuance;
    let done =
        assay_issuance::recover(issuance, environment, export, statement, approvals, open).await?;
    Ok(format!(
        "recovered {}: {} certificates and {} revocations, holds and releases were taken up; {} intents, {} requests and {} challenges \
         ended; {} names of inventories count as used; {} profiles are stopped until a new version of the policy resumes them",
        settings.state.display(),
        done.certificates,
        done.statuses,
        done.intents,
        done.requests,
        done.challenges,
        done.names,
        done.stops,
    ))
}

/// The environment of a recovery.
fn restored(hsm: &Hsm, state: &Path, clock: SystemClock) -> Result<Environment, StartFailure> {
    Ok(Environment {
        store: Store::open(state, &state_key(hsm), &Options::default())?,
        clock: Arc::new(clock),
        random: Arc::new(OpenSslRandom),
        shutdown: Shutdown::new(),
        journal: Some(hsm.welcome().journal.clone()),
    })
}

fn state_key(hsm: &Hsm) -> StateKey {
    hsm.welcome().state_key.bytes().into()
}

/// The log has one name on both sides.
fn check_origin(hsm: &Hsm, ours: &str) -> Result<(), StartFailure> {
    match &hsm.welcome().log {
        Some(log) if log.origin != ours => Err(format!(
            "audit.origin is `{ours}` and the HSM service signs for the log `{}`: write one name into signer.toml and hsm.toml",
            log.origin
        )
        .into()),
        Some(_) | None => Ok(()),
    }
}

fn serve(
    signer: &Signer,
    enrolment: Server,
    administration: Server,
    shutdown: &Shutdown,
) -> io::Result<()> {
    let service = EnrolmentServer::from_arc(Arc::clone(signer.enrolment()))
        .max_decoding_message_size(MAX_ENROLMENT_MESSAGE);
    enrolment.serve("enrolment", service, shutdown)?;

    let service = AdministrationServer::from_arc(Arc::clone(signer.administration()))
        .max_decoding_message_size(MAX_ADMINISTRATION_MESSAGE);
    administration.serve("administration", service, shutdown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_states_the_limits() {
        let text = include_str!("../../../SECURITY.md");
        let seconds = |limits: &CallLimits| {
            let times = [limits.request_time, limits.answer_time, limits.reply_time];
            times.map(|time| match time.as_secs() {
                seconds @ 0..=60 => format!("{seconds} s"),
                seconds => format!("{} min", seconds / 60),
            })
        };
        let [enrolment, administration] =
            [&ENROLMENT, &ADMINISTRATION].map(|limits| seconds(limits).join(", "));
        let mebibytes = |bytes: usize| bytes >> 20;
        // In tenths, rounded.
        let crls = (ADMINISTRATION.unsent * 10 + (1 << 19)) >> 20;
        let rows = [
            format!("| {}", ADMINISTRATION.calls),
            format!(
                "the length that they announce | {} MiB | {} MiB |",
                mebibytes(ENROLMENT.received),
                mebibytes(ADMINISTRATION.received)
            ),
            format!(
                "made and not sent | {} MiB | two CRLs of 500,000 entries, {}.{} MiB |",
                mebibytes(ENROLMENT.unsent),
                crls / 10,
                crls % 10
            ),
            format!("reading 64 KiB of it | {enrolment} | {administration} |"),
        ];
        for row in rows {
            assert!(text.contains(&row), "SECURITY.md lacks: {row}");
        }
    }
}
