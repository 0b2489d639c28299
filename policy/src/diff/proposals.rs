//! What a proposal says besides its files.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use super::words::set;
use super::{Bearing, Change, DiffLine};
use crate::describe::{text, time};
use crate::profile::ProfileName;
use crate::proposal::Proposal;

/// Every difference between two proposals but that of their files, which [`super::diff`] tells of. The profiles that
/// the new one lets issue again are listed whether or not another old one did.
pub fn diff_proposals(old: &Proposal, new: &Proposal) -> Vec<Change> {
    let Proposal {
        number,
        predecessor,
        files: _,
        model: _,
        issuer,
        not_before,
        expires,
        ticket,
        resumes,
        settings,
        inventories,
    } = new;
    if old == new {
        return Vec::new();
    }
    let hash = |hash: Option<[u8; 32]>| hash.map_or("none".to_owned(), hex::encode);
    let mut line = Vec::new();
    let mut differs = |key: &str, before: &dyn Display, after: &dyn Display| {
        let (before, after) = (before.to_string(), after.to_string());
        if before != after {
            line.push((key.to_owned(), DiffLine::from_to(key, &before, &after)));
        }
    };
    differs("number", &old.number, number);
    differs("predecessor", &hash(old.predecessor), &hash(*predecessor));
    differs("issuer", &hash(Some(old.issuer)), &hash(Some(*issuer)));
    differs("ticket", &text(&old.ticket), &text(ticket));
    for (key, before, after, more) in [
        (
            "not_before",
            old.not_before,
            *not_before,
            *not_before < old.not_before,
        ),
        ("expires", old.expires, *expires, *expires > old.expires),
    ] {
        if before != after {
            let bearing = if more { Bearing::More } else { Bearing::Less };
            let what = format!(
                "{key} from {} to {}",
                time(before.into()),
                time(after.into())
            );
            line.push((key.to_owned(), DiffLine::changed(bearing, what)));
        }
    }
    let resumed: Vec<&ProfileName> = resumes.iter().collect();
    let resuming = set(&[], &resumed, |profile| {
        format!("issuing under the stopped profile {profile}")
    });
    line.extend(
        resuming
            .into_iter()
            .map(|resumed| ("resumes".to_owned(), resumed)),
    );
    line.extend(entries("setting", "settings", &old.settings, settings));
    let heads = |inventories: &BTreeMap<ProfileName, [u8; 32]>| -> BTreeMap<String, String> {
        let named = inventories.iter();
        named
            .map(|(profile, head)| (profile.to_string(), hex::encode(head)))
            .collect()
    };
    line.extend(entries(
        "inventory of",
        "inventories",
        &heads(&old.inventories),
        &heads(inventories),
    ));
    line.into_iter()
        .map(|(key, line)| line.change(None, vec![format!("proposal.{key}")]))
        .collect()
}

fn entries(
    word: &str,
    table: &str,
    old: &BTreeMap<String, String>,
    new: &BTreeMap<String, String>,
) -> Vec<(String, DiffLine)> {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let shown = |value: Option<&String>| value.map_or("unset", String::as_str).to_owned();
    names
        .into_iter()
        .filter(|name| old.get(*name) != new.get(*name))
        .map(|name| {
            let (before, after) = (shown(old.get(name)), shown(new.get(name)));
            let line = DiffLine::from_to(&format!("{word} {name}"), &before, &after);
            (format!("{table}.{name}"), line)
        })
        .collect()
}
