//! POL and CHA: which profile decides, and what authorises the request.

use super::{Case, Verdict, list, quote};
use crate::dn::Dn;
use crate::grant::{Grant, InventoryEntry, Source};
use crate::profile::{ChallengeKind, NamesError, PermittedNames};
use crate::san::SubjectAltName;

pub(super) fn profile(case: &Case<'_>) -> Verdict {
    let (wanted, got) = (case.profile.name().as_str(), &case.facts.profile);
    if got == wanted {
        Ok(())
    } else {
        Err(format!("profile: wanted {wanted}, got {}", quote(got)))
    }
}

pub(super) fn in_force(case: &Case<'_>) -> Verdict {
    let header = &case.profile.header;
    let time = |t| humantime::format_rfc3339_seconds(t);
    if case.facts.now < header.not_before {
        return Err(format!(
            "time: the profile is in force from {}, got {}",
            time(header.not_before),
            time(case.facts.now)
        ));
    }
    if case.facts.now >= header.expires {
        return Err(format!(
            "time: the profile is in force until {}, got {}",
            time(header.expires),
            time(case.facts.now)
        ));
    }
    Ok(())
}

pub(super) fn kind(case: &Case<'_>) -> Verdict {
    let wanted = case.profile.challenge_kind();
    let source = case.grant().map(Grant::source);
    if source.is_some_and(|source| source.renewed().is_some()) {
        return Ok(());
    }
    let got = source.and_then(Source::challenge_kind);
    if got == Some(wanted) {
        return Ok(());
    }
    let got = got.map_or("none", ChallengeKind::as_str);
    Err(format!("challenge: wanted a {wanted} challenge, got {got}"))
}

pub(super) fn challenge_profile(case: &Case<'_>) -> Verdict {
    let wanted = case.profile.name().as_str();
    if case.grant().is_none() {
        return Err("challenge: wanted one, got none".to_owned());
    }
    match case.challenge() {
        Some((source, claims)) if claims.profile != wanted => Err(format!(
            "{source}: wanted one for profile {wanted}, got one for {}",
            quote(&claims.profile)
        )),
        Some(_) | None => Ok(()),
    }
}

pub(super) fn unexpired(case: &Case<'_>) -> Verdict {
    let Some((source, claims)) = case.challenge() else {
        return Ok(());
    };
    match claims.expires {
        Some(expires) if case.facts.now >= expires => Err(format!(
            "{source}: wanted use before {}, got {}",
            humantime::format_rfc3339_seconds(expires),
            humantime::format_rfc3339_seconds(case.facts.now),
        )),
        Some(_) | None => Ok(()),
    }
}

pub(super) fn claims_fit(case: &Case<'_>) -> Verdict {
    let Some((source, claims)) = case.challenge() else {
        return Ok(());
    };
    let Some(names) = &claims.names else {
        return Ok(());
    };
    claims_equal(case.names.as_ref(), &names.subject, &names.sans)
        .map_err(|detail| format!("{source}: {detail}"))?;
    super::subject::issuable(case.profile, case.names()?)
}

pub(super) fn claims_equal(
    names: Result<&PermittedNames, &NamesError>,
    subject: &Dn,
    sans: &[SubjectAltName],
) -> Verdict {
    let names = names.map_err(ToString::to_string)?;
    if !names.subject.same(subject) {
        return Err(format!(
            "subject: wanted {}, got {}",
            quote(&names.subject.to_string()),
            quote(&subject.to_string())
        ));
    }
    if SubjectAltName::canonical_set(&names.sans) != SubjectAltName::canonical_set(sans) {
        return Err(format!(
            "subjectAltName: wanted {}, got {}",
            quote(&list(&names.sans)),
            quote(&list(sans))
        ));
    }
    Ok(())
}

pub(super) fn in_inventory(case: &Case<'_>) -> Verdict {
    let (Some(inventory), Some(grant)) = (case.profile.inventory(), case.grant()) else {
        return Ok(());
    };
    if !grant.source().needs_inventory() {
        return Ok(());
    }
    if grant.claims().inventory.is_none() {
        let name = case
            .profile
            .inventory_name(&case.facts.subject)
            .unwrap_or_default();
        return Err(format!(
            "subject: wanted a name in inventory {inventory}, got {}",
            quote(&name)
        ));
    }
    super::subject::issuable(case.profile, case.names()?)
}

pub(super) fn pinned_key(case: &Case<'_>) -> Verdict {
    let Some(entry) = case
        .grant()
        .and_then(|grant| grant.claims().inventory.as_ref())
    else {
        return Ok(());
    };
    let got = case.facts.key.spki_sha256();
    match entry.spki_sha256 {
        Some(wanted) if wanted != got => {
            Err(format!("key: wanted SPKI SHA-256 {wanted}, got {got}"))
        }
        Some(_) | None => Ok(()),
    }
}

pub(super) fn shared_secret(case: &Case<'_>) -> Verdict {
    match shared_entry(case) {
        Some(entry) if entry.spki_sha256.is_none() && !case.profile.accept_shared_secret() => {
            Err(format!(
                "inventory: wanted a pinned key for {} or accept_shared_secret = true, got neither",
                quote(&entry.name)
            ))
        }
        Some(_) | None => Ok(()),
    }
}

pub(super) fn not_yet_issued(case: &Case<'_>) -> Verdict {
    match shared_entry(case) {
        Some(entry) if entry.already_issued => Err(format!(
            "inventory: wanted the first certificate of {}, got a further one",
            quote(&entry.name)
        )),
        Some(_) | None => Ok(()),
    }
}

/// The entry of the inventory that a secret shared by several devices is used for.
fn shared_entry<'a>(case: &Case<'a>) -> Option<&'a InventoryEntry> {
    let grant = case.grant().filter(|grant| grant.source().is_shared())?;
    grant.claims().inventory.as_ref()
}
