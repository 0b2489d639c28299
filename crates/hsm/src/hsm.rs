//! The service's handle on its token: what may be asked of the keys, and nothing more.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use assay_pkcs11::TokenIdentity;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use zeroize::Zeroizing;

use crate::job::{Job, Phase, Priority, Reply, SharedPhase, Work};
use crate::runs::Runs;
use crate::supervisor::Supervisor;
use crate::{
    Digest, Health, HsmConfig, KeyAlgorithm, KeyRole, KeyTransport, OperationError, RaKeys,
    SignatureAlgorithm, StartError, WorkerHealth, WorkerRun,
};

/// Times an operation is tried: a worker that dies with it is no verdict on it, two are.
const ATTEMPTS: usize = 2;

/// Background operations that may wait for a worker.
const BACKGROUND_QUEUE: usize = 64;

/// Told of every operation: its key's role, how long its caller waited, and whether it had an
/// answer. A bad ciphertext is an answer.
pub type Observer = Arc<dyn Fn(KeyRole, Duration, bool) + Send + Sync>;

/// The service's keys behind their workers. Cheap to clone.
#[derive(Clone)]
pub struct Hsm {
    inner: Arc<Inner>,
}

struct Inner {
    workers: Vec<Worker>,
    health: watch::Receiver<Health>,
    stop: watch::Sender<bool>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    observer: OnceLock<Observer>,
    token: TokenIdentity,
    ca_signature: SignatureAlgorithm,
    ocsp_signature: Option<SignatureAlgorithm>,
    key_transports: Vec<KeyTransport>,
    log_key: Option<LogKey>,
    runs: Arc<Runs>,
    /// How long a caller waits at most: one deadline in the queue and one in the worker. The
    /// supervisors keep both; this is for a restart that takes longer.
    patience: Duration,
}

/// The way to one supervisor.
struct Worker {
    jobs: mpsc::Sender<Job>,
    /// For what gives way to `jobs`.
    background: mpsc::Sender<Job>,
    phase: Arc<SharedPhase>,
    depth: AtomicUsize,
}

impl Hsm {
    /// Starts the workers, logs in once and checks every key.
    ///
    /// # Errors
    /// [`StartError`], whose text says how to fix it. A wrong PIN is tried once and never again.
    pub async fn start(config: HsmConfig) -> Result<Self, StartError> {
        let (workers, queue) = (config.workers, config.queue);
        let plan = Arc::new(config.into_plan()?);
        // One after the other: a wrong PIN must not be tried by each of them.
        let mut links = Vec::with_capacity(workers);
        for _ in 0..workers {
            links.push(plan.start().await?);
        }
        let Some((_, ready)) = links.first() else {
            return Err(StartError::Config {
                field: "workers".to_owned(),
                right: "start at least one".to_owned(),
            });
        };
        let (token, ca_signature) = (ready.token.clone(), ready.ca_signature);
        let ocsp_signature = ready.ocsp_signature;
        let key_transports = ready.key_transports.clone();
        let log_key = ready.log_key.clone();
        let runs = Arc::new(Runs::default());
        let (health_sender, health) = watch::channel(Health {
            // The start has just proven every key.
            ready: true,
            cause: None,
            workers: links
                .iter()
                .map(|(link, ready)| WorkerHealth {
                    pid: link.pid(),
                    healthy: true,
                    token_label: ready.token.label.clone(),
                    token_serial: ready.token.serial.clone(),
                    ..WorkerHealth::default()
                })
                .collect(),
        });
        let health_sender = Arc::new(health_sender);
        let (stop, stopped) = watch::channel(false);
        let mut workers = Vec::with_capacity(links.len());
        let mut tasks = Vec::with_capacity(links.len());
        for (number, link) in links.into_iter().enumerate() {
            let (jobs, waiting) = mpsc::channel(queue);
            let (background, waiting_in_background) = mpsc::channel(BACKGROUND_QUEUE);
            let phase = Arc::new(SharedPhase::new(Phase::Serving));
            workers.push(Worker {
                jobs,
                background,
                phase: Arc::clone(&phase),
                depth: AtomicUsize::new(0),
            });
            let supervisor = Supervisor {
                number,
                plan: Arc::clone(&plan),
                jobs: waiting,
                background: waiting_in_background,
                phase,
                health: Arc::clone(&health_sender),
                runs: Arc::clone(&runs),
                stop: stopped.clone(),
                pause: Supervisor::initial_pause(),
            };
            tasks.push(tokio::spawn(supervisor.run(link)));
        }
        Ok(Self {
            inner: Arc::new(Inner {
                workers,
                health,
                stop,
                tasks: Mutex::new(tasks),
                observer: OnceLock::new(),
                token,
                ca_signature,
                ocsp_signature,
                key_transports,
                log_key,
                runs,
                patience: plan.deadline.saturating_mul(2),
            }),
        })
    }

    /// Decrypts a content-encryption key with the RA's key for it.
    ///
    /// # Errors
    /// The outer one says that there is no answer to be had. The inner one is the token's verdict
    /// on the ciphertext; how it came about is not told.
    pub async fn decrypt(
        &self,
        request_id: &str,
        ra: RaKeys,
        transport: KeyTransport,
        ciphertext: &[u8],
    ) -> Result<Result<Plaintext, BadCiphertext>, OperationError> {
        let work = || Work::Decrypt {
            ra,
            transport,
            ciphertext: ciphertext.to_vec(),
        };
        match self.call(request_id, work).await? {
            Reply::Plaintext(plaintext) => Ok(Ok(Plaintext(plaintext))),
            Reply::BadCiphertext => Ok(Err(BadCiphertext)),
            Reply::Signature(_) => Err(OperationError::WorkerLost),
        }
    }

    /// Signs the DER `SET OF` CMS signed attributes of a reply (RFC 5652, section 5.4) with the RA's
    /// key for it, by RSASSA-PKCS1-v1_5.
    ///
    /// # Errors
    /// [`OperationError::Refused`] if the octets are no such set.
    pub async fn sign_reply(
        &self,
        request_id: &str,
        ra: RaKeys,
        digest: Digest,
        signed_attributes: &[u8],
    ) -> Result<Vec<u8>, OperationError> {
        self.sign(request_id, || Work::SignReply {
            ra,
            digest,
            signed_attributes: signed_attributes.to_vec(),
        })
        .await
    }

    /// Signs a whole TBSCertificate or TBSCertList (RFC 5280, sections 4.1 and 5.1) with the CA
    /// key. Returns the signature value as it stands in the certificate: DER for ECDSA.
    ///
    /// # Errors
    /// [`OperationError::Refused`] for another issuer or algorithm than the CA's, and for a
    /// certificate of a CA.
    pub async fn sign_tbs(&self, request_id: &str, tbs: &[u8]) -> Result<Vec<u8>, OperationError> {
        self.sign(request_id, || Work::SignTbs { tbs: tbs.to_vec() })
            .await
    }

    /// Signs the text of a checkpoint (C2SP tlog-checkpoint, without extension lines) with the log key. Returns the bare
    /// signature: 64 octets for Ed25519, DER of an ECDSA signature over SHA-256 for P-256. The worker has verified it.
    ///
    /// # Errors
    /// [`OperationError::Refused`] for a text that is no checkpoint or is of another origin than
    /// [`HsmConfig::log_origin`], and where there is no log key or no origin.
    pub async fn sign_checkpoint(&self, note_text: &str) -> Result<Vec<u8>, OperationError> {
        self.sign("checkpoint", || Work::SignCheckpoint {
            text: note_text.to_owned(),
        })
        .await
    }

    /// Signs a whole OCSP ResponseData (RFC 6960, section 4.2.1) with the responder's key.
    ///
    /// # Errors
    /// [`OperationError::Refused`] for another responder or issuer than the configured ones, for
    /// more or less than one status, for any extension, and past the responder's own end.
    pub async fn sign_ocsp(
        &self,
        request_id: &str,
        priority: Priority,
        response_data: &[u8],
    ) -> Result<Vec<u8>, OperationError> {
        self.sign(request_id, || Work::SignOcsp {
            priority,
            response_data: response_data.to_vec(),
        })
        .await
    }

    /// The key that [`Hsm::sign_checkpoint`] signs with; `None` where log-sign is not configured.
    pub fn log_key(&self) -> Option<&LogKey> {
        self.inner.log_key.as_ref()
    }

    /// What each run of a worker counted of the CA key: those that are on and those that ended, until
    /// [`Hsm::forget_runs`] names them.
    pub fn worker_runs(&self) -> Vec<WorkerRun> {
        self.inner.runs.all()
    }

    /// Forgets ended runs by their [`WorkerRun::id`], once their last count is kept elsewhere. Of runs that are never
    /// forgotten the 4,096 youngest stay. A run that is on is not forgotten.
    pub fn forget_runs(&self, ids: &[u64]) {
        self.inner.runs.forget(ids);
    }

    /// What the responder's key signs with; `None` without one.
    pub fn ocsp_signature_algorithm(&self) -> Option<SignatureAlgorithm> {
        self.inner.ocsp_signature
    }

    /// What the CA key signs with, for whoever builds a TBS.
    pub fn ca_signature_algorithm(&self) -> SignatureAlgorithm {
        self.inner.ca_signature
    }

    /// What [`Hsm::decrypt`] can undo: each was tried at the start with every RA
    /// key that decrypts.
    pub fn key_transports(&self) -> &[KeyTransport] {
        &self.inner.key_transports
    }

    /// Health as it changes.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.inner.health.clone()
    }

    /// Operations that wait or are being done.
    pub fn queue_depth(&self) -> usize {
        let depth = |worker: &Worker| worker.depth.load(Ordering::Relaxed);
        self.inner.workers.iter().map(depth).sum()
    }

    /// Sets who is told of every operation; the first one set stays.
    pub fn set_observer(&self, observer: Observer) {
        // The first one stays, as documented.
        let _ = self.inner.observer.set(observer);
    }

    /// Label of the token.
    pub fn token_label(&self) -> String {
        self.inner.token.label.clone()
    }

    /// Serial number of the token.
    pub fn token_serial(&self) -> String {
        self.inner.token.serial.clone()
    }

    /// Lets operations in flight finish and ends the workers. Operations asked for later fail
    /// with [`OperationError::WorkerLost`].
    pub async fn shutdown(&self) {
        self.inner.stop.send_replace(true);
        let tasks = std::mem::take(
            &mut *self
                .inner
                .tasks
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
        for task in tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "HSM supervisor ended badly");
            }
        }
    }

    async fn sign(
        &self,
        request_id: &str,
        work: impl Fn() -> Work,
    ) -> Result<Vec<u8>, OperationError> {
        match self.call(request_id, work).await? {
            Reply::Signature(signature) => Ok(signature),
            Reply::Plaintext(_) | Reply::BadCiphertext => Err(OperationError::WorkerLost),
        }
    }

    /// Has an operation done, a second time if its worker died: all of them are idempotent.
    async fn call(
        &self,
        request_id: &str,
        work: impl Fn() -> Work,
    ) -> Result<Reply, OperationError> {
        let since = Instant::now();
        let mut result = Err(OperationError::WorkerLost);
        let mut role = KeyRole::Probe;
        for _ in 0..ATTEMPTS {
            let work = work();
            role = work.role();
            result = self.attempt(request_id, work).await;
            if !matches!(result, Err(OperationError::WorkerLost)) {
                break;
            }
        }
        if let Some(observer) = self.inner.observer.get() {
            observer(role, since.elapsed(), result.is_ok());
        }
        result
    }

    async fn attempt(&self, request_id: &str, work: Work) -> Result<Reply, OperationError> {
        let worker = self.choose()?;
        let queue = if work.is_background() {
            &worker.background
        } else {
            &worker.jobs
        };
        // What waits in the background keeps nobody from this worker.
        let _waiting = (!work.is_background()).then(|| Waiting::enter(&worker.depth));
        let (reply, answer) = oneshot::channel();
        let job = Job {
            request_id: request_id.to_owned(),
            work,
            since: Instant::now(),
            reply,
        };
        queue.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => OperationError::Busy,
            TrySendError::Closed(_) => OperationError::WorkerLost,
        })?;
        match timeout(self.inner.patience, answer).await {
            Ok(answered) => answered.unwrap_or(Err(OperationError::WorkerLost)),
            Err(_) => Err(OperationError::Deadline),
        }
    }

    /// The serving worker with the least to do, or one that is about to serve.
    fn choose(&self) -> Result<&Worker, OperationError> {
        let least = |phase: Phase| {
            self.inner
                .workers
                .iter()
                .filter(|worker| worker.phase.load() == phase)
                .min_by_key(|worker| worker.depth.load(Ordering::Relaxed))
        };
        least(Phase::Serving)
            .or_else(|| least(Phase::Starting))
            .ok_or_else(|| OperationError::TokenUnavailable {
                cause: self.inner.health.borrow().cause.clone().unwrap_or_default(),
            })
    }
}

impl fmt::Debug for Hsm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hsm")
            .field("token", &self.inner.token)
            .finish_non_exhaustive()
    }
}

/// Counts a caller as waiting until it has its answer or gives up.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn enter(depth: &'a AtomicUsize) -> Self {
        depth.fetch_add(1, Ordering::Relaxed);
        Self(depth)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A decrypted key; wiped when dropped, never printed.
pub struct Plaintext(Zeroizing<Vec<u8>>);

impl Plaintext {
    /// What a token decrypted.
    pub fn new(octets: Zeroizing<Vec<u8>>) -> Self {
        Self(octets)
    }

    /// The octets themselves.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Plaintext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Plaintext(…)")
    }
}

/// The public half of the log key, read from the token and proven to be the private key's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogKey {
    /// [`KeyAlgorithm::Ed25519`] or [`KeyAlgorithm::P256`].
    pub algorithm: KeyAlgorithm,
    /// DER of its SubjectPublicKeyInfo (RFC 5280, section 4.1).
    pub spki_der: Vec<u8>,
}

/// The token could not decrypt. Why is deliberately unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the ciphertext could not be decrypted")]
pub struct BadCiphertext;
