//! The clock: how it is, and a jump that a person accepts.

use assay_issuance::{AcceptClockError, ClockJumped, ClockState};
use assay_proto::v1::{AcceptClockReply, AcceptClockRequest, ClockStatus};
use assay_types::Timestamp;

use super::error::AdminError;
use super::{AdministrationService, wire};

/// Accepts the jump that the readiness cause names.
pub(super) async fn accept(
    service: &AdministrationService,
    actor: &str,
    request: AcceptClockRequest,
) -> Result<AcceptClockReply, AdminError> {
    let AcceptClockRequest { from, to } = request;
    let named = |member: &str, time: Option<assay_proto::Timestamp>| {
        let time = time.ok_or_else(|| AdminError::Invalid(format!("{member}: wanted a time")))?;
        Timestamp::try_from(time).map_err(wire::no_time)
    };
    let jump = ClockJumped {
        from: named("from", from)?,
        to: named("to", to)?,
    };
    let policy_hash = service.policies.active().model_hash();
    let recorder = &service.recorder;
    let accepted = recorder.accept_clock(&service.store, policy_hash, actor, jump);
    let clock = accepted.await.map_err(|error| match error {
        AcceptClockError::Jump(error) => AdminError::from(error),
        AcceptClockError::Store(error) => AdminError::from(error),
    })?;
    tracing::warn!(actor, %jump, "a jump of the clock was accepted");
    Ok(AcceptClockReply {
        clock: Some(status(clock)),
    })
}

pub(super) fn status(clock: ClockState) -> ClockStatus {
    let ClockState {
        now,
        jump,
        settling_until,
    } = clock;
    ClockStatus {
        now: Some(now.into()),
        jumped_from: jump.map(|jump| jump.from.into()),
        jumped_to: jump.map(|jump| jump.to.into()),
        settling_until: settling_until.map(Into::into),
    }
}
