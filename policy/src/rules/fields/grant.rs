//! The profile, the time, and what authorises the request.

use std::time::{Duration, SystemTime};

use super::{Case, Sheet};
use crate::dn::Dn;
use crate::grant::{Claims, InventoryEntry, Renewed, Source};
use crate::profile::ChallengeKind;
use crate::rules::list;
use crate::san::SubjectAltName;

pub(super) fn rows(case: &Case<'_>, sheet: &mut Sheet) {
    let (profile, facts) = (case.profile, case.facts);
    let name = profile.name().as_str();
    let header = &profile.header;
    sheet.row("profile", name, &facts.profile, &["POL-01"]);
    sheet.row(
        "time",
        format!(
            "from {} until {}",
            time(header.not_before),
            time(header.expires)
        ),
        time(facts.now),
        &["POL-02"],
    );
    let kind = match profile.challenge_kind() {
        ChallengeKind::OneTime => "a one-time challenge",
        ChallengeKind::Static => "a static challenge",
    };
    let or_renewal = match profile.renewal() {
        Some(_) => format!("{kind}, or a renewal"),
        None => kind.to_owned(),
    };
    let Some(grant) = case.grant() else {
        return sheet.row("source", or_renewal, "none", &["CHA-01", "CHA-02"]);
    };
    let source = grant.source();
    if let Some(renewed) = source.renewed() {
        return renewal(case, or_renewal, source, renewed, grant.claims(), sheet);
    }
    let Claims {
        profile: issued_for,
        names,
        expires,
        inventory,
    } = grant.claims();
    sheet.row("source", or_renewal, source.describe(), &["CHA-01"]);
    sheet.row("challenge's profile", name, issued_for, &["CHA-02"]);
    if let Some(expires) = expires {
        let before = format!("before {}", time(*expires));
        sheet.row("time of use", before, time(facts.now), &["CHA-03"]);
    }
    if let Some(names) = names {
        let got = both(&names.subject, &names.sans);
        sheet.row("challenge's names", permitted(case), got, &["CHA-04"]);
    }
    if source.needs_inventory() {
        entry(case, inventory.as_ref(), &["CHA-06", "CHA-07"], sheet);
    }
    if let Some(entry) = inventory.as_ref().filter(|_| source.is_shared()) {
        let got = if entry.already_issued { "one" } else { "none" };
        sheet.row("earlier certificate", "none", got, &["CHA-08"]);
    }
}

fn renewal(
    case: &Case<'_>,
    wanted: String,
    source: &Source,
    renewed: &Renewed,
    claims: &Claims,
    sheet: &mut Sheet,
) {
    let (profile, facts) = (case.profile, case.facts);
    sheet.row("source", wanted, source.describe(), &["CHA-01", "REN-01"]);
    let name = profile.name().as_str();
    sheet.row("renewed profile", name, &claims.profile, &["REN-02"]);
    if let Some(not_after) = claims.expires {
        let grace = profile
            .renewal()
            .map_or(Duration::ZERO, |renewal| renewal.grace);
        let until = time(not_after.checked_add(grace).unwrap_or(not_after));
        let window = match profile.renewal() {
            Some(renewal) => {
                let opens = not_after.checked_sub(renewal.window);
                let opens = opens.unwrap_or(SystemTime::UNIX_EPOCH);
                format!("from {} to {until}", time(opens))
            }
            None => format!("to {until}"),
        };
        let now = time(facts.now);
        sheet.row("time of renewal", window, now, &["REN-03", "REN-04"]);
    }
    let key = match profile.renewal() {
        Some(renewal) if !renewal.same_key => "a new one",
        Some(_) | None => "a new one or the same",
    };
    let same = facts.key.spki_sha256() == renewed.spki_sha256;
    let got = if same { "the same" } else { "a new one" };
    sheet.row("renewal's key", key, got, &["REN-05"]);
    if profile.renewal().is_some_and(|renewal| renewal.once) {
        let got = renewed.successor.as_deref().unwrap_or("none");
        sheet.row("earlier renewal", "none", got, &["REN-07"]);
    }
    if let Some(names) = &claims.names {
        let got = both(&names.subject, &names.sans);
        sheet.row("renewed names", permitted(case), got, &["REN-06"]);
    }
    entry(case, claims.inventory.as_ref(), &["CHA-06"], sheet);
}

fn entry(
    case: &Case<'_>,
    entry: Option<&InventoryEntry>,
    key_rules: &[&'static str],
    sheet: &mut Sheet,
) {
    if let Some(inventory) = case.profile.inventory() {
        let asked = case.profile.inventory_name(&case.facts.subject);
        let got = match entry {
            Some(entry) => entry.name.clone(),
            None => format!("{} is not in it", asked.unwrap_or_default()),
        };
        let wanted = format!("a name of inventory {inventory}");
        sheet.row("inventory", wanted, got, &["CHA-05"]);
    }
    let Some(entry) = entry else { return };
    let wanted = match entry.spki_sha256 {
        Some(pinned) => format!("SHA-256 {pinned}"),
        None if case.profile.accept_shared_secret() => "any".to_owned(),
        None => "a pinned one".to_owned(),
    };
    let got = match entry.spki_sha256 {
        Some(_) => format!("SHA-256 {}", case.facts.key.spki_sha256()),
        None => "none is pinned".to_owned(),
    };
    sheet.row("inventory's key", wanted, got, key_rules);
}

/// The names that may be issued.
fn permitted(case: &Case<'_>) -> String {
    match &case.names {
        Ok(names) => both(&names.subject, &names.sans),
        Err(error) => error.to_string(),
    }
}

fn both(subject: &Dn, sans: &[SubjectAltName]) -> String {
    let mut sans = sans.to_vec();
    sans.sort();
    let subject = if subject.is_empty() {
        "no subject".to_owned()
    } else {
        subject.to_string()
    };
    if sans.is_empty() {
        subject
    } else {
        format!("{subject}; {}", list(sans))
    }
}

fn time(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}
