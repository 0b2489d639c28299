//! Exceptions and their last days.

use std::time::{Duration, SystemTime};

use super::words::{durations, moved};
use super::{Bearing, DiffLine, Differences};
use crate::describe::{duration, time};
use crate::profile::{Quirk, QuirkRules, Sunset};

pub(super) fn quirks(old: &QuirkRules, new: &QuirkRules, found: &mut Differences) {
    let QuirkRules {
        allow_sha1,
        allow_3des,
        single_ra,
        chain_in_reply,
        not_before_skew,
    } = new;
    for (quirk, old, new) in [
        (Quirk::AllowSha1, &old.allow_sha1, allow_sha1),
        (Quirk::Allow3Des, &old.allow_3des, allow_3des),
        (Quirk::SingleRa, &old.single_ra, single_ra),
        (Quirk::ChainInReply, &old.chain_in_reply, chain_in_reply),
    ] {
        let (was, is) = ((old.value, old.until), (new.value, new.until));
        switch(quirk, was, is, quirk.as_str(), found);
    }
    let (old, new) = (&old.not_before_skew, not_before_skew);
    skew(old, new, found);
}

fn skew(old: &Sunset<Duration>, new: &Sunset<Duration>, found: &mut Differences) {
    let quirk = Quirk::NotBeforeSkew;
    let (was, is) = (!old.value.is_zero(), !new.value.is_zero());
    let path = format!("quirks.{quirk}");
    if was && is && old.value != new.value {
        let field = format!("quirk {quirk}");
        let line = moved(&field, old.value, new.value, true, durations);
        found.about_alone(&path, line);
    }
    let named = format!(
        "{quirk} of {}",
        duration(if is { new.value } else { old.value })
    );
    switch(quirk, (was, old.until), (is, new.until), &named, found);
}

fn switch(
    quirk: Quirk,
    (was, old_until): (bool, Option<SystemTime>),
    (is, until): (bool, Option<SystemTime>),
    named: &str,
    found: &mut Differences,
) {
    found.about(&[&format!("quirks.{quirk}")], || {
        if was != is {
            let end = if is { until } else { old_until };
            return vec![DiffLine::switched(
                is,
                format!("quirk {named} {}", last(end)),
            )];
        }
        let bearing = match (is, old_until, until) {
            (false, _, _) => Bearing::Neither,
            (true, Some(_), None) => Bearing::More,
            (true, None, Some(_)) => Bearing::Less,
            (true, old, new) if new > old => Bearing::More,
            (true, _, _) => Bearing::Less,
        };
        let what = format!(
            "sunset of quirk {quirk} from {} to {}",
            last(old_until),
            last(until)
        );
        vec![DiffLine::changed(bearing, what)]
    });
}

fn last(until: Option<SystemTime>) -> String {
    until.map_or("without an end".to_owned(), |until| {
        format!("until {}", time(until))
    })
}
