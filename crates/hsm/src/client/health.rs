//! What is known of the service.

use std::collections::BTreeMap;

/// The state of the token as the probe key shows it, and of the service that holds it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Health {
    /// The service is there and its last probe succeeded.
    pub ready: bool,
    /// Why not, in one line.
    pub cause: Option<String>,
    /// What the service itself warns of, a line each.
    pub warnings: Vec<String>,
    /// Process id of the service; `None` without a connection.
    pub pid: Option<u32>,
    /// Connections before the present one.
    pub reconnections: u64,
    /// Label of the token.
    pub token_label: String,
    /// Serial number of the token.
    pub token_serial: String,
    /// Private-key operations since the service's start, by role, as it counts them.
    pub operations: BTreeMap<String, u64>,
    /// Processor time that the service has used, user and system, in seconds.
    pub cpu_seconds: f64,
}
