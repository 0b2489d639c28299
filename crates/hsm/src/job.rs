//! Operations on their way from a caller to a worker.

use std::sync::atomic::{AtomicU8, Ordering};

use tokio::sync::oneshot;
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::wire::{Octets, Operation};
use crate::{Digest, KeyRole, KeyTransport, OperationError, RaKeys};

/// An operation that waits or is in flight.
pub(crate) struct Job {
    pub(crate) request_id: String,
    pub(crate) work: Work,
    pub(crate) since: Instant,
    pub(crate) reply: oneshot::Sender<Result<Reply, OperationError>>,
}

/// An operation that owns its octets.
pub(crate) enum Work {
    Decrypt {
        ra: RaKeys,
        transport: KeyTransport,
        ciphertext: Vec<u8>,
    },
    SignReply {
        ra: RaKeys,
        digest: Digest,
        signed_attributes: Vec<u8>,
    },
    SignTbs {
        tbs: Vec<u8>,
    },
    SignCheckpoint {
        text: String,
    },
    SignOcsp {
        priority: Priority,
        response_data: Vec<u8>,
    },
}

/// Who goes first where sessions are few.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// As every operation that a device waits for.
    Normal,
    /// Gives way to those: it gets no more than half of a worker's sessions, and one operation a
    /// while where they are all at work.
    Background,
}

impl Work {
    /// The role whose key does the work.
    pub(crate) fn role(&self) -> KeyRole {
        match self {
            Self::Decrypt { ra, .. } => ra.decrypts(),
            Self::SignReply { ra, .. } => ra.signs(),
            Self::SignTbs { .. } => KeyRole::CaSign,
            Self::SignCheckpoint { .. } => KeyRole::LogSign,
            Self::SignOcsp { .. } => KeyRole::OcspSign,
        }
    }

    /// Whether it gives way to everything else: it can wait, devices cannot.
    pub(crate) fn is_background(&self) -> bool {
        matches!(
            self,
            Self::SignOcsp {
                priority: Priority::Background,
                ..
            }
        )
    }

    /// The same with its octets borrowed, as it travels.
    pub(crate) fn operation(&self) -> Operation<'_> {
        match self {
            Self::Decrypt {
                ra,
                transport,
                ciphertext,
            } => Operation::Decrypt {
                ra: *ra,
                transport: *transport,
                ciphertext: Octets(ciphertext),
            },
            Self::SignReply {
                ra,
                digest,
                signed_attributes,
            } => Operation::SignReply {
                ra: *ra,
                digest: *digest,
                signed_attributes: Octets(signed_attributes),
            },
            Self::SignTbs { tbs } => Operation::SignTbs { tbs: Octets(tbs) },
            Self::SignCheckpoint { text } => Operation::SignCheckpoint {
                text: Octets(text.as_bytes()),
            },
            Self::SignOcsp { response_data, .. } => Operation::SignOcsp {
                response_data: Octets(response_data),
            },
        }
    }
}

/// What a worker made of an operation.
pub(crate) enum Reply {
    Plaintext(Zeroizing<Vec<u8>>),
    BadCiphertext,
    Signature(Vec<u8>),
}

/// Whether operations may be given to a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// They wait for it to come up.
    Starting,
    Serving,
    /// It cannot come up; they are refused.
    Down,
}

/// A [`Phase`] shared with those who choose a worker.
pub(crate) struct SharedPhase(AtomicU8);

impl SharedPhase {
    pub(crate) fn new(phase: Phase) -> Self {
        Self(AtomicU8::new(phase as u8))
    }

    pub(crate) fn load(&self) -> Phase {
        match self.0.load(Ordering::Acquire) {
            phase if phase == Phase::Starting as u8 => Phase::Starting,
            phase if phase == Phase::Serving as u8 => Phase::Serving,
            _ => Phase::Down,
        }
    }

    pub(crate) fn store(&self, phase: Phase) {
        self.0.store(phase as u8, Ordering::Release);
    }
}
