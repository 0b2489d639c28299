//! The rehearsal of a rollover.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use assay_proto::v1::{PlanRolloverReply, PlanRolloverRequest, RolloverCa, RolloverStep};

use super::AdministrationService;
use super::error::AdminError;
use crate::rollover::{Part, Stage, Step};

/// What happens when, and how it is at the moment that is asked for.
pub(super) async fn plan(
    service: &AdministrationService,
    _actor: &str,
    request: PlanRolloverRequest,
) -> Result<PlanRolloverReply, AdminError> {
    let PlanRolloverRequest { at } = request;
    let now = service.recorder.now();
    let at = match u64::try_from(at) {
        Ok(0) => now,
        Ok(at) => UNIX_EPOCH
            .checked_add(Duration::from_secs(at))
            .ok_or_else(|| AdminError::Invalid(format!("{at} is no time of this world")))?,
        Err(_) => return Err(AdminError::Invalid(format!("{at} is before 1970"))),
    };
    let policy = service.policies.active();
    let plan = service
        .generations
        .plan(&service.store, &policy, now, at)
        .await?;
    Ok(PlanRolloverReply {
        at: unix(at),
        stage: match plan.stage {
            None => "none",
            Some(Stage::Single) => "unapproved",
            Some(Stage::Announced) => "announced",
            Some(Stage::Overlap) => "overlap",
            Some(Stage::Over) => "over",
        }
        .to_owned(),
        authorities: plan.issuers.into_iter().map(ca).collect(),
        steps: plan.steps.into_iter().map(step).collect(),
        warnings: plan.warnings,
    })
}

fn ca(part: Part) -> RolloverCa {
    RolloverCa {
        subject: part.subject,
        ca_sha256: hex::encode(part.ca_sha256),
        ra_sha256: part.ra_sha256.iter().map(hex::encode).collect(),
        not_before: unix(part.not_before),
        not_after: unix(part.not_after),
        ra_not_after: unix(part.ra_not_after),
        named: part.named,
        answers: part.answers,
        certificates: part.census.in_force,
        last_not_after: part.census.last_not_after.unwrap_or_default(),
    }
}

fn step(step: Step) -> RolloverStep {
    RolloverStep {
        at: step.at.map(unix).unwrap_or_default(),
        what: step.what,
    }
}

fn unix(time: SystemTime) -> i64 {
    let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX)
}
