//! Subject and subject alternative names.

use super::words::{moved, order, set};
use super::{DiffLine, Differences};
use crate::attribute::type_name;
use crate::describe::{list, rdn, san, value_rule};
use crate::profile::{AttributeRule, RdnRule, SanRule, SanValue};
use crate::san::SanKind;

pub(super) fn subject(old: &[RdnRule], new: &[RdnRule], found: &mut Differences) {
    let same_shape = old.len() == new.len()
        && old.iter().zip(new).all(|(old, new)| {
            old.attributes.len() == new.attributes.len()
                && pairs(old, new).count() == new.attributes.len()
        });
    if !same_shape {
        // With the encodings, as they stand at places that mean something else now.
        found.about(&["subject"], || {
            vec![DiffLine::from_to("subject", &whole(old), &whole(new))]
        });
        return;
    }
    for (index, (old, new)) in old.iter().zip(new).enumerate() {
        for (old, new) in pairs(old, new) {
            values(index, old, new, found);
        }
    }
}

/// The attributes of one type in both; an RDN is a set.
fn pairs<'a>(
    old: &'a RdnRule,
    new: &'a RdnRule,
) -> impl Iterator<Item = (&'a AttributeRule, &'a AttributeRule)> {
    new.attributes.iter().filter_map(|new| {
        let old = old.attributes.iter().find(|old| old.oid == new.oid)?;
        Some((old, new))
    })
}

fn values(index: usize, old: &AttributeRule, new: &AttributeRule, found: &mut Differences) {
    let AttributeRule {
        oid,
        value,
        accept,
        issue,
    } = new;
    let name = type_name(oid);
    let path = format!("subject.{index:03}.{name}");
    let field = format!("subject {name} (RDN {})", index + 1);
    found.about(&[&format!("{path}.value")], || {
        vec![DiffLine::from_to(
            &field,
            &value_rule(&old.value),
            &value_rule(value),
        )]
    });
    found.about(&[&format!("{path}.accept")], || {
        set(&old.accept, accept, |encoding| {
            format!("{field} as {}", encoding.as_str())
        })
    });
    found.about(&[&format!("{path}.issue")], || {
        let field = format!("issued encoding of {field}");
        vec![DiffLine::from_to(
            &field,
            &old.issue.as_str(),
            &issue.as_str(),
        )]
    });
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

pub(super) fn sans(old: &[SanRule], new: &[SanRule], found: &mut Differences) {
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
            .map(|(field, old, new, more)| {
                moved(&field, old, new, more, |old, new| {
                    format!("from {old} to {new}")
                })
            })
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
