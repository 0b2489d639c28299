//! Exceptions and the devices that needed them.

use assay_policy::Quirk;
use assay_proto::v1::{LegacyUse, ListLegacyReply, ListLegacyRequest};
use assay_store::{QuirkQuery, QuirkRow};

use super::error::AdminError;
use super::page::Paging;
use super::{AdministrationService, known_profile, wire};

/// By profile, exception and device, with what the policy in force says of the exception.
pub(super) async fn list(
    service: &AdministrationService,
    _actor: &str,
    mut request: ListLegacyRequest,
) -> Result<ListLegacyReply, AdminError> {
    let page = request.page.take();
    let paging = Paging::open("list_legacy", &request, page)?;
    let ListLegacyRequest {
        page: _,
        profile,
        subject,
        last,
    } = request;
    let query = QuirkQuery {
        profile: known_profile(service, profile).await?,
        device: wire::subject(&subject)?,
        last: wire::span(last)?,
        after: paging.after.clone(),
        rows: paging.rows,
    };
    let found = service.store.list_quirks(query).await?;
    let in_force = service.policies.active();
    let now = service.recorder.now();
    let uses = found
        .rows
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
                    .map(Into::into),
                profile,
                quirk,
                device,
                uses,
                first_at: Some(first_at.into()),
                last_at: Some(last_at.into()),
            }
        })
        .collect();
    Ok(ListLegacyReply {
        uses,
        page: paging.reply(found.next)?,
    })
}
