//! What several settings say together: how requests are authorised, keys, renewal, approval, exceptions.

use std::mem::discriminant;

use super::words::{bearing, moved, seconds, set};
use super::{DiffLine, Differences};
use crate::describe::{self, curve, duration, rsa, time};
use crate::profile::{Approval, Exception, Profile, Quirk, Renewal, Supersede};

/// Another kind of challenge, with all that comes with it.
pub(super) fn challenge(old: &Profile, new: &Profile, found: &mut Differences) {
    if old.challenge_kind() == new.challenge_kind() {
        return;
    }
    let paths =
        ["challenge", "inventory", "accept_shared_secret"].map(|key| format!("enrolment.{key}"));
    let shown = |profile: &Profile| describe::challenge(&profile.enrolment.challenge);
    found.about(&paths.each_ref().map(String::as_str), || {
        vec![DiffLine::from_to("challenge", &shown(old), &shown(new))]
    });
}

pub(super) fn keys(old: &Profile, new: &Profile, found: &mut Differences) {
    let (old, new) = (&old.keys, &new.keys);
    let kind = |rule| format!("key type {}", rsa(rule));
    found.part("keys.rsa", old.rsa.map(kind), new.rsa.map(kind));
    found.about(&["keys.curves"], || {
        set(&old.curves, &new.curves, |it| {
            format!("key type {}", curve(*it))
        })
    });
}

pub(super) fn renewal(old: &Profile, new: &Profile, found: &mut Differences) {
    let (old, new) = (old.renewal, new.renewal);
    found.part("renewal", old.map(offered), new.map(offered));
    let (Some(old), Some(new)) = (old, new) else {
        return;
    };
    let (old, new) = (old.supersede, new.supersede);
    if discriminant(&old) != discriminant(&new) {
        found.about(&["renewal.supersede", "renewal.revoke_after"], || {
            let (old, new) = (superseded(old), superseded(new));
            vec![DiffLine::from_to("a renewed certificate", &old, &new)]
        });
    }
}

fn offered(rule: Renewal) -> String {
    let Renewal {
        window,
        grace,
        same_key,
        once,
        supersede,
    } = rule;
    let grace = if grace.is_zero() {
        String::new()
    } else {
        format!(", grace {}", duration(grace))
    };
    let key = if same_key {
        "with any key"
    } else {
        "with a new key"
    };
    let once = if once { ", once" } else { "" };
    format!(
        "renewal (window {}{grace}, {key}{once}, the old certificate {})",
        duration(window),
        superseded(supersede)
    )
}

fn superseded(rule: Supersede) -> String {
    match rule {
        Supersede::Keep => "kept".to_owned(),
        Supersede::RevokeAfter(grace) => format!("revoked after {}", duration(grace)),
    }
}

/// What an approval is needed for is permitted without it where there is none.
pub(super) fn approval(old: &Profile, new: &Profile, found: &mut Differences) {
    let without = |rule: Approval| {
        let Approval { four_eyes, expires } = rule;
        let who = if four_eyes {
            "two operators'"
        } else {
            "an operator's"
        };
        format!(
            "issuing without {who} approval (within {})",
            duration(expires)
        )
    };
    found.part(
        "approval",
        new.approval.map(without),
        old.approval.map(without),
    );
}

pub(super) fn quirks(old: &Profile, new: &Profile, found: &mut Differences) {
    for quirk in Quirk::ALL {
        let (old, new) = (old.quirks.get(quirk), new.quirks.get(quirk));
        let path = format!("quirks.{quirk}");
        let shown = |exception: &Exception| {
            let value = match exception.value {
                value if value.is_zero() => String::new(),
                value => format!("of {} ", duration(value)),
            };
            format!("quirk {quirk} {value}{}", last(exception))
        };
        found.part(&path, old.map(shown), new.map(shown));
        let (Some(old), Some(new)) = (old, new) else {
            continue;
        };
        found.about(&[&format!("{path}.value")], || {
            let (old, new) = (old.value.as_secs(), new.value.as_secs());
            let field = format!("quirk {quirk}");
            vec![moved(&field, old, new, true, &seconds(old, new))]
        });
        found.about(&[&format!("{path}.until")], || {
            let later = new.until.is_none() || old.until.is_some_and(|old| new.until > Some(old));
            let what = format!(
                "sunset of quirk {quirk} from {} to {}",
                last(old),
                last(new)
            );
            vec![DiffLine::changed(bearing(later), what)]
        });
    }
}

fn last(exception: &Exception) -> String {
    exception
        .until
        .map_or("without an end".to_owned(), |until| {
            format!("until {}", time(until))
        })
}
