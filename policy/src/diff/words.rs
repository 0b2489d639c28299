//! The words of a line: from what to what, raised or lowered, gained or lost.

use std::time::Duration;

use serde_json::Value;

use super::{Bearing, DiffLine, Differences};
use crate::describe::{days, duration, text};
use crate::profile::Profile;

/// How the difference of a setting is described, in the words of its field.
pub(super) enum Words {
    /// `version from 3 to 4`.
    FromTo,
    /// `ticket from "NET-1" to "NET-2"`.
    Quoted,
    /// A time that permits more when it is later, or when it is earlier.
    Time { later_is_more: bool },
    /// `validity raised from 365 to 400 days`; whether a greater number permits more.
    Number(bool, fn(u64, u64) -> String),
    /// What the field names is permitted where the setting is this.
    Switch(bool),
    /// What a list gained and lost.
    Set,
    /// As `Set`, and whether what stayed is in another order, which certificates show; the plural of the field.
    Ordered(&'static str),
    /// Places are reported to relying parties: they permit nothing.
    Places,
    /// What several settings say together.
    Parts(fn(&Profile, &Profile, &mut Differences)),
}

impl Words {
    pub(super) fn lines(&self, field: &str, old: &Value, new: &Value) -> Vec<DiffLine> {
        let named = |word: &String| format!("{field} {word}");
        let line = match self {
            Self::FromTo => DiffLine::from_to(field, &shown(old), &shown(new)),
            Self::Quoted => DiffLine::from_to(field, &text(&shown(old)), &text(&shown(new))),
            Self::Time { later_is_more } => {
                let (old, new) = (shown(old), shown(new));
                // RFC 3339 in UTC sorts by time.
                let bearing = bearing((new > old) == *later_is_more);
                DiffLine::changed(bearing, format!("{field} from {old} to {new}"))
            }
            Self::Number(more, from_to) => {
                let (old, new) = (number(old), number(new));
                moved(field, old, new, *more, &from_to(old, new))
            }
            Self::Switch(permitted) => DiffLine::switched(*new == Value::Bool(*permitted), field),
            Self::Set => return set(&list(old), &list(new), named),
            Self::Ordered(plural) => {
                let (old, new) = (list(old), list(new));
                let mut lines = set(&old, &new, named);
                lines.extend(order(plural, &old, &new, named));
                return lines;
            }
            Self::Places => {
                let (old, new) = (list(old), list(new));
                let mut lines = set(&old, &new, |place| place.clone());
                for line in &mut lines {
                    let way = match line.bearing {
                        Bearing::More => "added",
                        Bearing::Less | Bearing::Neither => "removed",
                    };
                    let what = format!("{field} {} {way}", line.what);
                    *line = DiffLine::changed(Bearing::Neither, what);
                }
                lines.extend(order(field, &old, &new, Clone::clone));
                return lines;
            }
            Self::Parts(_) => return Vec::new(),
        };
        vec![line]
    }
}

pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

fn list(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(shown).collect()
}

pub(super) fn bearing(more: bool) -> Bearing {
    if more { Bearing::More } else { Bearing::Less }
}

/// A value that has an order: `more` says that a greater one permits more.
pub(super) fn moved<T: PartialOrd + Copy>(
    field: &str,
    old: T,
    new: T,
    more: bool,
    from_to: &str,
) -> DiffLine {
    let raised = new > old;
    let way = if raised { "raised" } else { "lowered" };
    DiffLine::changed(bearing(raised == more), format!("{field} {way} {from_to}"))
}

pub(super) fn numbers<T: std::fmt::Display>(old: T, new: T) -> String {
    format!("from {old} to {new}")
}

pub(super) fn bits(old: u64, new: u64) -> String {
    format!("from {old} to {new} bits")
}

/// `from 365 to 400 days`, or in hours and minutes where one of the two is no number of days.
pub(super) fn seconds(old: u64, new: u64) -> String {
    let (old, new) = (Duration::from_secs(old), Duration::from_secs(new));
    match (days(old), days(new)) {
        (Some(old), Some(new)) => format!("from {old} to {new} days"),
        (Some(_), None) | (None, Some(_)) | (None, None) => {
            format!("from {} to {}", duration(old), duration(new))
        }
    }
}

/// What a set gained and lost, in the order of the new one, then of the old one.
pub(super) fn set<T: PartialEq>(
    old: &[T],
    new: &[T],
    what: impl Fn(&T) -> String,
) -> Vec<DiffLine> {
    let gained = new.iter().filter(|item| !old.contains(item));
    let lost = old.iter().filter(|item| !new.contains(item));
    gained
        .map(|item| DiffLine::newly(what(item)))
        .chain(lost.map(|item| DiffLine::no_longer(what(item))))
        .collect()
}

/// Whether what is in both lists is in another order.
pub(super) fn order<T: PartialEq>(
    field: &str,
    old: &[T],
    new: &[T],
    what: impl Fn(&T) -> String,
) -> Option<DiffLine> {
    let stayed = |from: &[T], other: &[T]| -> String {
        let stayed = from.iter().filter(|item| other.contains(item));
        stayed.map(&what).collect::<Vec<_>>().join(", ")
    };
    let (before, after) = (stayed(old, new), stayed(new, old));
    (before != after).then(|| DiffLine::from_to(&format!("order of {field}"), &before, &after))
}
