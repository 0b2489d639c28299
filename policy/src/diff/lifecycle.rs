//! Renewal, and approval by a person.

use super::words::{durations, moved};
use super::{DiffLine, Differences};
use crate::describe::duration;
use crate::profile::{Approval, Renewal, Supersede};

pub(super) fn renewal(old: Option<&Renewal>, new: Option<&Renewal>, found: &mut Differences) {
    let (Some(old), Some(new)) = (old, new) else {
        found.about(&["renewal"], || {
            let gone = old.map(|rule| DiffLine::no_longer(offered(rule)));
            let come = new.map(|rule| DiffLine::newly(offered(rule)));
            gone.into_iter().chain(come).collect()
        });
        return;
    };
    let Renewal {
        window,
        same_key,
        supersede,
    } = new;
    found.about(&["renewal.window"], || {
        let field = "renewal window";
        vec![moved(field, old.window, *window, true, durations)]
    });
    found.about(&["renewal.same_key"], || {
        vec![DiffLine::switched(*same_key, "renewal with the same key")]
    });
    found.about(&["renewal.supersede", "renewal.revoke_after"], || {
        if let (Supersede::RevokeAfter(old), Supersede::RevokeAfter(new)) =
            (old.supersede, *supersede)
        {
            let field = "life of a renewed certificate after its successor's issue";
            return vec![moved(field, old, new, true, durations)];
        }
        let (old, new) = (superseded(old.supersede), superseded(*supersede));
        vec![DiffLine::from_to("a renewed certificate", &old, &new)]
    });
}

fn offered(rule: &Renewal) -> String {
    let Renewal {
        window,
        same_key,
        supersede,
    } = rule;
    let key = if *same_key {
        "with any key"
    } else {
        "with a new key"
    };
    format!(
        "renewal (window {}, {key}, the old certificate {})",
        duration(*window),
        superseded(*supersede)
    )
}

fn superseded(rule: Supersede) -> String {
    match rule {
        Supersede::Keep => "kept".to_owned(),
        Supersede::RevokeAfter(grace) => format!("revoked after {}", duration(grace)),
    }
}

pub(super) fn approval(old: Option<&Approval>, new: Option<&Approval>, found: &mut Differences) {
    let (Some(old), Some(new)) = (old, new) else {
        found.about(&["approval"], || {
            let without = |rule| format!("issuing without {}", wanted(rule));
            let gone = old.map(|rule| DiffLine::newly(without(rule)));
            let come = new.map(|rule| DiffLine::no_longer(without(rule)));
            gone.into_iter().chain(come).collect()
        });
        return;
    };
    let Approval { four_eyes, expires } = new;
    found.about(&["approval.four_eyes"], || {
        vec![DiffLine::switched(
            !*four_eyes,
            "approval by one operator alone (four_eyes)",
        )]
    });
    found.about(&["approval.expires"], || {
        let field = "time for an approval";
        vec![moved(field, old.expires, *expires, true, durations)]
    });
}

fn wanted(rule: &Approval) -> String {
    let Approval { four_eyes, expires } = rule;
    let who = if *four_eyes {
        "two operators'"
    } else {
        "an operator's"
    };
    format!("{who} approval (within {})", duration(*expires))
}
