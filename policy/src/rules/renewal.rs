//! REN: what a certificate that was issued before authorises. Each rule holds where nothing is renewed.

use std::time::SystemTime;

use super::{Case, Verdict, authority, quote, subject};
use crate::facts::Authority;

pub(super) fn offered(case: &Case<'_>) -> Verdict {
    let Authority::Renewal { serial, .. } = &case.facts.authority else {
        return Ok(());
    };
    if case.profile.renewal().is_some() {
        Ok(())
    } else {
        Err(format!(
            "certificate {serial}: wanted a profile with [renewal], got {} without",
            case.profile.name()
        ))
    }
}

pub(super) fn own_profile(case: &Case<'_>) -> Verdict {
    let wanted = case.profile.name().as_str();
    match &case.facts.authority {
        Authority::Renewal {
            serial, profile, ..
        } if profile != wanted => Err(format!(
            "certificate {serial}: wanted one issued under profile {wanted}, got one under {}",
            quote(profile)
        )),
        Authority::Renewal { .. }
        | Authority::OneTimeChallenge { .. }
        | Authority::StaticChallenge { .. }
        | Authority::None => Ok(()),
    }
}

pub(super) fn unexpired(case: &Case<'_>) -> Verdict {
    match &case.facts.authority {
        // RFC 5280 section 4.1.2.5: valid through notAfter, inclusive.
        Authority::Renewal {
            serial, not_after, ..
        } if case.facts.now > *not_after => Err(format!(
            "certificate {serial}: wanted renewal until {}, got {}",
            humantime::format_rfc3339_seconds(*not_after),
            humantime::format_rfc3339_seconds(case.facts.now)
        )),
        Authority::Renewal { .. }
        | Authority::OneTimeChallenge { .. }
        | Authority::StaticChallenge { .. }
        | Authority::None => Ok(()),
    }
}

pub(super) fn in_window(case: &Case<'_>) -> Verdict {
    let Authority::Renewal {
        serial, not_after, ..
    } = &case.facts.authority
    else {
        return Ok(());
    };
    let Some(renewal) = case.profile.renewal() else {
        return Ok(());
    };
    let opens = not_after
        .checked_sub(renewal.window)
        .unwrap_or(SystemTime::UNIX_EPOCH);
    if case.facts.now >= opens {
        Ok(())
    } else {
        Err(format!(
            "certificate {serial}: wanted renewal from {}, got {}",
            humantime::format_rfc3339_seconds(opens),
            humantime::format_rfc3339_seconds(case.facts.now)
        ))
    }
}

pub(super) fn key(case: &Case<'_>) -> Verdict {
    let Authority::Renewal {
        serial,
        old_spki_sha256,
        ..
    } = &case.facts.authority
    else {
        return Ok(());
    };
    let same_key = case.facts.key.spki_sha256() == *old_spki_sha256;
    let may_stay = case
        .profile
        .renewal()
        .is_none_or(|renewal| renewal.same_key);
    if same_key && !may_stay {
        Err(format!(
            "key: wanted another than that of certificate {serial}, got the same"
        ))
    } else {
        Ok(())
    }
}

pub(super) fn names_unchanged(case: &Case<'_>) -> Verdict {
    let Authority::Renewal {
        serial,
        subject,
        sans,
        ..
    } = &case.facts.authority
    else {
        return Ok(());
    };
    authority::claims_equal(case.names.as_ref(), subject, sans)
        .and_then(|()| subject::issuable(case.profile, &case.names()?.subject))
        .map_err(|detail| format!("certificate {serial}: {detail}"))
}
