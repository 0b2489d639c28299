//! What is known of the workers.

use std::collections::BTreeMap;

/// The state of the token as the probe key shows it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Health {
    /// At least one worker serves.
    pub ready: bool,
    /// Why not, in one line.
    pub cause: Option<String>,
    /// Each worker, in the order of its number.
    pub workers: Vec<WorkerHealth>,
}

/// One worker process.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WorkerHealth {
    /// Process id of the present incarnation; `None` between two of them.
    pub pid: Option<u32>,
    /// Its last probe succeeded.
    pub healthy: bool,
    /// Incarnations before the present one.
    pub restarts: u64,
    /// Label of the token.
    pub token_label: String,
    /// Serial number of the token.
    pub token_serial: String,
    /// Private-key operations done since the worker's start, by role, as the worker counts them.
    pub operations: BTreeMap<String, u64>,
    /// Processor time that the worker has used, user and system, in seconds.
    pub cpu_seconds: f64,
}
