//! Subject and subject alternative names.

use std::collections::BTreeSet;

use super::words::{Words, moved, numbers, order};
use super::{DiffLine, Differences};
use crate::attribute::type_name;
use crate::describe::{list, rdn, san};
use crate::profile::{Profile, RdnRule, SanRule, SanValue};
use crate::san::SanKind;

pub(super) fn subject(old: &Profile, new: &Profile, found: &mut Differences) {
    let (old, new) = (&old.subject, &new.subject);
    let shape = |rules: &[RdnRule]| -> Vec<(BTreeSet<String>, bool)> {
        let types = rules.iter().map(|rule| {
            let attributes = rule.attributes.iter();
            let types = attributes.map(|it| type_name(&it.oid)).collect();
            (types, rule.optional)
        });
        types.collect()
    };
    if shape(old) != shape(new) {
        // With the encodings, as they stand at places that mean something else now.
        found.about(&["subject"], || {
            vec![DiffLine::from_to("subject", &whole(old), &whole(new))]
        });
        return;
    }
    for (index, (types, _)) in shape(new).iter().enumerate() {
        for name in types {
            let path = format!("subject.{index:03}.{name}");
            let field = format!("subject {name} (RDN {})", index + 1);
            let issued = format!("issued encoding of {field}");
            found.setting(&format!("{path}.value"), &field, &Words::FromTo);
            found.setting(
                &format!("{path}.accept"),
                &format!("{field} as"),
                &Words::Set,
            );
            found.setting(&format!("{path}.issue"), &issued, &Words::FromTo);
        }
    }
}

fn whole(rdns: &[RdnRule]) -> String {
    if rdns.is_empty() {
        return "none".to_owned();
    }
    let shown = rdns.iter().map(|rule| {
        let encodings = rule.attributes.iter().map(|attribute| {
            format!(
                "{} for {}",
                attribute.issue.as_str(),
                list(attribute.accept.iter().map(|encoding| encoding.as_str()))
            )
        });
        format!("{} [{}]", rdn(rule), list(encodings))
    });
    list(shown)
}

pub(super) fn sans(old: &Profile, new: &Profile, found: &mut Differences) {
    let (old, new) = (&old.sans, &new.sans);
    found.about(&["san"], || {
        let mut line: Vec<DiffLine> = bounds(old, new).collect();
        let bounded = |rule: &SanRule, other: &[SanRule]| {
            claimed(rule).is_some() && of_kind(other, rule.kind).is_some()
        };
        line.extend(
            surplus(new, old)
                .filter(|rule| !bounded(rule, old))
                .map(|rule| DiffLine::newly(format!("SAN {}", san(rule)))),
        );
        line.extend(
            surplus(old, new)
                .filter(|rule| !bounded(rule, new))
                .map(|rule| DiffLine::no_longer(format!("SAN {}", san(rule)))),
        );
        // Bounds are reported above: only the place counts here.
        let places = |rules: &[SanRule]| -> Vec<String> { rules.iter().map(place).collect() };
        let (old, new) = (places(old), places(new));
        line.extend(order("subject alternative names", &old, &new, Clone::clone));
        line
    });
}

/// What `more` has and `less` has not, as often as it has it more often.
fn surplus<'a>(more: &'a [SanRule], less: &[SanRule]) -> impl Iterator<Item = &'a SanRule> {
    let mut left = less.to_vec();
    more.iter().filter(
        move |rule| match left.iter().position(|other| other == *rule) {
            Some(at) => {
                left.remove(at);
                false
            }
            None => true,
        },
    )
}

/// How many names of a type may be claimed, where they may before and after.
fn bounds<'a>(old: &'a [SanRule], new: &'a [SanRule]) -> impl Iterator<Item = DiffLine> + use<'a> {
    new.iter().flat_map(move |rule| {
        let (Some((min, max)), Some((old_min, old_max))) = (claimed(rule), of_kind(old, rule.kind))
        else {
            return Vec::new();
        };
        let kind = rule.kind;
        let moves = [
            (format!("fewest claimed SAN {kind}"), old_min, min, false),
            (format!("most claimed SAN {kind}"), old_max, max, true),
        ];
        moves
            .into_iter()
            .filter(|(_, old, new, _)| old != new)
            .map(|(field, old, new, more)| moved(&field, old, new, more, &numbers(old, new)))
            .collect()
    })
}

fn place(rule: &SanRule) -> String {
    match claimed(rule) {
        Some(_) => format!("{} <claimed>", rule.kind),
        None => san(rule),
    }
}

fn of_kind(rules: &[SanRule], kind: SanKind) -> Option<(usize, usize)> {
    rules
        .iter()
        .filter(|rule| rule.kind == kind)
        .find_map(claimed)
}

fn claimed(rule: &SanRule) -> Option<(usize, usize)> {
    match rule.value {
        SanValue::Claimed { min, max } => Some((min, max)),
        SanValue::One(_) => None,
    }
}
