//! The emergency stop: one operator suffices to stop a profile, none to resume it.

use assay_audit::Event;
use assay_proto::v1::{StopProfileReply, StopProfileRequest};
use assay_store::Stop;

use super::super::AdministrationService;
use super::super::challenges::names;
use super::super::error::AdminError;

/// Longest reason in characters.
const MAX_REASON: usize = 200;

/// Stops a profile for every request from now on.
pub(crate) async fn stop(
    service: &AdministrationService,
    actor: &str,
    request: StopProfileRequest,
) -> Result<StopProfileReply, AdminError> {
    let StopProfileRequest { profile, reason } = request;
    let sound =
        (1..=MAX_REASON).contains(&reason.chars().count()) && !reason.chars().any(char::is_control);
    if !sound {
        return Err(AdminError::Invalid(format!(
            "reason: wanted 1 to {MAX_REASON} characters without control characters"
        )));
    }
    let changing = service.policies.change().await;
    let in_force = service.policies.active();
    // The empty name selects the default profile, and a stop names what it stops.
    if profile.is_empty() || in_force.select(&profile).is_none() {
        return Err(AdminError::UnknownProfile {
            name: profile,
            known: names(&in_force),
        });
    }
    let event = Event::ProfileStopped {
        actor: actor.into(),
        profile: profile.as_str().into(),
        reason: reason.as_str().into(),
    };
    let stop = Stop {
        profile,
        reason,
        stopped_at: service.recorder.timestamp(),
        stopped_by: actor.to_owned(),
    };
    let name = stop.profile.clone();
    let draft = service.recorder.draft(in_force.model_hash(), event);
    let changed = service.store.stop_profile(stop, draft).await?;
    service
        .policies
        .set_stops(service.store.stops().await?, &changing);
    tracing::warn!(profile = name, actor, changed, "profile stopped");
    Ok(StopProfileReply { changed })
}
