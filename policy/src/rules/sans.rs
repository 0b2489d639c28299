//! SAN: the requested subject alternative names equal the permitted ones.

use super::{Case, Verdict, list, quote};
use crate::san::SubjectAltName;

pub(super) fn listed_types(case: &Case<'_>) -> Verdict {
    let listed: Vec<_> = case.profile.sans.iter().map(|rule| rule.kind).collect();
    match requested(case)
        .iter()
        .find(|name| !listed.contains(&name.kind()))
    {
        None => Ok(()),
        Some(name) => Err(format!(
            "subjectAltName: wanted types {}, got {}",
            list(&listed),
            quote(&name.to_string())
        )),
    }
}

pub(super) fn well_formed(case: &Case<'_>) -> Verdict {
    requested(case).iter().try_for_each(|name| {
        name.check()
            .map_err(|error| format!("subjectAltName: {error}"))
    })
}

pub(super) fn no_duplicates(case: &Case<'_>) -> Verdict {
    let names = SubjectAltName::canonical_set(requested(case));
    names.windows(2).try_for_each(|pair| match pair {
        [first, second] if first == second => Err(format!(
            "subjectAltName: wanted each name once, got {} twice",
            quote(&first.to_string())
        )),
        _ => Ok(()),
    })
}

pub(super) fn equal_set(case: &Case<'_>) -> Verdict {
    let names = case.names()?;
    let got = SubjectAltName::canonical_set(requested(case));
    let mut wanted = SubjectAltName::canonical_set(&names.sans);
    wanted.retain(|name| got.contains(name) || !names.is_added(name));
    // RFC 5280 section 4.2.1.6: an empty sequence of names is not a name.
    let empty_extension = case.facts.sans.as_ref().is_some_and(Vec::is_empty);
    if wanted == got && !empty_extension {
        Ok(())
    } else {
        Err(format!(
            "subjectAltName: wanted {}, got {}",
            quote(&list(wanted)),
            quote(&list(got))
        ))
    }
}

fn requested<'a>(case: &'a Case<'_>) -> &'a [SubjectAltName] {
    case.facts.sans.as_deref().unwrap_or_default()
}
