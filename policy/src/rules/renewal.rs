//! REN: what a certificate that was issued before authorises. Each rule holds where nothing is renewed.

use std::time::{Duration, SystemTime};

use super::{Case, Verdict, grant, quote, subject};

pub(super) fn offered(case: &Case<'_>) -> Verdict {
    let Some((renewed, _)) = case.renewal() else {
        return Ok(());
    };
    if case.profile.renewal().is_some() {
        Ok(())
    } else {
        Err(format!(
            "certificate {}: wanted a profile with [renewal], got {} without",
            renewed.serial,
            case.profile.name()
        ))
    }
}

pub(super) fn own_profile(case: &Case<'_>) -> Verdict {
    let wanted = case.profile.name().as_str();
    match case.renewal() {
        Some((renewed, claims)) if claims.profile != wanted => Err(format!(
            "certificate {}: wanted one issued under profile {wanted}, got one under {}",
            renewed.serial,
            quote(&claims.profile)
        )),
        Some(_) | None => Ok(()),
    }
}

pub(super) fn unexpired(case: &Case<'_>) -> Verdict {
    let Some((renewed, claims)) = case.renewal() else {
        return Ok(());
    };
    let grace = case
        .profile
        .renewal()
        .map_or(Duration::ZERO, |renewal| renewal.grace);
    // RFC 5280 section 4.1.2.5: valid through notAfter, inclusive.
    let last = claims
        .expires
        .map(|not_after| not_after.checked_add(grace).unwrap_or(not_after));
    match last {
        Some(last) if case.facts.now > last => Err(format!(
            "certificate {}: wanted renewal until {}, got {}",
            renewed.serial,
            humantime::format_rfc3339_seconds(last),
            humantime::format_rfc3339_seconds(case.facts.now)
        )),
        Some(_) | None => Ok(()),
    }
}

pub(super) fn in_window(case: &Case<'_>) -> Verdict {
    let Some((renewed, claims)) = case.renewal() else {
        return Ok(());
    };
    let (Some(not_after), Some(renewal)) = (claims.expires, case.profile.renewal()) else {
        return Ok(());
    };
    let opens = not_after
        .checked_sub(renewal.window)
        .unwrap_or(SystemTime::UNIX_EPOCH);
    if case.facts.now >= opens {
        Ok(())
    } else {
        Err(format!(
            "certificate {}: wanted renewal from {}, got {}",
            renewed.serial,
            humantime::format_rfc3339_seconds(opens),
            humantime::format_rfc3339_seconds(case.facts.now)
        ))
    }
}

pub(super) fn key(case: &Case<'_>) -> Verdict {
    let Some((renewed, _)) = case.renewal() else {
        return Ok(());
    };
    let same_key = case.facts.key.spki_sha256() == renewed.spki_sha256;
    let may_stay = case
        .profile
        .renewal()
        .is_none_or(|renewal| renewal.same_key);
    if same_key && !may_stay {
        Err(format!(
            "key: wanted another than that of certificate {}, got the same",
            renewed.serial
        ))
    } else {
        Ok(())
    }
}

pub(super) fn not_yet_renewed(case: &Case<'_>) -> Verdict {
    let Some((renewed, _)) = case.renewal() else {
        return Ok(());
    };
    let once = case.profile.renewal().is_some_and(|renewal| renewal.once);
    match &renewed.successor {
        Some(successor) if once => Err(format!(
            "certificate {}: wanted one that was not renewed, got one that {} renewed",
            renewed.serial,
            quote(successor)
        )),
        Some(_) | None => Ok(()),
    }
}

pub(super) fn names_unchanged(case: &Case<'_>) -> Verdict {
    let Some((renewed, claims)) = case.renewal() else {
        return Ok(());
    };
    let Some(names) = &claims.names else {
        return Ok(());
    };
    grant::claims_equal(case.names.as_ref(), &names.subject, &names.sans)
        .and_then(|()| subject::issuable(case.profile, case.names()?))
        .map_err(|detail| format!("certificate {}: {detail}", renewed.serial))
}
