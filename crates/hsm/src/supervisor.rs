//! The watch over one worker: feeds it, probes it, kills it when it hangs and starts another.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use zeroize::Zeroizing;

use crate::job::{Job, Phase, Reply, SharedPhase};
use crate::link::{Launch, Link};
use crate::runs::Runs;
use crate::wire::{self, Answer, Operation, Outcome, Ready, Request, Setup, Usage};
use crate::{Health, OperationError, StartError};

/// Pauses before a restart: doubled from the least to the most until a probe succeeds, so that a
/// token that is back is found soon and one that stays away is not hammered.
const LEAST_PAUSE: Duration = Duration::from_millis(100);
const MOST_PAUSE: Duration = Duration::from_secs(5);

/// Operations sent to a worker ahead of each session, so that none idles for a round trip.
const AHEAD: usize = 2;

/// A worker whose sessions are all taken does one background operation this often all the same, so
/// that a flood in the foreground cannot stop them for good.
const BACKGROUND_AT_LEAST: Duration = Duration::from_millis(50);

/// The longest and shortest time between two looks at the deadlines.
const MOST_TICK: Duration = Duration::from_millis(250);
const LEAST_TICK: Duration = Duration::from_millis(5);

/// What a supervisor needs to know.
pub(crate) struct Plan {
    pub(crate) launch: Launch,
    pub(crate) setup: Setup,
    pub(crate) deadline: Duration,
    pub(crate) health_interval: Duration,
}

impl Plan {
    /// Starts a worker and logs it in.
    pub(crate) async fn start(&self) -> Result<(Link, Ready), StartError> {
        Link::start(&self.launch, &self.setup).await
    }
}

/// The task that watches over worker number `number`.
pub(crate) struct Supervisor {
    pub(crate) number: usize,
    pub(crate) plan: Arc<Plan>,
    pub(crate) jobs: mpsc::Receiver<Job>,
    /// What gives way to `jobs`.
    pub(crate) background: mpsc::Receiver<Job>,
    pub(crate) phase: Arc<SharedPhase>,
    pub(crate) health: Arc<watch::Sender<Health>>,
    pub(crate) runs: Arc<Runs>,
    pub(crate) stop: watch::Receiver<bool>,
    pub(crate) pause: Duration,
}

/// How the supervision of one worker process ended.
enum End {
    Stopped,
    Lost(String),
}

impl Supervisor {
    pub(crate) fn initial_pause() -> Duration {
        LEAST_PAUSE
    }

    /// Serves until told to stop, or until nobody is left to ask.
    pub(crate) async fn run(mut self, first: (Link, Ready)) {
        let mut started: Result<_, StartError> = Ok(first);
        loop {
            match started {
                Ok((link, ready)) => match self.serve(link, ready).await {
                    End::Stopped => return,
                    End::Lost(cause) => {
                        tracing::error!(worker = self.number, cause, "HSM worker lost");
                        self.phase.store(Phase::Starting);
                        self.unhealthy(cause);
                    }
                },
                Err(error) => {
                    tracing::error!(worker = self.number, %error, "HSM worker did not start");
                    self.phase.store(Phase::Down);
                    self.unhealthy(error.to_string());
                    if error.is_final() {
                        self.refuse(None, &error).await;
                        return;
                    }
                    if self.refuse(Some(self.pause), &error).await {
                        return;
                    }
                }
            }
            let pause = self.pause;
            self.pause = (pause * 2).min(MOST_PAUSE);
            started = tokio::select! {
                () = stopped(&mut self.stop) => return,
                started = async {
                    // Operations are refused while down, so only a lost worker pauses here.
                    if self.phase.load() == Phase::Starting {
                        sleep(pause).await;
                    }
                    self.plan.start().await
                } => started,
            };
        }
    }

    /// Answers every operation with the cause, for a while or for good. True if told to stop.
    async fn refuse(&mut self, pause: Option<Duration>, error: &StartError) -> bool {
        let until = pause.map(|pause| Instant::now() + pause);
        loop {
            tokio::select! {
                () = stopped(&mut self.stop) => return true,
                job = self.jobs.recv() => match job {
                    None => return true,
                    Some(job) => {
                        let unavailable = OperationError::TokenUnavailable {
                            cause: error.to_string(),
                        };
                        // Whoever asked may have gone.
                        let _ = job.reply.send(Err(unavailable));
                    }
                },
                () = until_or_never(until) => return false,
            }
        }
    }

    async fn serve(&mut self, link: Link, ready: Ready) -> End {
        self.health.send_modify(|health| {
            if let Some(worker) = health.workers.get_mut(self.number) {
                worker.pid = link.pid();
                worker.token_label = ready.token.label;
                worker.token_serial = ready.token.serial;
            }
        });
        let run = self.runs.begin(self.number, link.pid().unwrap_or_default());
        let mut active = ActiveWorker {
            link,
            run,
            ca_signatures: 0,
            flights: HashMap::new(),
            next_id: 0,
            probe: None,
            probed: None,
            background: Instant::now(),
        };
        let end = self.drive(&mut active).await;
        let ActiveWorker { link, flights, .. } = active;
        let end = match end {
            End::Stopped => {
                self.unhealthy("the service is shutting down".to_owned());
                link.stop().await;
                End::Stopped
            }
            End::Lost(cause) => {
                let status = link.kill().await;
                let now = Instant::now();
                for flight in flights.into_values() {
                    let error = if now.duration_since(flight.sent) >= self.plan.deadline {
                        OperationError::Deadline
                    } else {
                        OperationError::WorkerLost
                    };
                    // Whoever asked may have gone.
                    let _ = flight.job.reply.send(Err(error));
                }
                End::Lost(format!("{cause} ({status})"))
            }
        };
        self.runs.end(run);
        end
    }

    async fn drive(&mut self, active: &mut ActiveWorker) -> End {
        let window = self.plan.setup.threads.saturating_mul(AHEAD);
        // Half of the sessions, counting whatever they do: the other half is there for whoever comes.
        let background_window = (self.plan.setup.threads / 2).max(1);
        let period =
            (self.plan.deadline.min(self.plan.health_interval) / 4).clamp(LEAST_TICK, MOST_TICK);
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
                    Some(job) => self.send_all(active, job, window),
                    None => {
                        stopping = true;
                        Ok(())
                    }
                },
                job = self.background.recv(), if !stopping && active.has_room(background_window, window) => match job {
                    Some(job) => {
                        active.background = Instant::now();
                        self.send(active, job)
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
    fn send_all(
        &mut self,
        active: &mut ActiveWorker,
        job: Job,
        window: usize,
    ) -> Result<(), String> {
        self.send(active, job)?;
        while active.flights.len() < window {
            match self.jobs.try_recv() {
                Ok(job) => self.send(active, job)?,
                Err(_) => break,
            }
        }
        Ok(())
    }

    fn send(&self, active: &mut ActiveWorker, job: Job) -> Result<(), String> {
        if job.reply.is_closed() {
            return Ok(());
        }
        if job.since.elapsed() >= self.plan.deadline {
            // Whoever asked may have gone.
            let _ = job.reply.send(Err(OperationError::Deadline));
            return Ok(());
        }
        let id = active.id();
        let request = Request {
            id,
            request_id: &job.request_id,
            operation: job.work.operation(),
        };
        match active.link.queue(&request) {
            Ok(()) => {
                let sent = Instant::now();
                active.flights.insert(id, Flight { job, sent });
            }
            Err(error) => {
                let refused = OperationError::Refused {
                    reason: error.to_string(),
                };
                // Whoever asked may have gone.
                let _ = job.reply.send(Err(refused));
            }
        }
        Ok(())
    }

    fn receive(&mut self, active: &mut ActiveWorker) -> Result<(), String> {
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
            if answer.ca_signatures > active.ca_signatures {
                // Before the caller has the signature: what is of use is counted.
                active.ca_signatures = answer.ca_signatures;
                self.runs.count(active.run, answer.ca_signatures);
            }
            let flight = active.flights.remove(&answer.id);
            let reply = match answer.outcome {
                Outcome::Plaintext(octets) => {
                    Ok(Reply::Plaintext(Zeroizing::new(octets.0.to_vec())))
                }
                Outcome::BadCiphertext => Ok(Reply::BadCiphertext),
                Outcome::Signature(octets) => Ok(Reply::Signature(octets.0.to_vec())),
                Outcome::Refused(reason) => Err(OperationError::Refused {
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
                        // Whoever asked may have gone.
                        let _ = flight.job.reply.send(Err(OperationError::WorkerLost));
                    }
                    return Err(cause);
                }
            };
            if let Some(flight) = flight {
                // Whoever asked may have gone.
                let _ = flight.job.reply.send(reply);
            }
        }
    }

    /// Looks at the deadlines and sends a probe if one is due.
    fn look(&self, active: &mut ActiveWorker) -> Result<(), String> {
        let now = Instant::now();
        let sent = active.flights.values().map(|flight| flight.sent);
        let late = |sent: Instant| now.duration_since(sent) >= self.plan.deadline;
        if sent.chain(active.probe).any(late) {
            return Err(format!(
                "no answer within {} ms",
                self.plan.deadline.as_millis()
            ));
        }
        let due = active
            .probed
            .is_none_or(|last| now.duration_since(last) >= self.plan.health_interval);
        if due && active.probe.is_none() {
            let id = active.id();
            let request = Request {
                id,
                request_id: "probe",
                operation: Operation::Probe,
            };
            active
                .link
                .queue(&request)
                .map_err(|error| error.to_string())?;
            active.probe = Some(now);
            active.probed = Some(now);
        }
        Ok(())
    }

    fn healthy(&self, usage: &Usage) {
        self.phase.store(Phase::Serving);
        self.health.send_modify(|health| {
            if let Some(worker) = health.workers.get_mut(self.number) {
                worker.healthy = true;
                worker.operations = usage
                    .operations
                    .iter()
                    .map(|(role, count)| (role.to_string(), *count))
                    .collect();
                worker.cpu_seconds = Duration::from_nanos(usage.cpu_nanoseconds).as_secs_f64();
            }
            health.ready = true;
            health.cause = None;
        });
    }

    fn unhealthy(&self, cause: String) {
        self.health.send_modify(|health| {
            if let Some(worker) = health.workers.get_mut(self.number) {
                if worker.pid.take().is_some() {
                    worker.restarts += 1;
                }
                worker.healthy = false;
            }
            health.ready = health.workers.iter().any(|worker| worker.healthy);
            if !health.ready {
                health.cause = Some(cause);
            }
        });
    }
}

/// One incarnation of a worker and what it was given.
struct ActiveWorker {
    link: Link,
    /// Its id among the runs of all workers.
    run: u64,
    /// What the worker last told of itself.
    ca_signatures: u64,
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

impl ActiveWorker {
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

async fn until_or_never(until: Option<Instant>) {
    match until {
        Some(until) => tokio::time::sleep_until(until).await,
        None => std::future::pending().await,
    }
}
