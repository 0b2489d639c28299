//! The head of a profile, and how requests are authorised.

use super::words::{durations, moved};
use super::{Bearing, DiffLine, Differences};
use crate::describe::{challenge, text, time};
use crate::profile::{ChallengeRule, Enrolment, Header, Quotas};

pub(super) fn header(old: &Header, new: &Header, found: &mut Differences) {
    let Header {
        description,
        version,
        not_before,
        expires,
        ticket,
        predecessor,
        default,
    } = new;
    found.about(&["description"], || {
        let (old, new) = (text(&old.description), text(description));
        vec![DiffLine::from_to("description", &old, &new)]
    });
    found.about(&["version"], || {
        vec![DiffLine::from_to("version", &old.version, version)]
    });
    found.about(&["not_before"], || {
        let bearing = if *not_before < old.not_before {
            Bearing::More
        } else {
            Bearing::Less
        };
        let (old, new) = (time(old.not_before), time(*not_before));
        vec![DiffLine::changed(
            bearing,
            format!("start (not_before) from {old} to {new}"),
        )]
    });
    found.about(&["expires"], || {
        let bearing = if *expires > old.expires {
            Bearing::More
        } else {
            Bearing::Less
        };
        let (old, new) = (time(old.expires), time(*expires));
        vec![DiffLine::changed(
            bearing,
            format!("end (expires) from {old} to {new}"),
        )]
    });
    found.about(&["ticket"], || {
        let (old, new) = (text(&old.ticket), text(ticket));
        vec![DiffLine::from_to("ticket", &old, &new)]
    });
    found.about(&["predecessor"], || {
        let shown = |hash: Option<[u8; 32]>| hash.map_or("none".to_owned(), hex::encode);
        let (old, new) = (shown(old.predecessor), shown(*predecessor));
        vec![DiffLine::from_to("predecessor", &old, &new)]
    });
    found.about(&["default"], || {
        vec![DiffLine::switched(
            *default,
            "serving the SCEP paths that name no profile (default)",
        )]
    });
}

pub(super) fn enrolment(old: &Enrolment, new: &Enrolment, found: &mut Differences) {
    let Enrolment {
        challenge: rule,
        challenge_ttl_max,
        fail_info_text,
        quotas: Quotas {
            profile_per_hour,
            name_per_hour,
        },
    } = new;
    authorised(&old.challenge, rule, found);
    found.about(&["enrolment.challenge_ttl_max"], || {
        let (old, new) = (old.challenge_ttl_max, *challenge_ttl_max);
        let field = "longest life of a challenge";
        vec![moved(field, old, new, true, durations)]
    });
    found.about(&["enrolment.fail_info_text"], || {
        vec![DiffLine::switched(
            *fail_info_text,
            "telling a client which rule refuses it (fail_info_text)",
        )]
    });
    for (key, field, old, new) in [
        (
            "enrolment.profile_per_hour",
            "certificates an hour",
            old.quotas.profile_per_hour,
            *profile_per_hour,
        ),
        (
            "enrolment.name_per_hour",
            "certificates an hour for one name",
            old.quotas.name_per_hour,
            *name_per_hour,
        ),
    ] {
        found.about(&[key], || {
            vec![moved(field, old, new, true, |old, new| {
                format!("from {old} to {new}")
            })]
        });
    }
}

fn authorised(old: &ChallengeRule, new: &ChallengeRule, found: &mut Differences) {
    if let (
        ChallengeRule::Static { inventory: old, .. },
        ChallengeRule::Static {
            inventory,
            accept_shared_secret,
        },
    ) = (old, new)
    {
        found.about(&["enrolment.inventory"], || {
            vec![DiffLine::from_to(
                "inventory that names come from",
                old,
                inventory,
            )]
        });
        found.about(&["enrolment.accept_shared_secret"], || {
            vec![DiffLine::switched(
                *accept_shared_secret,
                "names without a pinned key (accept_shared_secret)",
            )]
        });
        return;
    }
    let paths = [
        "enrolment.challenge",
        "enrolment.inventory",
        "enrolment.accept_shared_secret",
    ];
    found.about(&paths, || {
        vec![DiffLine::from_to(
            "challenge",
            &challenge(old),
            &challenge(new),
        )]
    });
}
