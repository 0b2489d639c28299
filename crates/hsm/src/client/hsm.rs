//! A connection to the service that comes back by itself, and the way of an operation through it.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::config::{CaCertificates, HsmConfig};
use super::error::{OperationError, StartError};
use super::health::Health;
use super::job::{Frames, Job, Phase, Priority, Reply, SharedPhase};
use super::keys::CaKeys;
use super::link::Link;
use super::runs::Runs;
use super::supervisor::{self, Needed, Supervisor};
use crate::KeyRole;
use crate::wire::{self, Welcome};

/// Times an operation is tried: one lost service is not a verdict on it, two are.
const ATTEMPTS: usize = 2;

/// Background operations that may wait to be sent.
const BACKGROUND_QUEUE: usize = 64;

/// How long the first connection is tried for: both processes may have been started at one time.
const START_DEADLINE: Duration = Duration::from_secs(30);
/// Pause between two tries.
const START_PAUSE: Duration = Duration::from_millis(50);

/// How much longer a CRL may take than other operations: the time in which it has to come over, and as much again until each
/// entry is checked and in the journal.
const CRL_EXTRA: Duration = wire::CRL_STREAM.saturating_mul(2);

/// Called after every operation: with its key's role, how long its caller waited, and whether it had an
/// answer. A bad ciphertext is an answer.
pub type Observer = Arc<dyn Fn(KeyRole, Duration, bool) + Send + Sync>;

/// A connection to the HSM service. Cheap to clone.
#[derive(Clone)]
pub struct Hsm {
    inner: Arc<Inner>,
}

struct Inner {
    jobs: mpsc::Sender<Job>,
    /// For what gives way to `jobs`.
    background: mpsc::Sender<Job>,
    phase: Arc<SharedPhase>,
    depth: AtomicUsize,
    health: watch::Receiver<Health>,
    stop: watch::Sender<bool>,
    task: Mutex<Option<JoinHandle<()>>>,
    observer: OnceLock<Observer>,
    welcome: Welcome,
    needed: Arc<Needed>,
    runs: Arc<Runs>,
    /// How long a caller waits at most: one deadline in the queue and one in the service. The
    /// supervisor keeps both; this is for a restart that takes longer.
    patience: Duration,
}

impl Hsm {
    /// Connects to the service. One that is not there yet is waited for.
    ///
    /// # Errors
    /// [`StartError`], whose text says how to fix it.
    pub async fn connect(config: HsmConfig) -> Result<Self, StartError> {
        let since = Instant::now();
        let (link, welcome) = loop {
            match Link::start(&config).await {
                Ok(connected) => break connected,
                Err(error @ StartError::OtherUser { .. }) => return Err(error),
                Err(error) if since.elapsed() >= START_DEADLINE => return Err(error),
                Err(error) => tracing::debug!(%error, "waiting for the HSM service"),
            }
            sleep(START_PAUSE).await;
        };
        let runs = Arc::new(Runs::default());
        let needed = Arc::new(Needed::default());
        let (health_sender, health) = watch::channel(Health {
            // The service has proven every key at its start.
            ready: true,
            ..Health::default()
        });
        let (stop, stopped) = watch::channel(false);
        let (jobs, waiting) = mpsc::channel(config.queue);
        let (background, waiting_in_background) = mpsc::channel(BACKGROUND_QUEUE);
        let phase = Arc::new(SharedPhase::new(Phase::Serving));
        let patience = supervisor::limit(&welcome).saturating_mul(2);
        let supervisor = Supervisor {
            config,
            jobs: waiting,
            background: waiting_in_background,
            phase: Arc::clone(&phase),
            health: health_sender,
            runs: Arc::clone(&runs),
            needed: Arc::clone(&needed),
            stop: stopped,
            pause: Supervisor::initial_pause(),
        };
        // Before anyone asks which process it is.
        supervisor.connected(&link, &welcome);
        let task = tokio::spawn(supervisor.run(link, welcome.clone()));
        Ok(Self {
            inner: Arc::new(Inner {
                jobs,
                background,
                phase,
                depth: AtomicUsize::new(0),
                health,
                stop,
                task: Mutex::new(Some(task)),
                observer: OnceLock::new(),
                welcome,
                needed,
                runs,
                patience,
            }),
        })
    }

    /// The keys of one CA, which the service has proven to be those of these certificates.
    ///
    /// # Errors
    /// [`StartError::UnknownCa`] and [`StartError::OtherCertificate`].
    pub fn ca(&self, certificates: &CaCertificates<'_>) -> Result<CaKeys, StartError> {
        let welcome = &self.inner.welcome;
        let info = CaKeys::find(welcome, certificates)?;
        self.inner.needed.add(info, welcome);
        self.inner.runs.count_for(info.certificate);
        CaKeys::new(self.clone(), info.clone())
    }

    /// What the service had when the connection was first made.
    pub fn welcome(&self) -> &Welcome {
        &self.inner.welcome
    }

    /// A tree of the log of this size was signed: a service that has not signed it any more is another one.
    pub(super) fn has_signed(&self, log_size: u64) {
        self.inner.needed.has_signed(log_size);
    }

    /// Health as it changes.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.inner.health.clone()
    }

    /// Operations that wait or are being done.
    pub fn queue_depth(&self) -> usize {
        self.inner.depth.load(Ordering::Relaxed)
    }

    /// Sets what is called after every operation; the first one set stays.
    pub fn set_observer(&self, observer: Observer) {
        // The first one stays, as documented.
        let _ = self.inner.observer.set(observer);
    }

    /// Lets operations in flight finish and closes the connection. Operations asked for later fail
    /// with [`OperationError::ServiceLost`].
    pub async fn shutdown(&self) {
        self.inner.stop.send_replace(true);
        let task = self
            .inner
            .task
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(task) = task
            && let Err(error) = task.await
        {
            tracing::error!(%error, "the connection to the HSM service ended badly");
        }
    }

    pub(super) fn runs(&self) -> &Runs {
        &self.inner.runs
    }

    pub(super) async fn sign(
        &self,
        request_id: &str,
        priority: Priority,
        operation: wire::Operation<'_>,
    ) -> Result<Vec<u8>, OperationError> {
        match self.call(request_id, priority, operation).await? {
            Reply::Signature(signature) => Ok(signature),
            Reply::Key(_) | Reply::Checkpoint(_) | Reply::Journalled(_) => {
                Err(OperationError::ServiceLost)
            }
        }
    }

    /// Has an operation done, a second time if the service was lost: all of them are idempotent.
    pub(super) async fn call(
        &self,
        request_id: &str,
        priority: Priority,
        operation: wire::Operation<'_>,
    ) -> Result<Reply, OperationError> {
        let since = Instant::now();
        let request = wire::Request {
            request_id,
            operation,
        };
        let request = request.encode().map_err(|error| OperationError::Refused {
            reason: error.to_string(),
        })?;
        let request: Frames = request.into();
        let mut result = Err(OperationError::ServiceLost);
        for _ in 0..ATTEMPTS {
            result = self.attempt(&request, priority, &operation).await;
            if !matches!(result, Err(OperationError::ServiceLost)) {
                break;
            }
        }
        if let Some(observer) = self.inner.observer.get() {
            observer(operation.role(), since.elapsed(), result.is_ok());
        }
        result
    }

    async fn attempt(
        &self,
        request: &Frames,
        priority: Priority,
        operation: &wire::Operation<'_>,
    ) -> Result<Reply, OperationError> {
        let Inner {
            jobs,
            background,
            phase,
            depth,
            health,
            patience,
            ..
        } = &*self.inner;
        if phase.load() == Phase::Down {
            return Err(OperationError::TokenUnavailable {
                cause: health.borrow().cause.clone().unwrap_or_default(),
            });
        }
        let queue = match priority {
            Priority::Normal => jobs,
            Priority::Background => background,
        };
        // What waits in the background keeps nobody else waiting.
        let _waiting = (priority == Priority::Normal).then(|| Waiting::enter(depth));
        let (reply, answer) = oneshot::channel();
        let extra = if let wire::Operation::SignCrl { .. } = operation {
            CRL_EXTRA
        } else {
            Duration::ZERO
        };
        let job = Job {
            request: Arc::clone(request),
            extra,
            ca: operation.ca(),
            since: Instant::now(),
            reply,
        };
        queue.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => OperationError::Busy,
            TrySendError::Closed(_) => OperationError::ServiceLost,
        })?;
        match timeout(patience.saturating_add(extra), answer).await {
            Ok(answered) => answered.unwrap_or(Err(OperationError::ServiceLost)),
            Err(_) => Err(OperationError::Deadline),
        }
    }
}

impl fmt::Debug for Hsm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hsm")
            .field("token", &self.inner.welcome.token_label)
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
