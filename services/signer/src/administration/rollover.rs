//! The rehearsal of a rollover.

use std::time::SystemTime;

use assay_issuance::{PlannedCa, PlannedStep};
use assay_proto::v1::{PlanRolloverReply, PlanRolloverRequest, RolloverCa, RolloverStep};

use super::error::AdminError;
use super::{AdministrationService, wire};

/// What happens when, and how it is at the moment that is asked for.
pub(super) async fn plan(
    service: &AdministrationService,
    _actor: &str,
    request: PlanRolloverRequest,
) -> Result<PlanRolloverReply, AdminError> {
    let PlanRolloverRequest { at } = request;
    let now = service.recorder.now();
    let at = at.map_or(Ok(now), |at| {
        SystemTime::try_from(at).map_err(wire::no_time)
    })?;
    let policy = service.policies.active();
    let plan = service
        .generations
        .plan(&service.store, &policy, now, at)
        .await?;
    Ok(PlanRolloverReply {
        at: Some(at.into()),
        stage: wire::rollover_stage(plan.stage).into(),
        issuers: plan.issuers.into_iter().map(ca).collect(),
        steps: plan.steps.into_iter().map(step).collect(),
        warnings: plan.warnings,
    })
}

fn ca(part: PlannedCa) -> RolloverCa {
    RolloverCa {
        subject: part.subject,
        ca_sha256: part.ca_sha256.to_string(),
        ra_sha256: part.ra_sha256.into_iter().map(String::from).collect(),
        not_before: Some(part.not_before.into()),
        not_after: Some(part.not_after.into()),
        ra_not_after: Some(part.ra_not_after.into()),
        named: part.named,
        answers: part.answers,
        certificates: part.census.in_force,
        last_not_after: part.census.last_not_after.map(Into::into),
    }
}

fn step(step: PlannedStep) -> RolloverStep {
    RolloverStep {
        at: step.at.map(Into::into),
        what: step.what,
    }
}
