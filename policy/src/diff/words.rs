//! The words of a line: raised or lowered, gained or lost.

use std::time::Duration;

use super::{Bearing, DiffLine};
use crate::describe::{days, duration};

/// A value that has an order: `validity raised from 365 to 400 days`. `more` says that a greater one permits more.
pub(super) fn moved<T: PartialOrd>(
    field: &str,
    old: T,
    new: T,
    more: bool,
    from_to: impl FnOnce(T, T) -> String,
) -> DiffLine {
    let raised = new > old;
    let bearing = if raised == more {
        Bearing::More
    } else {
        Bearing::Less
    };
    let way = if raised { "raised" } else { "lowered" };
    DiffLine::changed(bearing, format!("{field} {way} {}", from_to(old, new)))
}

/// `from 365 to 400 days`, or in hours and minutes where one of the two is no number of days.
pub(super) fn durations(old: Duration, new: Duration) -> String {
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

/// As [`set`], and whether what stayed is in another order, which certificates show.
pub(super) fn ordered_set<T: PartialEq>(
    field: &str,
    old: &[T],
    new: &[T],
    what: impl Fn(&T) -> String,
) -> Vec<DiffLine> {
    let mut line = set(old, new, &what);
    line.extend(order(field, old, new, what));
    line
}

/// Whether what is in both lists is in another order.
pub(super) fn order<T: PartialEq>(
    field: &str,
    old: &[T],
    new: &[T],
    what: impl Fn(&T) -> String,
) -> Option<DiffLine> {
    let stayed = |from: &[T], other: &[T]| -> Vec<String> {
        from.iter()
            .filter(|item| other.contains(item))
            .map(&what)
            .collect()
    };
    let (before, after) = (stayed(old, new), stayed(new, old));
    (before != after).then(|| {
        DiffLine::from_to(
            &format!("order of {field}"),
            &before.join(", "),
            &after.join(", "),
        )
    })
}
