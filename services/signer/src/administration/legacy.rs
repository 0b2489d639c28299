//! Exceptions and the devices that needed them.

use std::time::{SystemTime, UNIX_EPOCH};

use assay_policy::Quirk;
use assay_proto::v1::{LegacyUse, ListLegacyReply, ListLegacyRequest};
use assay_store::QuirkRow;

use super::error::AdminError;
use super::{AdministrationService, page};

/// By profile, exception and device, with what the policy in force says of the exception.
pub(super) async fn list(
    service: &AdministrationService,
    _actor: &str,
    request: ListLegacyRequest,
) -> Result<ListLegacyReply, AdminError> {
    let ListLegacyRequest { profile, limit } = request;
    let profile = (!profile.is_empty()).then_some(profile);
    let rows = service.store.list_quirks(profile, page(limit)).await?;
    let in_force = service.policies.active();
    let now = service.recorder.now();
    let uses = rows
        .into_iter()
        .map(|row| {
            let QuirkRow {
                profile,
                quirk,
                device,
                uses,
                first_at,
                last_at,
            } = row;
            let named = Quirk::ALL.iter().find(|known| known.as_str() == quirk);
            let rules = in_force.select(&profile).zip(named);
            LegacyUse {
                allowed: rules.is_some_and(|(rules, quirk)| rules.quirks_at(now).has(*quirk)),
                until: rules
                    .and_then(|(rules, quirk)| rules.sunset(*quirk))
                    .map_or(0, unix),
                profile,
                quirk,
                device,
                uses,
                first_at,
                last_at,
            }
        })
        .collect();
    Ok(ListLegacyReply { uses })
}

fn unix(time: SystemTime) -> i64 {
    let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX)
}
