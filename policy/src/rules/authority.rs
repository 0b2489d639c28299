//! POL and CHA: which profile decides, and what authorises the request.

use super::{Case, Verdict, list, quote};
use crate::dn::Dn;
use crate::facts::Authority;
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
    let got = match &case.facts.authority {
        Authority::OneTimeChallenge { .. } => Some(ChallengeKind::OneTime),
        Authority::StaticChallenge { .. } => Some(ChallengeKind::Static),
        Authority::Renewal { .. } => return Ok(()),
        Authority::None => None,
    };
    if got == Some(wanted) {
        return Ok(());
    }
    let got = got.map_or("none", ChallengeKind::as_str);
    Err(format!("challenge: wanted a {wanted} challenge, got {got}"))
}

pub(super) fn challenge_profile(case: &Case<'_>) -> Verdict {
    let wanted = case.profile.name().as_str();
    let (id, got) = match &case.facts.authority {
        Authority::OneTimeChallenge { id, profile, .. }
        | Authority::StaticChallenge { id, profile, .. } => (id, profile),
        Authority::Renewal { .. } => return Ok(()),
        Authority::None => return Err("challenge: wanted one, got none".to_owned()),
    };
    if got == wanted {
        Ok(())
    } else {
        Err(format!(
            "challenge {id}: wanted one for profile {wanted}, got one for {}",
            quote(got)
        ))
    }
}

pub(super) fn unexpired(case: &Case<'_>) -> Verdict {
    match &case.facts.authority {
        Authority::OneTimeChallenge { id, expires, .. } if case.facts.now >= *expires => {
            Err(format!(
                "challenge {id}: wanted use before {}, got {}",
                humantime::format_rfc3339_seconds(*expires),
                humantime::format_rfc3339_seconds(case.facts.now),
            ))
        }
        Authority::OneTimeChallenge { .. }
        | Authority::StaticChallenge { .. }
        | Authority::Renewal { .. }
        | Authority::None => Ok(()),
    }
}

pub(super) fn claims_fit(case: &Case<'_>) -> Verdict {
    match &case.facts.authority {
        Authority::OneTimeChallenge {
            id, subject, sans, ..
        } => {
            claims_equal(case.names.as_ref(), subject, sans)
                .map_err(|detail| format!("challenge {id}: {detail}"))?;
            super::subject::issuable(case.profile, &case.names()?.subject)
        }
        Authority::StaticChallenge { .. } | Authority::Renewal { .. } | Authority::None => Ok(()),
    }
}

pub(super) fn claims_equal(
    names: Result<&PermittedNames, &NamesError>,
    subject: &Dn,
    sans: &[SubjectAltName],
) -> Verdict {
    let names = names.map_err(ToString::to_string)?;
    if names.subject != *subject {
        return Err(format!(
            "subject: wanted {}, got {}",
            quote(&names.subject.to_string()),
            quote(&subject.to_string())
        ));
    }
    let (mut wanted, mut got) = (names.sans.clone(), sans.to_vec());
    wanted.sort();
    got.sort();
    if wanted != got {
        return Err(format!(
            "subjectAltName: wanted {}, got {}",
            quote(&list(&wanted)),
            quote(&list(&got))
        ));
    }
    Ok(())
}

pub(super) fn in_inventory(case: &Case<'_>) -> Verdict {
    let Some(inventory) = case.profile.inventory() else {
        return Ok(());
    };
    match &case.facts.authority {
        Authority::StaticChallenge {
            inventory: None, ..
        }
        | Authority::Renewal {
            inventory: None, ..
        } => {
            let name = case
                .profile
                .inventory_name(&case.facts.subject)
                .unwrap_or_default();
            Err(format!(
                "subject: wanted a name in inventory {inventory}, got {}",
                quote(&name)
            ))
        }
        Authority::StaticChallenge { .. } | Authority::Renewal { .. } => {
            super::subject::issuable(case.profile, &case.names()?.subject)
        }
        Authority::OneTimeChallenge { .. } | Authority::None => Ok(()),
    }
}

pub(super) fn pinned_key(case: &Case<'_>) -> Verdict {
    let (Authority::StaticChallenge {
        inventory: Some(entry),
        ..
    }
    | Authority::Renewal {
        inventory: Some(entry),
        ..
    }) = &case.facts.authority
    else {
        return Ok(());
    };
    let got = case.facts.key.spki_sha256();
    match entry.spki_sha256 {
        Some(wanted) if wanted != got => Err(format!(
            "key: wanted SPKI SHA-256 {}, got {}",
            hex::encode(wanted),
            hex::encode(got)
        )),
        Some(_) | None => Ok(()),
    }
}

pub(super) fn shared_secret(case: &Case<'_>) -> Verdict {
    match &case.facts.authority {
        Authority::StaticChallenge {
            inventory: Some(entry),
            ..
        } if entry.spki_sha256.is_none() && !case.profile.accept_shared_secret() => Err(format!(
            "inventory: wanted a pinned key for {} or accept_shared_secret = true, got neither",
            quote(&entry.name)
        )),
        Authority::StaticChallenge { .. }
        | Authority::OneTimeChallenge { .. }
        | Authority::Renewal { .. }
        | Authority::None => Ok(()),
    }
}

pub(super) fn not_yet_issued(case: &Case<'_>) -> Verdict {
    match &case.facts.authority {
        Authority::StaticChallenge {
            inventory: Some(entry),
            ..
        } if entry.already_issued => Err(format!(
            "inventory: wanted the first certificate of {}, got a further one",
            quote(&entry.name)
        )),
        Authority::StaticChallenge { .. }
        | Authority::OneTimeChallenge { .. }
        | Authority::Renewal { .. }
        | Authority::None => Ok(()),
    }
}
