//! An orderly end: stop accepting, finish what was begun, within a deadline.

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Tells every part of a service to stop, and knows what is still running.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    requested: CancellationToken,
    tasks: TaskTracker,
}

impl Shutdown {
    /// A shutdown that only [`Shutdown::request`] begins.
    pub fn new() -> Self {
        Self::default()
    }

    /// A shutdown that SIGTERM or SIGINT begins too.
    ///
    /// # Errors
    /// Where the signal handlers cannot be installed.
    pub fn on_signals() -> io::Result<Self> {
        let shutdown = Self::new();
        let (mut terminate, mut interrupt) = (
            signal(SignalKind::terminate())?,
            signal(SignalKind::interrupt())?,
        );
        let token = shutdown.requested.clone();
        tokio::spawn(async move {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            tracing::info!(signal = name, "stopping: no new work is taken");
            token.cancel();
        });
        Ok(shutdown)
    }

    /// Begins the shutdown.
    pub fn request(&self) {
        self.requested.cancel();
    }

    /// Whether it has begun.
    pub fn is_requested(&self) -> bool {
        self.requested.is_cancelled()
    }

    /// Waits until it begins.
    pub async fn requested(&self) {
        self.requested.cancelled().await;
    }

    /// The token underneath, for what takes one.
    pub fn token(&self) -> CancellationToken {
        self.requested.clone()
    }

    /// Spawns work that [`Shutdown::drain`] waits for. Work that lasts as long as the service has to end by itself
    /// once the shutdown is requested.
    pub fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.tasks.spawn(task)
    }

    /// Waits for all spawned work, at most `deadline`, and says whether it ended.
    pub async fn drain(&self, deadline: Duration) -> Drained {
        self.tasks.close();
        match tokio::time::timeout(deadline, self.tasks.wait()).await {
            Ok(()) => Drained::Clean,
            Err(_) => Drained::Abandoned(self.tasks.len()),
        }
    }
}

/// How a drain ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// All work was finished.
    Clean,
    /// The deadline passed with this many tasks still running.
    Abandoned(usize),
}
