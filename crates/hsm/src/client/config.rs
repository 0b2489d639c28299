//! What a client states to reach the service.

use std::path::PathBuf;
use std::time::Duration;

use crate::User;

/// How the service is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HsmConfig {
    /// Its Unix socket.
    pub socket: PathBuf,
    /// The user that it runs as.
    pub user: User,
    /// Operations that may wait to be sent; more are refused as busy.
    pub queue: usize,
    /// Time between two health probes.
    pub health_interval: Duration,
    /// Who asks, for the service's log.
    pub program: String,
}

/// The certificates, DER, of the keys that a client means to use of one CA.
#[derive(Clone, Copy, Debug)]
pub struct CaCertificates<'a> {
    /// The CA.
    pub ca: &'a [u8],
    /// The RA's key that decrypts.
    pub ra_decrypt: &'a [u8],
    /// The RA's key that signs.
    pub ra_sign: &'a [u8],
    /// The RA's key that does both, if it is to be used.
    pub ra_single: Option<&'a [u8]>,
    /// The responder, if it is to be used.
    pub ocsp: Option<&'a [u8]>,
}
