//! One look at the whole signer.

use assay_hsm::WorkerHealth;
use assay_proto::v1::{StatusReply, StatusRequest, WorkerStatus};

use super::AdministrationService;
use super::error::AdminError;

/// Readiness, workers, policy, counts.
pub(super) async fn show(
    service: &AdministrationService,
    _actor: &str,
    request: StatusRequest,
) -> Result<StatusReply, AdminError> {
    let StatusRequest {} = request;
    let in_force = service.policies.active();
    let counts = service.store.counts().await?;
    let generations = service.generations.all();
    let workers = generations.flat_map(|generation| generation.workers());
    Ok(StatusReply {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        boot_id: service.recorder.boot_id().to_owned(),
        ready: service.readiness.is_ready(),
        causes: service.readiness.causes(),
        warnings: service.readiness.warnings(),
        workers: workers.map(worker).collect(),
        policy_number: in_force.number(),
        policy_hash: in_force.model_hash().map(String::from).unwrap_or_default(),
        open_intents: counts.open_intents,
        certificates: counts.certificates,
    })
}

fn worker(worker: WorkerHealth) -> WorkerStatus {
    let WorkerHealth {
        pid,
        healthy,
        restarts,
        token_label,
        token_serial,
        operations,
        cpu_seconds,
    } = worker;
    WorkerStatus {
        pid: pid.unwrap_or_default(),
        healthy,
        token_label,
        token_serial,
        restarts: u32::try_from(restarts).unwrap_or(u32::MAX),
        operations: operations.into_iter().collect(),
        cpu_seconds,
    }
}
