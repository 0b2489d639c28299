//! The array `san`: which subject alternative names a certificate carries and where they come from.

use super::reader::{Item, Reader, Section};
use super::value::{has_claimed, value_rule};
use crate::profile::{ChallengeKind, RdnRule, SanRule, SanValue, ValueRule};
use crate::san::{SanKind, SubjectAltName};

/// Most names of one type that one challenge may claim.
const MAX_CLAIMED: u64 = 100;

pub(super) fn sans(
    root: &mut Section<'_>,
    kind: Option<ChallengeKind>,
    subject: Option<&[RdnRule]>,
    reader: &mut Reader<'_>,
) -> Option<Vec<SanRule>> {
    let rules = match root.optional("san") {
        None => Vec::new(),
        Some(list) => {
            let items = list.items(reader)?;
            let rules: Vec<Option<SanRule>> = items
                .iter()
                .map(|item| san(item, kind, subject, reader))
                .collect();
            let rules = rules.into_iter().collect::<Option<Vec<_>>>()?;
            claimed_once(&rules, &items, reader)?;
            rules
        }
    };
    let names_for_certain = rules.iter().any(|rule| match rule.value {
        SanValue::One(_) => true,
        SanValue::Claimed { min, .. } => min > 0,
    });
    let may_be_empty = |rdns: &[RdnRule]| rdns.iter().all(|rdn| rdn.optional);
    if subject.is_some_and(may_be_empty) && !names_for_certain {
        root.contradiction(
            reader,
            "an empty subject needs a [[san]] that is always present (RFC 5280 section 4.1.2.6); one whose RDNs are all optional may be empty",
        );
        return None;
    }
    Some(rules)
}

fn san(
    item: &Item<'_>,
    kind: Option<ChallengeKind>,
    subject: Option<&[RdnRule]>,
    reader: &mut Reader<'_>,
) -> Option<SanRule> {
    let mut section = item.section(reader)?;
    let san_kind = section
        .required("type", reader)
        .and_then(|item| item.word(reader, SanKind::ALL, SanKind::as_str));
    let value = section.optional("value");
    let claimed = section.optional("claimed");
    let add_item = section.optional("add");
    section.finish(reader);
    let add = match &add_item {
        Some(item) => item.boolean(reader)?,
        None => false,
    };
    if let (true, Some(_), Some(item)) = (add, &claimed, &add_item) {
        return item.refuse(
            reader,
            "names of a challenge are asked for: wanted add = true beside value alone",
        );
    }
    let source = match (&value, &claimed) {
        (Some(value), None) => SanValue::One(san_value(value, san_kind, kind, subject, reader)?),
        (None, Some(claimed)) => claimed_bounds(claimed, kind, reader)?,
        (Some(_), Some(_)) | (None, None) => {
            return item.refuse(
                reader,
                "wanted either value (one name) or claimed (names of the challenge)",
            );
        }
    };
    Some(SanRule {
        kind: san_kind?,
        value: source,
        add,
    })
}

fn san_value(
    item: &Item<'_>,
    san_kind: Option<SanKind>,
    kind: Option<ChallengeKind>,
    subject: Option<&[RdnRule]>,
    reader: &mut Reader<'_>,
) -> Option<ValueRule> {
    let rule = value_rule(item, kind, reader)?;
    if let (ValueRule::Literal(text), Some(san_kind)) = (&rule, san_kind) {
        match SubjectAltName::from_kind(san_kind, text) {
            Ok(name) if name.kind() == san_kind => {}
            Ok(name) => {
                return item.refuse(reader, format!("this is a name of type {}", name.kind()));
            }
            Err(error) => return item.refuse(reader, error.to_string()),
        }
    }
    if let Some(subject) = subject {
        for claimed in rule.claims() {
            has_claimed(subject, claimed, item, reader)?;
        }
    }
    Some(rule)
}

fn claimed_bounds(
    item: &Item<'_>,
    kind: Option<ChallengeKind>,
    reader: &mut Reader<'_>,
) -> Option<SanValue> {
    let mut section = item.section(reader)?;
    let bound = |key, section: &mut Section<'_>, reader: &mut Reader<'_>| {
        let number = section
            .required(key, reader)?
            .number(reader, 0, MAX_CLAIMED)?;
        usize::try_from(number).ok()
    };
    let min = bound("min", &mut section, reader);
    let max = bound("max", &mut section, reader);
    section.finish(reader);
    let (min, max) = (min?, max?);
    if min > max || max == 0 {
        return item.refuse(reader, "wanted min not above max, and max of at least 1");
    }
    if kind == Some(ChallengeKind::Static) {
        return item.refuse(reader, "a static challenge claims no names; use value");
    }
    Some(SanValue::Claimed { min, max })
}

fn claimed_once(rules: &[SanRule], items: &[Item<'_>], reader: &mut Reader<'_>) -> Option<()> {
    let claims = |rule: &SanRule| matches!(rule.value, SanValue::Claimed { .. });
    for (index, (rule, item)) in rules.iter().zip(items).enumerate() {
        let earlier = rules
            .iter()
            .take(index)
            .filter(|earlier| earlier.kind == rule.kind);
        // A claimed type takes every name of that type: beside another rule for it nothing would be decidable.
        if earlier
            .into_iter()
            .any(|earlier| claims(earlier) || claims(rule))
        {
            return item.refuse(
                reader,
                format!(
                    "type {} has an entry already that `claimed` cannot share it with",
                    rule.kind
                ),
            );
        }
    }
    Some(())
}
