//! Why the service does not come up.

use assay_pkcs11::{KeyRole, TokenError};
use thiserror::Error;

impl StartError {
    /// The one line. Where the library may have lacked something, it says what the library may use.
    pub(crate) fn told(&self) -> String {
        let lacking = matches!(
            self,
            Self::Token(TokenError::Module { .. } | TokenError::NotFound { .. })
        );
        let hint = if lacking {
            "; the library can use only the paths, ports and sockets that [module] of hsm.toml declares"
        } else {
            ""
        };
        format!("{self}{hint}")
    }
}

/// Why the token's keys cannot be served. Each Display is one line that says how to fix it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum StartError {
    /// The operating system refused something.
    #[error("{action} failed: {reason}")]
    System {
        /// What was to be done.
        action: &'static str,
        /// Its reason.
        reason: String,
    },
    /// The library, the token or its PIN cannot be used, or a PKCS#11 call failed.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The token refused this PIN before.
    #[error(
        "the token refused this PIN before, and it is not tried again: correct the PIN at {source_uri}; if the PIN is right and the token was corrected, run `assay-hsm clear-pin-marker`"
    )]
    PinMarked {
        /// Where the PIN came from.
        source_uri: String,
    },
    /// A login with this PIN did not end.
    #[error(
        "the process ended during the last login with the PIN at {source_uri}, so the outcome of that try is not known, and it is not tried again: look at the token with its own tools, correct the PIN if it was refused, and run `assay-hsm clear-pin-marker`"
    )]
    PinUnknown {
        /// Where the PIN came from.
        source_uri: String,
    },
    /// The marker of refused PINs is full, or is not one.
    #[error(
        "{file} {problem}, so no PIN is tried: look at the token with its own tools, correct the PIN, and run `assay-hsm clear-pin-marker`"
    )]
    PinMarker {
        /// The marker.
        file: String,
        /// Its fault.
        problem: String,
    },
    /// The CA certificate cannot be an issuer's.
    #[error("{certificate}: {right}")]
    Certificate {
        /// Which.
        certificate: &'static str,
        /// What would be right.
        right: &'static str,
    },
    /// The rules of a CA cannot be made.
    #[error("[[ca]] `{ca}`: {reason}")]
    Rules {
        /// Its name.
        ca: String,
        /// The reason, and what would be right.
        reason: String,
    },
    /// The journal cannot be used.
    #[error("the journal: {0}")]
    Journal(String),
    /// The key of the signer's state is gone.
    #[error(
        "{path}: no such file, and the log has {records} records that are in a state under that key: put the file back from a backup (docs/recovery.md)"
    )]
    NoStateKey {
        /// The file.
        path: String,
        /// Records under the last checkpoint that the service signed.
        records: u64,
    },
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
