//! What can go wrong, by what a caller can do about it.

use assay_shape::FormError;
use thiserror::Error;

/// Why the keys cannot be used. Each Display is one line that says how to fix it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StartError {
    /// No connection can be made.
    #[error(
        "the HSM service at {socket} cannot be reached: {reason}; start assay-hsm, and see its log if it runs"
    )]
    Unreachable {
        /// Its socket.
        socket: String,
        /// What the system said.
        reason: String,
    },
    /// Somebody else listens there.
    #[error(
        "the socket {socket} is served by user {found}, not by user {wanted}: correct hsm.user, or find out who listens there"
    )]
    OtherUser {
        /// The socket.
        socket: String,
        /// Whose process it is.
        found: u32,
        /// Whose it has to be.
        wanted: u32,
    },
    /// The service turns this client away, or has no token.
    #[error("the HSM service turns this client away: {reason}")]
    Rejected {
        /// Why, in its own words.
        reason: String,
    },
    /// The service does not answer.
    #[error("the HSM service did not answer within {seconds} s: see its log")]
    Timeout {
        /// The limit.
        seconds: u64,
    },
    /// It lacks a CA.
    #[error(
        "the HSM service holds no key of the CA whose certificate has the SHA-256 {wanted}: name that certificate in a [[ca]] of hsm.toml, which has {found}"
    )]
    UnknownCa {
        /// Of the certificate, hex.
        wanted: String,
        /// Those that it has.
        found: String,
    },
    /// Both sides have another certificate for one key.
    #[error(
        "the HSM service has {found} for {key}, and not the certificate configured here, whose SHA-256 is {wanted}: name one certificate in both files"
    )]
    OtherCertificate {
        /// The role.
        key: &'static str,
        /// Fingerprint of the one here.
        wanted: String,
        /// Fingerprint of the one there, or that there is none.
        found: String,
    },
    /// A form that it names is not one that is safe.
    #[error(
        "the HSM service has a form that cannot be used: {0}; install both programs of one release"
    )]
    Form(#[from] FormError),
    /// It does not have any more what it had when this process started.
    #[error(
        "the HSM service has other keys, other forms or another journal than when this process started: restart this process if that is meant"
    )]
    Changed,
}

/// Why an operation has no answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OperationError {
    /// Too many operations wait already.
    #[error("the token's queue is full")]
    Busy,
    /// The operation, or the wait for it, took longer than the deadline.
    #[error("the token gave no answer within the deadline")]
    Deadline,
    /// The service was lost twice with this operation in it, or the connection is being shut down.
    #[error("the HSM service was lost")]
    ServiceLost,
    /// No service has a working token at present.
    #[error("the token is unavailable: {cause}")]
    TokenUnavailable {
        /// Why, in one line.
        cause: String,
    },
    /// The service will not do this, now or later.
    #[error("the HSM service refused: {reason}")]
    Refused {
        /// The rule that refused.
        reason: String,
    },
    /// The service will not do this at present: a ceiling, a suspension, a full disk, the clock, or a CRL
    /// that has to be signed before.
    #[error("the HSM service does not sign at present: {reason}")]
    NotNow {
        /// Why, in one line.
        reason: String,
    },
}

impl OperationError {
    /// The same operation will fail again.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Refused { .. } => true,
            Self::Busy
            | Self::Deadline
            | Self::ServiceLost
            | Self::TokenUnavailable { .. }
            | Self::NotNow { .. } => false,
        }
    }
}
