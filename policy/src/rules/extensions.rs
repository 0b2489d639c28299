//! REQ and EXT: extension requests other than names.

use const_oid::ObjectIdentifier;

use super::{Case, Verdict, list};
use crate::algorithm::{KeyUsageBit, extended_key_usage_name};

pub(super) fn well_formed(case: &Case<'_>) -> Verdict {
    match case.facts.malformed.first() {
        None => Ok(()),
        Some(part) => Err(format!(
            "{}: wanted what its standard says, got: {}",
            part.field, part.reason
        )),
    }
}

pub(super) fn key_usage(case: &Case<'_>) -> Verdict {
    let wanted = case.profile.key_usage();
    match case.facts.key_usage {
        Some(got) if got != wanted => Err(format!(
            "keyUsage: wanted {}, got {}",
            usage_names(wanted),
            usage_names(got)
        )),
        Some(_) | None => Ok(()),
    }
}

pub(super) fn extended_key_usage(case: &Case<'_>) -> Verdict {
    let sorted = |usages: &[ObjectIdentifier]| {
        let mut usages = usages.to_vec();
        usages.sort();
        usages
    };
    let wanted = sorted(case.profile.extended_key_usage());
    match case.facts.extended_key_usage.as_deref().map(sorted) {
        Some(got) if got != wanted => Err(format!(
            "extendedKeyUsage: wanted {}, got {}",
            list(wanted.iter().map(extended_key_usage_name)),
            list(got.iter().map(extended_key_usage_name)),
        )),
        Some(_) | None => Ok(()),
    }
}

pub(super) fn basic_constraints(case: &Case<'_>) -> Verdict {
    match case.facts.basic_constraints_ca {
        Some(true) => Err("basicConstraints: wanted CA:FALSE, got CA:TRUE".to_owned()),
        Some(false) | None => Ok(()),
    }
}

pub(super) fn no_other(case: &Case<'_>) -> Verdict {
    let mut others = case.facts.other_extensions.iter();
    match others.find(|oid| !case.profile.ignores(oid)) {
        None => Ok(()),
        Some(oid) => Err(format!(
            "extension {oid}: wanted none except those that the profile issues or ignores"
        )),
    }
}

pub(super) fn usage_names(bits: u16) -> String {
    let named = KeyUsageBit::ALL
        .iter()
        .filter(|usage| bits & usage.mask() != 0);
    let unnamed = [(5, "keyCertSign"), (6, "cRLSign")]
        .into_iter()
        .filter(|(bit, _)| bits & (1 << bit) != 0)
        .map(|(_, name)| name.to_owned());
    list(named.map(ToString::to_string).chain(unnamed))
}
