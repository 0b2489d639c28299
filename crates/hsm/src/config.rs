//! What a caller states to start workers.

use std::path::PathBuf;
use std::time::Duration;

use crate::{KeyRole, KeyUri, TokenUri};

/// One key of the service.
#[derive(Clone, Debug)]
pub struct KeyConfig {
    /// What the key is for.
    pub role: KeyRole,
    /// Where it lies.
    pub uri: KeyUri,
    /// DER of its certificate, proven at start to hold the key's public half. Needed for
    /// ca-sign, whose subject is the only issuer that the worker signs for.
    pub certificate: Option<Vec<u8>>,
}

/// The service's keys and the processes that hold them.
#[derive(Clone, Debug)]
pub struct HsmConfig {
    /// The PKCS#11 library.
    pub module: PathBuf,
    /// ra-decrypt, ra-sign, ca-sign and probe, once each; log-sign at will. All on one token.
    pub keys: Vec<KeyConfig>,
    /// Sessions, each on a thread of its own, in a worker.
    pub threads: usize,
    /// Worker processes; one unless the library runs one operation at a time.
    pub workers: usize,
    /// How long one operation may take before its worker is killed.
    pub operation_deadline: Duration,
    /// Operations that may wait for a worker; more are refused as busy.
    pub queue: usize,
    /// Time between two health probes.
    pub health_interval: Duration,
    /// Environment variables for the library, such as `SOFTHSM2_CONF`.
    pub environment: Vec<(String, String)>,
    /// The program started as a worker; this very executable where `None`.
    pub program: Option<PathBuf>,
}

/// The token of a key ceremony.
#[derive(Clone, Debug)]
pub struct CeremonyConfig {
    /// The PKCS#11 library.
    pub module: PathBuf,
    /// The token, with its PIN source.
    pub token: TokenUri,
    /// Environment variables for the library, such as `SOFTHSM2_CONF`.
    pub environment: Vec<(String, String)>,
    /// The program started as a worker; this very executable where `None`.
    pub program: Option<PathBuf>,
}
