//! What a proposal says besides its files.

use std::collections::BTreeMap;

use serde_json::Value;

use super::words::{Words, shown};
use super::{Change, DiffLine, Differences};
use crate::proposal::Proposal;

/// Every difference between two proposals but that of their files, which [`super::diff`] tells of. The profiles that
/// the new one lets issue again are listed whether or not another old one did.
pub fn diff_proposals(old: &Proposal, new: &Proposal) -> Vec<Change> {
    if old == new {
        return Vec::new();
    }
    let mut found = Differences::between(None, settings(old), settings(new));
    for (key, words) in [
        ("number", Words::FromTo),
        ("predecessor", Words::FromTo),
        ("semantics", Words::FromTo),
        ("issuer", Words::FromTo),
        ("hsm_configuration", Words::FromTo),
        ("ticket", Words::Quoted),
        (
            "not_before",
            Words::Time {
                later_is_more: false,
            },
        ),
        (
            "expires",
            Words::Time {
                later_is_more: true,
            },
        ),
    ] {
        found.setting(&format!("proposal.{key}"), key, &words);
    }
    for profile in &new.resumes {
        let line = DiffLine::newly(format!("issuing under the stopped profile {profile}"));
        let paths = vec!["proposal.resumes".to_owned()];
        found.changes.push(line.change(None, paths));
    }
    for (path, (before, after)) in std::mem::take(&mut found.open) {
        let field = path
            .replace("proposal.settings.", "setting ")
            .replace("proposal.inventories.", "inventory of ");
        let value = |value: Option<Value>| value.as_ref().map_or("unset".to_owned(), shown);
        let line = DiffLine::from_to(&field, &value(before), &value(after));
        found.changes.push(line.change(None, vec![path]));
    }
    found.changes
}

fn settings(proposal: &Proposal) -> BTreeMap<String, Value> {
    let Proposal {
        number,
        predecessor,
        files: _,
        model: _,
        semantics,
        issuer,
        hsm_configuration,
        not_before,
        expires,
        ticket,
        resumes: _,
        settings,
        inventories,
    } = proposal;
    let mut all = BTreeMap::from([
        ("proposal.number".to_owned(), Value::from(*number)),
        (
            "proposal.predecessor".to_owned(),
            predecessor.map(String::from).into(),
        ),
        ("proposal.semantics".to_owned(), semantics.number().into()),
        ("proposal.issuer".to_owned(), issuer.to_string().into()),
        (
            "proposal.hsm_configuration".to_owned(),
            hsm_configuration.map(String::from).into(),
        ),
        ("proposal.ticket".to_owned(), ticket.as_str().into()),
        (
            "proposal.not_before".to_owned(),
            not_before.to_string().into(),
        ),
        ("proposal.expires".to_owned(), expires.to_string().into()),
    ]);
    for (name, value) in settings {
        all.insert(format!("proposal.settings.{name}"), value.as_str().into());
    }
    for (profile, head) in inventories {
        all.insert(
            format!("proposal.inventories.{profile}"),
            head.to_string().into(),
        );
    }
    all
}
