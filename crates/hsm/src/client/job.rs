//! Operations on their way from a caller to the service.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::client::{OperationError, SignedCheckpoint};
use crate::wire::Fingerprint;

/// The frames of a request, each without its length and id.
pub(super) type Frames = Arc<[Vec<u8>]>;

/// An operation that waits or is in flight.
pub(super) struct Job {
    /// The frames of the request, encoded once for every attempt.
    pub(super) request: Frames,
    /// How much longer than other operations it may be in the service.
    pub(super) extra: Duration,
    /// The CA whose key does it.
    pub(super) ca: Option<Fingerprint>,
    pub(super) since: Instant,
    pub(super) reply: oneshot::Sender<Result<Reply, OperationError>>,
}

/// Who goes first where sessions are few.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// As every operation that a device waits for.
    Normal,
    /// Gives way to those: it gets no more than half of the service's sessions, and one operation a
    /// while where they are all at work.
    Background,
}

/// What the service made of an operation.
pub(super) enum Reply {
    Key(Zeroizing<Vec<u8>>),
    Signature(Vec<u8>),
    Checkpoint(SignedCheckpoint),
    Journalled(bool),
}

/// Whether operations may be given to the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// They wait for it to come up.
    Starting,
    Serving,
    /// It does not come up at present; they are refused.
    Down,
}

/// A [`Phase`] shared with those who ask.
pub(super) struct SharedPhase(AtomicU8);

impl SharedPhase {
    pub(super) fn new(phase: Phase) -> Self {
        Self(AtomicU8::new(phase as u8))
    }

    pub(super) fn load(&self) -> Phase {
        match self.0.load(Ordering::Acquire) {
            phase if phase == Phase::Starting as u8 => Phase::Starting,
            phase if phase == Phase::Serving as u8 => Phase::Serving,
            _ => Phase::Down,
        }
    }

    pub(super) fn store(&self, phase: Phase) {
        self.0.store(phase as u8, Ordering::Release);
    }
}
