//! The process: its state, its socket, its token, and its clients, until SIGTERM.

use std::error::Error as _;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use assay_journal::Journal;
use assay_sandbox::SandboxError;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::low_level::pipe;

use crate::client::{self, Client};
use crate::lines::{self, CONNECTIONS, Lines, STRANGERS};
use crate::metrics::{self, Metrics};
use crate::secret::{self, Secret};
use crate::service::Service;
use crate::settings::Settings;
use crate::socket;
use crate::watchdog::Watchdog;
use crate::{journal, orders};

/// A signer and its successor, an operator's tool, and room for connections that are about to end.
const MAX_CLIENTS: usize = 8;
/// How long the library may take to load, log in and check the keys. Network HSMs take seconds to log in.
const START: Duration = Duration::from_secs(30);
/// How long operations may take to finish once the service is asked to stop, and its library to end.
const DRAIN: Duration = Duration::from_secs(4);
/// How long a service whose token cannot be used tells its clients why, before it ends and is started again.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Place of the start and of the end among the threads that are watched.
const MAIN: usize = 0;

/// Why the process ends otherwise than as asked.
pub(crate) enum Failure {
    /// It refused to start.
    Refused(String),
    /// It is to be started again; the log says why.
    Ended,
}

impl From<String> for Failure {
    fn from(reason: String) -> Self {
        Self::Refused(reason)
    }
}

/// Serves until SIGTERM or SIGINT.
pub(crate) fn serve(settings: &Settings, ready_file: Option<&Path>) -> Result<(), Failure> {
    let failed = |error: io::Error| Failure::Refused(error.to_string());
    let warning = socket::check_peer(settings.peer, settings.allow_same_user)?;
    let _held = socket::hold_state(&settings.state)?;
    let stop = signals().map_err(failed)?;
    let orders = orders::listen(&settings.state)?;
    // Before the login, so that clients wait in the socket for what becomes of it.
    let listener = socket::listen(&settings.socket)?;
    let mut warnings = Vec::new();
    if let Some(warning) = warning {
        tracing::warn!("{warning}");
        warnings.push(warning.to_owned());
    }
    // The last socket is there and no thread is yet; the library is loaded below, as the first code that is not ours.
    let started = match settings.confinement(ready_file).apply() {
        Ok(report) => {
            tracing::info!(sandbox = %report, "confined");
            let journal = journal::open(settings)?;
            let records = journal.read(|state| state.tree().size());
            let state_key = secret::state_key(&settings.state, records);
            let state_key = state_key.map_err(|error| error.told())?;
            orders::serve(orders, Arc::clone(&journal), settings.limits.clone())?;
            start(settings, &journal, &state_key, warnings)
        }
        // The token's own directory may be away for a while, as the token may.
        Err(error @ SandboxError::Path { .. }) => Err(chain(&error)),
        Err(error) => return Err(Failure::Refused(chain(&error))),
    };
    let clients = Arc::new(AtomicUsize::new(0));
    let mut metrics = None;
    let started = match started {
        Ok(started) => {
            if let Some(file) = &settings.metrics_file {
                let (service, clients) = (&started.0, Arc::clone(&clients));
                metrics = Some(Metrics::start(file.clone(), service, clients).map_err(failed)?);
            }
            if let Some(file) = ready_file {
                let ready = format!("{{\"pid\":{}}}\n", std::process::id());
                metrics::replace(file, &ready).map_err(failed)?;
            }
            tracing::info!(socket = %settings.socket.display(), "serving");
            Ok(started)
        }
        Err(error) => {
            tracing::error!(error, "the token cannot be used");
            Err(error)
        }
    };
    let until = started.is_err().then(|| Instant::now() + LAST_WORDS);
    accept(
        &listener,
        &stop,
        settings.peer.uid(),
        &Arc::new(started.clone().map(|(service, _)| service)),
        &clients,
        until,
    )?;
    lines::end_interval();
    // A client that comes from now on finds no socket.
    let _ = fs::remove_file(&settings.socket);
    orders::unlink(&settings.state);
    match started {
        Ok((service, watchdog)) => {
            tracing::info!("stopping");
            let _end = watchdog.call(MAIN, DRAIN);
            service.stop();
            lines::end_interval();
            if let Some(metrics) = metrics {
                metrics.stop();
            }
            Ok(())
        }
        Err(_) if stopped(&stop) => Ok(()),
        Err(_) => Err(Failure::Ended),
    }
}

/// Loads the library and checks the keys, under a watchdog. An error is the one line for clients and the log.
fn start(
    settings: &Settings,
    journal: &Arc<Journal>,
    state_key: &Secret,
    warnings: Vec<String>,
) -> Result<(Arc<Service>, Arc<Watchdog>), String> {
    let places = MAIN + 1 + settings.threads;
    let watchdog = Watchdog::start(places, settings.operation_deadline);
    let watchdog = watchdog.map_err(|error| error.to_string())?;
    let service = {
        let _start = watchdog.call(MAIN, START);
        Service::start(settings, journal, state_key, warnings, MAIN + 1, &watchdog)
    };
    match service {
        Ok(service) => Ok((service, watchdog)),
        Err(error) => Err(error.told()),
    }
}

/// An error with its cause, in one line.
fn chain(error: &SandboxError) -> String {
    let cause = error.source().map(|cause| format!(": {cause}"));
    format!("{error}{}", cause.unwrap_or_default())
}

/// Accepts clients until told to stop, or until the time.
fn accept(
    listener: &UnixListener,
    stop: &OwnedFd,
    peer: u32,
    served: &Arc<Result<Arc<Service>, String>>,
    clients: &Arc<AtomicUsize>,
    until: Option<Instant>,
) -> Result<(), String> {
    let mut number = 0_u64;
    let mut interval = Instant::now() + lines::INTERVAL;
    loop {
        let now = Instant::now();
        if until.is_some_and(|until| until <= now) {
            return Ok(());
        }
        if interval <= now {
            lines::end_interval();
            interval = now + lines::INTERVAL;
        }
        let next = until.map_or(interval, |until| until.min(interval));
        let left = Timespec::try_from(next.saturating_duration_since(now)).ok();
        let mut events = [
            PollFd::new(listener, PollFlags::IN),
            PollFd::new(stop, PollFlags::IN),
        ];
        match poll(&mut events, left.as_ref()) {
            Ok(0) => continue,
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(format!("waiting for clients: {error}")),
        }
        if stopped(stop) {
            return Ok(());
        }
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => {
                CONNECTIONS.write(|| tracing::warn!(%error, "a client could not be accepted"));
                continue;
            }
        };
        number += 1;
        admit(stream, number, peer, served, clients);
    }
}

/// Serves a client on a thread of its own, if it is the peer and there is room for it.
fn admit(
    stream: UnixStream,
    number: u64,
    peer: u32,
    served: &Arc<Result<Arc<Service>, String>>,
    clients: &Arc<AtomicUsize>,
) {
    let turn_away = |lines: &Lines, reason: String| {
        lines.write(|| tracing::warn!(client = number, reason, "client turned away"));
        // It may have gone.
        let _ = client::reject(&stream, &reason);
    };
    match socket::peer_of(&stream) {
        Ok((uid, _)) if uid == peer => {}
        Ok((uid, pid)) => {
            let reason =
                format!("user {uid} (process {pid}) is not the configured peer, user {peer}");
            return turn_away(&STRANGERS, reason);
        }
        Err(error) => return turn_away(&STRANGERS, format!("its user is unknown: {error}")),
    }
    if clients.fetch_add(1, Ordering::AcqRel) >= MAX_CLIENTS {
        clients.fetch_sub(1, Ordering::AcqRel);
        let reason = format!("there are {MAX_CLIENTS} clients already");
        return turn_away(&CONNECTIONS, reason);
    }
    let (served, counted) = (Arc::clone(served), Arc::clone(clients));
    let spawned = thread::Builder::new()
        .name(format!("client-{number}"))
        .spawn(move || {
            let ended = Client::serve(number, stream, &served);
            CONNECTIONS.write(|| match ended {
                Ok(()) => tracing::info!(client = number, "client gone"),
                Err(reason) => tracing::warn!(client = number, %reason, "client cut off"),
            });
            counted.fetch_sub(1, Ordering::AcqRel);
        });
    if let Err(error) = spawned {
        clients.fetch_sub(1, Ordering::AcqRel);
        tracing::error!(client = number, %error, "no thread for a client");
    }
}

/// Readable once a signal came.
fn signals() -> io::Result<OwnedFd> {
    let (stop, sender) = UnixStream::pair()?;
    for signal in [SIGINT, SIGTERM] {
        pipe::register(signal, sender.try_clone()?)?;
    }
    Ok(stop.into())
}

fn stopped(stop: &OwnedFd) -> bool {
    let mut events = [PollFd::from_borrowed_fd(stop.as_fd(), PollFlags::IN)];
    let now = Timespec::default();
    poll(&mut events, Some(&now)).is_ok_and(|count| count > 0)
}
