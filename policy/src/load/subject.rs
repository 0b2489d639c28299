//! The array `subject`: which RDNs a certificate carries and where their values come from.

use const_oid::ObjectIdentifier;

use super::LoadRule;
use super::reader::{Item, Reader, Section};
use super::value::{attribute_type, value_rule};
use crate::attribute::{self, StringEncoding, type_name};
use crate::dn::DnAttribute;
use crate::profile::{AttributeRule, ChallengeKind, RdnRule, ValueRule};

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
        if attributes()
            .filter(|attribute| attribute.oid == claimed)
            .count()
            != 1
        {
            let name = type_name(&claimed);
            return list.refuse(
                reader,
                format!("the claim {name} needs exactly one attribute {name} in the subject"),
            );
        }
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
    if !section.has("set") {
        let attribute = attribute(&mut section, kind, reader);
        section.finish(reader);
        return Some(RdnRule {
            attributes: vec![attribute?],
        });
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
    Some(RdnRule { attributes })
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
        .and_then(|item| encoding(&item, oid.as_ref(), reader));
    let (oid, value, issue) = (oid?, value?, issue?);
    if let (ValueRule::Literal(text), Some(item)) = (&value, &value_item) {
        if let Err(error) = DnAttribute::new(oid, text.as_str()) {
            return item.refuse(reader, error.to_string());
        }
        if !issue.admits(text) {
            return item.refuse(
                reader,
                format!("the value cannot be written as {}", issue.as_str()),
            );
        }
    }
    Some(AttributeRule {
        oid,
        value,
        accept: accept?,
        issue,
    })
}

fn encoding(
    item: &Item<'_>,
    oid: Option<&ObjectIdentifier>,
    reader: &mut Reader<'_>,
) -> Option<StringEncoding> {
    let encoding = item.word(reader, StringEncoding::ALL, StringEncoding::as_str)?;
    match oid.and_then(attribute::fixed_encoding) {
        Some(fixed) if fixed != encoding => item.refuse(
            reader,
            format!(
                "RFC 5280 appendix A.1 leaves only \"{}\" for this type",
                fixed.as_str()
            ),
        ),
        None if encoding == StringEncoding::Ia5 && oid.is_some() => item.refuse(
            reader,
            "\"ia5\" is for DC and emailAddress only; a DirectoryString is utf8 or printable",
        ),
        Some(_) | None => Some(encoding),
    }
}
