//! What ends next: who has to renew, and who did not.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use assay_proto::v1::{
    CountExpiringReply, CountExpiringRequest, ExpiringCount, ListExpiringReply, ListExpiringRequest,
};
use assay_store::{ExpiringQuery, ExpirySpan, Serial};

use super::certificates::info;
use super::error::AdminError;
use super::{AdministrationService, page};

/// Seconds of the longest span that is taken, a hundred years: no certificate is meant to live longer.
const MAX_WITHIN: u64 = 100 * 366 * 86_400;

/// Soonest first.
pub(super) async fn list(
    service: &AdministrationService,
    _actor: &str,
    request: ListExpiringRequest,
) -> Result<ListExpiringReply, AdminError> {
    let ListExpiringRequest {
        profile,
        within_seconds,
        renewed,
        expired,
        after,
        limit,
        at,
    } = request;
    let within = within(within_seconds)?;
    let profile = known(service, profile).await?;
    let store = &service.store;
    let after = match after.as_str() {
        "" => None,
        serial => {
            let unknown =
                || AdminError::NotFound(format!("no certificate has the serial {serial}"));
            let parsed: Serial = serial
                .parse()
                .map_err(|error| AdminError::Invalid(format!("`{serial}`: {error}")))?;
            Some(store.end_of(parsed).await?.ok_or_else(unknown)?)
        }
    };
    let at = match at {
        0 => service.recorder.now_seconds(),
        at => at,
    };
    let query = ExpiringQuery {
        profile,
        span: if expired {
            before(at, within)
        } else {
            ahead(at, within)
        },
        renewed,
        after,
        limit: page(limit),
    };
    let rows = store.list_expiring(query).await?;
    Ok(ListExpiringReply {
        certificates: rows.into_iter().map(info).collect(),
        at,
    })
}

/// By profile.
pub(super) async fn count(
    service: &AdministrationService,
    _actor: &str,
    request: CountExpiringRequest,
) -> Result<CountExpiringReply, AdminError> {
    let CountExpiringRequest {
        profile,
        within_seconds,
    } = request;
    let within = within(within_seconds)?;
    let profile = known(service, profile).await?;
    let at = service.recorder.now_seconds();
    let span = |renewed, span| ExpirySpan { span, renewed };
    let spans = vec![
        span(false, ahead(at, within)),
        span(true, ahead(at, within)),
        span(false, before(at, within)),
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
        let (kept, renewed, lapsed) = (next(), next(), next());
        ExpiringCount {
            profile,
            ending: kept.saturating_add(renewed),
            renewed,
            lapsed,
        }
    });
    Ok(CountExpiringReply {
        counts: counts.collect(),
        at,
    })
}

/// A certificate is good to the last second that it names (RFC 5280 section 4.1.2.5).
fn ahead(at: i64, within: i64) -> RangeInclusive<i64> {
    at..=at.saturating_add(within)
}

fn before(at: i64, within: i64) -> RangeInclusive<i64> {
    at.saturating_sub(within)..=at.saturating_sub(1)
}

fn within(seconds: u64) -> Result<i64, AdminError> {
    match i64::try_from(seconds) {
        Ok(within) if (1..=MAX_WITHIN).contains(&seconds) => Ok(within),
        _ => Err(AdminError::Invalid(format!(
            "certificates are told that end within 1 s to 100 years, not within {seconds} s"
        ))),
    }
}

/// A profile that policy knows, or knew when it issued: else a mistyped name would read as good news.
async fn known(
    service: &AdministrationService,
    profile: String,
) -> Result<Option<String>, AdminError> {
    if profile.is_empty() {
        return Ok(None);
    }
    let in_force = service.policies.active().select(&profile).is_some();
    if in_force || service.store.has_issued_for(profile.clone()).await? {
        return Ok(Some(profile));
    }
    Err(AdminError::UnknownProfile(profile))
}
