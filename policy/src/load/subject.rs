//! The array `subject`: which RDNs a certificate carries and where their values come from.

use const_oid::ObjectIdentifier;

use super::LoadRule;
use super::reader::{Item, Reader, Section};
use super::value::{attribute_type, has_claimed, value_rule};
use crate::attribute::{self, StringEncoding, type_name};
use crate::dn::DnAttribute;
use crate::profile::{AttributeRule, ChallengeKind, IssuedEncoding, RdnRule, ValueRule};

pub(super) fn subject(
    root: &mut Section<'_>,
    kind: Option<ChallengeKind>,
    reader: &mut Reader<'_>,
) -> Option<Vec<RdnRule>> {
    let list = root.required("subject", reader)?;
    let items = list.items(reader)?;
    let rdns: Option<Vec<RdnRule>> = {
        // Collected twice so that a fault in one RDN does not hide those of the next.
        let rdns: Vec<Option<RdnRule>> = items.iter().map(|item| rdn(item, kind, reader)).collect();
        rdns.into_iter().collect()
    };
    let rdns = rdns?;
    let attributes = || rdns.iter().flat_map(|rdn| &rdn.attributes);
    for claimed in attributes().flat_map(|attribute| attribute.value.claims()) {
        has_claimed(&rdns, claimed, &list, reader)?;
    }
    let by_inventory = attributes()
        .filter(|attribute| attribute.value == ValueRule::Inventory)
        .count();
    if kind == Some(ChallengeKind::Static) && by_inventory != 1 {
        return list.refuse(
            reader,
            format!("challenge = \"static\" needs exactly one attribute with value = {{ inventory = \"name\" }}, got {by_inventory}"),
        );
    }
    Some(rdns)
}

/// An attribute, or `set = [..]` of several for a multi-valued RDN.
fn rdn(item: &Item<'_>, kind: Option<ChallengeKind>, reader: &mut Reader<'_>) -> Option<RdnRule> {
    let mut section = item.section(reader)?;
    if section.is_empty() {
        let problem =
            "wanted type, value, accept and issue, or set for an RDN of several attributes";
        reader.error(item.span.clone(), &item.path, LoadRule::MissingKey, problem);
        return None;
    }
    let optional_item = section.optional("optional");
    let optional = match &optional_item {
        Some(item) => item.boolean(reader)?,
        None => false,
    };
    let rule = attributes(section, kind, reader).map(|attributes| RdnRule {
        attributes,
        optional,
    });
    if let (Some(rule), Some(item)) = (&rule, optional_item.filter(|_| optional)) {
        let mut values = rule.attributes.iter().map(|attribute| &attribute.value);
        if !values.any(|value| !value.claims().is_empty()) {
            return item.refuse(
                reader,
                "an RDN is optional where a claimed subject may lack it: wanted a claim in it",
            );
        }
    }
    rule
}

fn attributes(
    mut section: Section<'_>,
    kind: Option<ChallengeKind>,
    reader: &mut Reader<'_>,
) -> Option<Vec<AttributeRule>> {
    if !section.has("set") {
        let attribute = attribute(&mut section, kind, reader);
        section.finish(reader);
        return Some(vec![attribute?]);
    }
    let set = section.required("set", reader)?;
    section.finish(reader);
    let mut attributes = Vec::new();
    for element in set.items(reader)? {
        let mut section = element.section(reader)?;
        attributes.push(attribute(&mut section, kind, reader));
        section.finish(reader);
    }
    let attributes = attributes.into_iter().collect::<Option<Vec<_>>>()?;
    let repeated = attributes.iter().enumerate().any(|(index, attribute)| {
        attributes
            .iter()
            .take(index)
            .any(|earlier| earlier.oid == attribute.oid)
    });
    if attributes.len() < 2 || repeated {
        return set.refuse(
            reader,
            "wanted two or more attributes, each of another type",
        );
    }
    Some(attributes)
}

fn attribute(
    section: &mut Section<'_>,
    kind: Option<ChallengeKind>,
    reader: &mut Reader<'_>,
) -> Option<AttributeRule> {
    let oid = section
        .required("type", reader)
        .and_then(|item| attribute_type(&item, reader));
    let value_item = section.required("value", reader);
    let value = value_item
        .as_ref()
        .and_then(|item| value_rule(item, kind, reader));
    let accept_item = section.required("accept", reader);
    let accept = accept_item.as_ref().and_then(|item| {
        item.nonempty_set(reader, |item, reader| encoding(item, oid.as_ref(), reader))
    });
    let issue = section
        .required("issue", reader)
        .and_then(|item| issued(&item, oid.as_ref(), accept.as_deref(), reader));
    let (oid, value, issue) = (oid?, value?, issue?);
    let rule = AttributeRule {
        oid,
        value,
        accept: accept?,
        issue,
    };
    if let (ValueRule::Literal(text), Some(item)) = (&rule.value, &value_item) {
        if let Err(error) = DnAttribute::new(oid, text.as_str()) {
            return item.refuse(reader, error.to_string());
        }
        if !rule.can_issue(text) {
            let problem = match issue {
                IssuedEncoding::As(encoding) => {
                    format!("the value cannot be written as {}", encoding.as_str())
                }
                IssuedEncoding::Requested => {
                    "the value cannot be written in any of the types of accept".to_owned()
                }
            };
            return item.refuse(reader, problem);
        }
    }
    Some(rule)
}

fn encoding(
    item: &Item<'_>,
    oid: Option<&ObjectIdentifier>,
    reader: &mut Reader<'_>,
) -> Option<StringEncoding> {
    let encoding = item.word(reader, StringEncoding::ALL, StringEncoding::as_str)?;
    let allowed = oid.map_or(StringEncoding::ALL, attribute::encodings);
    if allowed.contains(&encoding) {
        return Some(encoding);
    }
    let allowed = allowed
        .iter()
        .map(|encoding| format!("\"{}\"", encoding.as_str()));
    let allowed: Vec<String> = allowed.collect();
    item.refuse(
        reader,
        format!(
            "the standard of {} allows {} (RFC 5280 appendix A.1, RFC 2985)",
            oid.map(type_name).unwrap_or_default(),
            allowed.join(", ")
        ),
    )
}

/// The string type of issue, a list of which accepts only what a certificate may have where it is the requested one.
fn issued(
    item: &Item<'_>,
    oid: Option<&ObjectIdentifier>,
    accept: Option<&[StringEncoding]>,
    reader: &mut Reader<'_>,
) -> Option<IssuedEncoding> {
    const TELETEX: &str = "a certificate has no TeletexString (RFC 5280 section 4.1.2.4): wanted another type of issue \
                           where \"teletex\" is accepted";
    match IssuedEncoding::parse(item.text(reader)?) {
        Some(IssuedEncoding::Requested) => {
            let accepts_teletex =
                accept.is_some_and(|accept| accept.contains(&StringEncoding::Teletex));
            if accepts_teletex {
                return item.refuse(reader, TELETEX);
            }
            Some(IssuedEncoding::Requested)
        }
        Some(IssuedEncoding::As(StringEncoding::Teletex)) => item.refuse(reader, TELETEX),
        Some(IssuedEncoding::As(_)) => encoding(item, oid, reader).map(IssuedEncoding::As),
        None => {
            let words = StringEncoding::ALL.iter().map(|word| word.as_str());
            let issuable = words.filter(|word| *word != StringEncoding::Teletex.as_str());
            let words: Vec<&str> = issuable
                .chain([IssuedEncoding::Requested.as_str()])
                .collect();
            item.refuse(reader, format!("wanted one of {}", words.join(", ")))
        }
    }
}
