//! What ends next: who has to renew, and who did not.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use assay_proto::Duration;
use assay_proto::v1::{
    CountExpiringReply, CountExpiringRequest, ExpiringCount, ListExpiringReply, ListExpiringRequest,
};
use assay_store::{ExpiringQuery, ExpirySpan};
use assay_types::Timestamp;

use super::certificates::info;
use super::error::AdminError;
use super::page::Paging;
use super::{AdministrationService, known_profile, wire};

/// Seconds of the longest span that is taken, a hundred years: no certificate is meant to live longer.
const MAX_WITHIN: u64 = 100 * 366 * 86_400;

/// Where a list continues: the moment from which its span is counted, and notAfter and position of the last row.
type Cursor = (Timestamp, Timestamp, u64);

/// Soonest first.
pub(super) async fn list(
    service: &AdministrationService,
    _actor: &str,
    mut request: ListExpiringRequest,
) -> Result<ListExpiringReply, AdminError> {
    let page = request.page.take();
    let paging: Paging<Cursor> = Paging::open("list_expiring", &request, page)?;
    let ListExpiringRequest {
        page: _,
        profile,
        within,
        renewed,
        expired,
        subject,
        san,
    } = request;
    let within = span(within)?;
    let profile = known_profile(service, profile).await?;
    let (at, after) = match paging.after {
        None => (service.recorder.timestamp(), None),
        Some((at, not_after, position)) => (at, Some((not_after, position))),
    };
    let query = ExpiringQuery {
        profile,
        subject: wire::subject(&subject)?,
        san: wire::san(&san)?,
        span: if expired {
            before(at, within)
        } else {
            ahead(at, within)
        },
        renewed,
        after,
        rows: paging.rows,
    };
    let found = service.store.list_expiring(query).await?;
    let next = found
        .next
        .map(|(not_after, position)| (at, not_after, position));
    Ok(ListExpiringReply {
        certificates: found.rows.into_iter().map(info).collect(),
        at: Some(at.into()),
        page: paging.reply(next)?,
    })
}

/// By profile.
pub(super) async fn count(
    service: &AdministrationService,
    _actor: &str,
    request: CountExpiringRequest,
) -> Result<CountExpiringReply, AdminError> {
    let CountExpiringRequest { profile, within } = request;
    let within = span(within)?;
    let profile = known_profile(service, profile).await?;
    let at = service.recorder.timestamp();
    let counted = |renewed, span| ExpirySpan { span, renewed };
    let spans = vec![
        counted(false, ahead(at, within)),
        counted(true, ahead(at, within)),
        counted(false, before(at, within)),
    ];
    let counted = service.store.count_expiring(profile.clone(), spans).await?;
    let mut counts = BTreeMap::new();
    if profile.is_none() {
        let in_force = service.policies.active();
        let names = in_force
            .profiles()
            .map(|profile| profile.name().to_string());
        counts.extend(names.map(|name| (name, Vec::new())));
    }
    counts.extend(counted);
    let counts = counts.into_iter().map(|(profile, counts)| {
        let mut counts = counts.into_iter();
        let mut next = || counts.next().unwrap_or_default();
        let (not_renewed, renewed, lapsed) = (next(), next(), next());
        ExpiringCount {
            profile,
            ending: not_renewed.saturating_add(renewed),
            renewed,
            not_renewed,
            lapsed,
        }
    });
    Ok(CountExpiringReply {
        counts: counts.collect(),
        at: Some(at.into()),
    })
}

/// A certificate is good to the last second that it names (RFC 5280 section 4.1.2.5).
fn ahead(at: Timestamp, within: std::time::Duration) -> RangeInclusive<Timestamp> {
    at..=at + within
}

fn before(at: Timestamp, within: std::time::Duration) -> RangeInclusive<Timestamp> {
    at - within..=at - std::time::Duration::from_secs(1)
}

/// Whole seconds.
fn span(within: Option<Duration>) -> Result<std::time::Duration, AdminError> {
    let within = wire::duration(within)?.unwrap_or_default();
    let seconds = within.as_secs();
    if !(1..=MAX_WITHIN).contains(&seconds) {
        return Err(AdminError::Invalid(format!(
            "wanted a time of 1 s to 100 years, not {seconds} s"
        )));
    }
    Ok(std::time::Duration::from_secs(seconds))
}
