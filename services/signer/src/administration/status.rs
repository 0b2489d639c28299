//! One look at the whole signer.

use assay_hsm::Health;
use assay_proto::v1::{HsmStatus, StatusReply, StatusRequest};

use super::error::AdminError;
use super::{AdministrationService, clock, wire};

/// Readiness, the HSM service, policy, counts.
pub(super) async fn show(
    service: &AdministrationService,
    _actor: &str,
    request: StatusRequest,
) -> Result<StatusReply, AdminError> {
    let StatusRequest {} = request;
    let in_force = service.policies.active();
    let counts = service.store.counts().await?;
    let health = service.generations.first().health();
    Ok(StatusReply {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        boot_id: service.recorder.boot_id().to_owned(),
        ready: service.readiness.is_ready(),
        causes: service.readiness.causes(),
        warnings: service.readiness.warnings(),
        hsm: Some(hsm(health)),
        policy_number: in_force.number(),
        policy_hash: in_force.model_hash().map(String::from).unwrap_or_default(),
        open_intents: counts.open_intents,
        certificates: counts.certificates,
        stopped: service
            .policies
            .stops()
            .into_iter()
            .map(wire::stopped)
            .collect(),
        clock: Some(clock::status(service.recorder.clock())),
    })
}

fn hsm(health: Health) -> HsmStatus {
    let Health {
        ready,
        cause: _,
        warnings: _,
        pid,
        reconnections,
        token_label,
        token_serial,
        operations,
        cpu_seconds,
    } = health;
    HsmStatus {
        pid: pid.unwrap_or_default(),
        healthy: ready,
        token_label,
        token_serial,
        reconnections: u32::try_from(reconnections).unwrap_or(u32::MAX),
        operations: operations.into_iter().collect(),
        cpu_seconds,
    }
}
