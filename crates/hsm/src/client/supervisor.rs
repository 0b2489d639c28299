//! The watch over the connection: feeds the service, probes it, and connects again when it is lost or hangs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};
use zeroize::Zeroizing;

use super::config::HsmConfig;
use super::error::{OperationError, StartError};
use super::health::Health;
use super::job::{Job, Phase, Reply, SharedPhase};
use super::link::Link;
use super::runs::Runs;
use super::token::SignedCheckpoint;
use crate::wire::{
    self, AHEAD, Answer, CaInfo, LogInfo, Operation, Outcome, StateSecret, Usage, Welcome,
};

/// Pauses before a new connection: doubled from the least to the most until a probe succeeds, so that a
/// token that is back is found soon and one that stays away is not hammered.
const LEAST_PAUSE: Duration = Duration::from_millis(100);
const MOST_PAUSE: Duration = Duration::from_secs(5);

/// A service whose sessions are all taken does one background operation this often all the same, so
/// that a flood in the foreground cannot stop them for good.
const BACKGROUND_AT_LEAST: Duration = Duration::from_millis(50);

/// The longest and shortest time between two looks at the deadlines.
const MOST_TICK: Duration = Duration::from_millis(250);
const LEAST_TICK: Duration = Duration::from_millis(5);

/// How much longer than the service itself an operation is waited for: the service ends itself when one hangs, so that
/// only a service that as a whole does not run is given up from here.
const GRACE: Duration = Duration::from_secs(1);

/// How long a service that was lost may take to listen again before operations are refused instead of waiting for it.
const RESTART: Duration = Duration::from_secs(5);

/// How long an operation may be in the service before the connection is given up.
pub(super) fn limit(welcome: &Welcome) -> Duration {
    welcome.operation_deadline.saturating_add(GRACE)
}

/// What a service must still have after it was lost and found again.
#[derive(Default)]
pub(super) struct Needed(Mutex<Contents>);

#[derive(Default)]
struct Contents {
    cas: Vec<CaInfo>,
    log: Option<LogInfo>,
    /// The identity of the journal.
    journal: Option<[u8; 32]>,
    state_key: Option<StateSecret>,
    /// Leaves of the largest tree that it said it has signed.
    log_size: u64,
}

impl Needed {
    pub(super) fn add(&self, ca: &CaInfo, welcome: &Welcome) {
        let mut needed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !needed.cas.contains(ca) {
            needed.cas.push(ca.clone());
        }
        needed.log.clone_from(&welcome.log);
        needed.journal = Some(welcome.journal.identity);
        needed.state_key = Some(welcome.state_key.clone());
        needed.log_size = needed.log_size.max(welcome.journal.log_size);
    }

    /// A tree of this size was signed.
    pub(super) fn has_signed(&self, log_size: u64) {
        let mut needed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        needed.log_size = needed.log_size.max(log_size);
    }

    fn is_met(&self, welcome: &Welcome) -> bool {
        let needed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Contents {
            cas,
            log,
            journal,
            state_key,
            log_size,
        } = &*needed;
        cas.iter().all(|ca| welcome.cas.contains(ca))
            && log
                .as_ref()
                .is_none_or(|log| welcome.log.as_ref() == Some(log))
            && journal.is_none_or(|identity| identity == welcome.journal.identity)
            && welcome.journal.log_size >= *log_size
            && state_key
                .as_ref()
                .is_none_or(|key| *key == welcome.state_key)
    }
}

/// The task that watches over the connection.
pub(super) struct Supervisor {
    pub(super) config: HsmConfig,
    pub(super) jobs: mpsc::Receiver<Job>,
    /// What gives way to `jobs`.
    pub(super) background: mpsc::Receiver<Job>,
    pub(super) phase: Arc<SharedPhase>,
    pub(super) health: watch::Sender<Health>,
    pub(super) runs: Arc<Runs>,
    pub(super) needed: Arc<Needed>,
    pub(super) stop: watch::Receiver<bool>,
    pub(super) pause: Duration,
}

/// How a connection ended.
enum End {
    Stopped,
    Lost(String),
}

impl Supervisor {
    pub(super) fn initial_pause() -> Duration {
        LEAST_PAUSE
    }

    /// Serves until told to stop, or until nobody is left to ask.
    pub(super) async fn run(mut self, link: Link, welcome: Welcome) {
        let mut stop = self.stop.clone();
        let mut started: Result<_, StartError> = Ok((link, welcome));
        let mut lost = Instant::now();
        loop {
            match started {
                Ok((link, welcome)) => match self.serve(link, &welcome).await {
                    End::Stopped => return,
                    End::Lost(cause) => {
                        tracing::error!(cause, "the HSM service was lost");
                        self.phase.store(Phase::Starting);
                        self.unhealthy(cause);
                        lost = Instant::now();
                    }
                },
                Err(StartError::Unreachable { .. })
                    if self.phase.load() == Phase::Starting && lost.elapsed() < RESTART => {}
                Err(error) => {
                    self.phase.store(Phase::Down);
                    if self.unhealthy(error.to_string()) {
                        tracing::error!(%error, "the keys are out of reach");
                    }
                    if self.refuse(&error).await {
                        return;
                    }
                }
            }
            let pause = self.pause;
            self.pause = (pause * 2).min(MOST_PAUSE);
            started = tokio::select! {
                () = stopped(&mut stop) => return,
                started = async {
                    // Operations are refused while down, so only a lost service pauses here.
                    if self.phase.load() == Phase::Starting {
                        sleep(pause).await;
                    }
                    self.connect().await
                } => started,
            };
        }
    }

    async fn connect(&self) -> Result<(Link, Welcome), StartError> {
        let (link, welcome) = Link::start(&self.config).await?;
        if !self.needed.is_met(&welcome) {
            return Err(StartError::Changed);
        }
        self.connected(&link, &welcome);
        Ok((link, welcome))
    }

    /// Enters a new connection in the health and among the runs.
    pub(super) fn connected(&self, link: &Link, welcome: &Welcome) {
        self.runs.begin(link.pid());
        self.health.send_modify(|health| {
            health.pid = Some(link.pid());
            health.token_label.clone_from(&welcome.token_label);
            health.token_serial.clone_from(&welcome.token_serial);
            health.warnings.clone_from(&welcome.warnings);
        });
    }

    /// Answers every operation with the cause, for a while. True if told to stop.
    async fn refuse(&mut self, error: &StartError) -> bool {
        let until = Instant::now() + self.pause;
        loop {
            let job = tokio::select! {
                () = stopped(&mut self.stop) => return true,
                job = self.jobs.recv() => job,
                job = self.background.recv() => job,
                () = sleep_until(until) => return false,
            };
            let Some(job) = job else {
                return true;
            };
            let unavailable = OperationError::TokenUnavailable {
                cause: error.to_string(),
            };
            // The caller may have given up.
            let _ = job.reply.send(Err(unavailable));
        }
    }

    async fn serve(&mut self, link: Link, welcome: &Welcome) -> End {
        let mut active = Active {
            link,
            limit: limit(welcome),
            threads: usize::try_from(welcome.threads).unwrap_or(1).max(1),
            flights: HashMap::new(),
            next_id: 0,
            probe: None,
            probed: None,
            background: Instant::now(),
        };
        let end = self.drive(&mut active).await;
        if let End::Stopped = end {
            self.unhealthy("the signer is shutting down".to_owned());
        }
        let now = Instant::now();
        for flight in active.flights.into_values() {
            let took = now.duration_since(flight.sent);
            let error = if took >= welcome.operation_deadline.saturating_add(flight.job.extra) {
                OperationError::Deadline
            } else {
                OperationError::ServiceLost
            };
            // The caller may have given up.
            let _ = flight.job.reply.send(Err(error));
        }
        self.runs.end();
        end
    }

    async fn drive(&mut self, active: &mut Active) -> End {
        let window = active.threads.saturating_mul(AHEAD);
        // Half of the sessions, counting whatever they do: the other half is there for what comes next.
        let background_window = (active.threads / 2).max(1);
        let period =
            (active.limit.min(self.config.health_interval) / 4).clamp(LEAST_TICK, MOST_TICK);
        let mut tick = interval(period);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stopping = false;
        loop {
            if stopping && active.flights.is_empty() {
                return End::Stopped;
            }
            let step = tokio::select! {
                ready = active.link.ready() => match ready {
                    Ok(()) => self.receive(active),
                    Err(error) => Err(error.to_string()),
                },
                job = self.jobs.recv(), if !stopping && active.flights.len() < window => match job {
                    Some(job) => {
                        self.send_all(active, job, window);
                        Ok(())
                    }
                    None => {
                        stopping = true;
                        Ok(())
                    }
                },
                job = self.background.recv(), if !stopping && active.has_room(background_window, window) => match job {
                    Some(job) => {
                        active.background = Instant::now();
                        Self::send(active, job);
                        Ok(())
                    }
                    None => {
                        stopping = true;
                        Ok(())
                    }
                },
                _ = tick.tick() => self.look(active),
                () = stopped(&mut self.stop), if !stopping => {
                    stopping = true;
                    Ok(())
                }
            };
            let step = step.and_then(|()| match active.link.flush() {
                Ok(_) => Ok(()),
                Err(error) => Err(error.to_string()),
            });
            if let Err(cause) = step {
                return End::Lost(cause);
            }
        }
    }

    /// Sends a job, and any others that wait, so that they leave in one write.
    fn send_all(&mut self, active: &mut Active, job: Job, window: usize) {
        Self::send(active, job);
        while active.flights.len() < window {
            match self.jobs.try_recv() {
                Ok(job) => Self::send(active, job),
                Err(_) => break,
            }
        }
    }

    fn send(active: &mut Active, job: Job) {
        if job.reply.is_closed() {
            return;
        }
        if job.since.elapsed() >= active.limit {
            // The caller may have given up.
            let _ = job.reply.send(Err(OperationError::Deadline));
            return;
        }
        let id = active.id();
        active.link.queue(id, &job.request);
        let sent = Instant::now();
        active.flights.insert(id, Flight { job, sent });
    }

    fn receive(&mut self, active: &mut Active) -> Result<(), String> {
        active.link.fill().map_err(|error| error.to_string())?;
        loop {
            let frame = active
                .link
                .next_frame()
                .map_err(|error| error.to_string())?;
            let Some(frame) = frame else {
                return Ok(());
            };
            let answer: Answer<'_> = wire::decode(frame).map_err(|error| error.to_string())?;
            let flight = active.flights.remove(&answer.id);
            if answer.ca_signatures > 0
                && let Some(ca) = flight.as_ref().and_then(|flight| flight.job.ca)
            {
                // Before the caller has the signature: what is of use is counted.
                self.runs.count(ca, answer.ca_signatures);
            }
            let reply = match answer.outcome {
                Outcome::Key(octets) => Ok(Reply::Key(Zeroizing::new(octets.0.to_vec()))),
                Outcome::Signature(octets) => Ok(Reply::Signature(octets.0.to_vec())),
                Outcome::Checkpoint {
                    extension,
                    signature,
                } => Ok(Reply::Checkpoint(SignedCheckpoint {
                    extensions: vec![extension.to_owned()],
                    signature: signature.0.to_vec(),
                })),
                Outcome::Journalled(is_journalled) => Ok(Reply::Journalled(is_journalled)),
                Outcome::Refused(reason) => Err(OperationError::Refused {
                    reason: reason.to_owned(),
                }),
                Outcome::NotNow(reason) => Err(OperationError::NotNow {
                    reason: reason.to_owned(),
                }),
                Outcome::Probed(usage) => {
                    active.probe = None;
                    self.pause = LEAST_PAUSE;
                    self.healthy(&usage);
                    continue;
                }
                Outcome::Broken(cause) => {
                    let cause = cause.to_owned();
                    if let Some(flight) = flight {
                        // The caller may have given up.
                        let _ = flight.job.reply.send(Err(OperationError::ServiceLost));
                    }
                    return Err(cause);
                }
            };
            if let Some(flight) = flight {
                // The caller may have given up.
                let _ = flight.job.reply.send(reply);
            }
        }
    }

    /// Looks at the deadlines and sends a probe if one is due.
    fn look(&self, active: &mut Active) -> Result<(), String> {
        let now = Instant::now();
        let flights = active.flights.values();
        let sent = flights.map(|flight| (flight.sent, flight.job.extra));
        let probe = active.probe.map(|sent| (sent, Duration::ZERO));
        for (sent, extra) in sent.chain(probe) {
            let limit = active.limit.saturating_add(extra);
            if now.duration_since(sent) >= limit {
                return Err(format!("no answer within {} ms", limit.as_millis()));
            }
        }
        let due = active
            .probed
            .is_none_or(|last| now.duration_since(last) >= self.config.health_interval);
        if due && active.probe.is_none() {
            let probe = wire::Request {
                request_id: "probe",
                operation: Operation::Probe,
            };
            let request = probe.encode().map_err(|error| error.to_string())?;
            let id = active.id();
            active.link.queue(id, &request.into());
            active.probe = Some(now);
            active.probed = Some(now);
        }
        Ok(())
    }

    fn healthy(&self, usage: &Usage) {
        self.phase.store(Phase::Serving);
        self.health.send_modify(|health| {
            let operations = usage.operations.iter();
            health.operations = operations
                .map(|(role, count)| (role.to_string(), *count))
                .collect();
            health.cpu_seconds = Duration::from_nanos(usage.cpu_nanoseconds).as_secs_f64();
            health.ready = true;
            health.cause = None;
        });
    }

    /// True if the cause is another one than before.
    fn unhealthy(&self, cause: String) -> bool {
        let mut changed = false;
        self.health.send_modify(|health| {
            if health.pid.take().is_some() {
                health.reconnections += 1;
            }
            health.ready = false;
            changed = health.cause.as_ref() != Some(&cause);
            health.cause = Some(cause);
        });
        changed
    }
}

/// One connection and what was sent over it.
struct Active {
    link: Link,
    /// How long an operation may be in the service.
    limit: Duration,
    /// Sessions of the service.
    threads: usize,
    flights: HashMap<u64, Flight>,
    next_id: u64,
    /// When the probe in flight was sent.
    probe: Option<Instant>,
    /// When the last probe was sent.
    probed: Option<Instant>,
    /// When the last background operation was sent.
    background: Instant,
}

struct Flight {
    job: Job,
    sent: Instant,
}

impl Active {
    /// Whether a background operation may be sent now.
    fn has_room(&self, background_window: usize, window: usize) -> bool {
        let most = if self.background.elapsed() < BACKGROUND_AT_LEAST {
            background_window
        } else {
            window
        };
        self.flights.len() < most
    }

    fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that the last handle is gone, which is a stop as well.
    let _ = stop.wait_for(|stop| *stop).await;
}
