//! What can go wrong, by what a caller can do about it.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{KeyRole, TokenError};

/// Why no service came up. Each Display is one line that says how to fix it.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
pub enum StartError {
    /// A field of the configuration cannot be right.
    #[error("{field}: {right}")]
    Config {
        /// The field.
        field: String,
        /// What would be right.
        right: String,
    },
    /// The worker could not be started or broke off.
    #[error("the HSM worker did not start: {reason}")]
    Worker {
        /// What happened.
        reason: String,
    },
    /// The worker did not become ready in time.
    #[error(
        "the HSM worker was not ready within {seconds} s and was killed: check that the HSM answers"
    )]
    Timeout {
        /// The limit.
        seconds: u64,
    },
    /// The library, the token or its PIN cannot be used, or a PKCS#11 call failed.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The token has no such key.
    #[error("no private key for {role} at {uri}: {hint}")]
    KeyNotFound {
        /// The role.
        role: KeyRole,
        /// The key asked for.
        uri: String,
        /// What is there instead.
        hint: String,
    },
    /// More than one key matches.
    #[error(
        "{count} private keys for {role} have the same id and label, {uri}: delete or rename all but the right one"
    )]
    KeyAmbiguous {
        /// The role.
        role: KeyRole,
        /// The key asked for.
        uri: String,
        /// How many match.
        count: usize,
    },
    /// A key's attributes are not those of its role.
    #[error(
        "the {role} key {uri} is not fit for service: {problems}; make a new one with `assay-ceremony`"
    )]
    KeyAttributes {
        /// The role.
        role: KeyRole,
        /// The key.
        uri: String,
        /// Each attribute that is not as it must be.
        problems: String,
    },
    /// A key's type or size does not serve its role.
    #[error("the {role} key {uri} is {found}: {right}")]
    KeyKind {
        /// The role.
        role: KeyRole,
        /// The key.
        uri: String,
        /// What it is.
        found: String,
        /// What would be right.
        right: String,
    },
    /// Two roles have one key.
    #[error(
        "the {role} key {uri} is the key of {other} too: each role has a key of its own; make one with `assay-ceremony`"
    )]
    KeyShared {
        /// The role.
        role: KeyRole,
        /// The key.
        uri: String,
        /// The other role.
        other: KeyRole,
    },
    /// A public key object does not belong to the private key of the same id and label.
    #[error(
        "the public key object of the {role} key {uri} is not its own: {reason}; make a new key with `assay-ceremony`"
    )]
    PublicKeyMismatch {
        /// The role.
        role: KeyRole,
        /// The key.
        uri: String,
        /// How it showed.
        reason: String,
    },
    /// The token cannot do what the role needs.
    #[error("token `{token}` does not offer {mechanism}, which {role} needs: {hint}")]
    MechanismMissing {
        /// Label of the token.
        token: String,
        /// The role.
        role: KeyRole,
        /// The mechanism, by its PKCS#11 name.
        mechanism: String,
        /// What to do.
        hint: String,
    },
    /// A certificate does not hold the key's public half.
    #[error(
        "the certificate configured for {role} does not belong to the key {uri}: {reason}; configure the certificate issued for this key"
    )]
    CertificateMismatch {
        /// The role.
        role: KeyRole,
        /// The key.
        uri: String,
        /// How it showed.
        reason: String,
    },
}

impl StartError {
    /// Starting again can only do harm: a wrong PIN locks a real token.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Token(error) if error.is_final())
    }
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
    /// The worker died twice with this operation in it, or is being shut down.
    #[error("the HSM worker was lost")]
    WorkerLost,
    /// No worker has a working token at present.
    #[error("the token is unavailable: {cause}")]
    TokenUnavailable {
        /// Why, in one line.
        cause: String,
    },
    /// The worker will not do this, now or later.
    #[error("the HSM worker refused: {reason}")]
    Refused {
        /// The rule that refused.
        reason: String,
    },
}

impl OperationError {
    /// The same operation will fail again.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Refused { .. } => true,
            Self::Busy | Self::Deadline | Self::WorkerLost | Self::TokenUnavailable { .. } => false,
        }
    }
}
