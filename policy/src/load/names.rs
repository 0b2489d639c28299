//! The arrays `subject` and `san`: which names a certificate carries and where they come from.

use const_oid::ObjectIdentifier;

use super::reader::{Item, Reader, Section};
use crate::attribute::{self, StringEncoding, type_name};
use crate::dn::DnAttribute;
use crate::profile::{AttributeRule, ChallengeKind, RdnRule, SanRule, SanSource, Source};
use crate::san::{SanKind, SubjectAltName};

/// Most names of one type that one challenge may claim.
const MAX_CLAIMED: u64 = 100;
/// The one column of an inventory so far.
const INVENTORY_COLUMN: &str = "name";
const ENCODINGS: [StringEncoding; 3] = [
    StringEncoding::Utf8,
    StringEncoding::Printable,
    StringEncoding::Ia5,
];

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
    for claimed in attributes().flat_map(|attribute| attribute.source.claims()) {
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
        .filter(|attribute| attribute.source == Source::Inventory)
        .count();
    if kind == Some(ChallengeKind::Static) && by_inventory != 1 {
        return list.refuse(
            reader,
            format!("challenge = \"static\" needs exactly one attribute with value = {{ inventory = \"name\" }}, got {by_inventory}"),
        );
    }
    Some(rdns)
}

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
    let names_for_certain = rules.iter().any(|rule| match rule.source {
        SanSource::One(_) => true,
        SanSource::Claimed { min, .. } => min > 0,
    });
    if subject.is_some_and(<[RdnRule]>::is_empty) && !names_for_certain {
        root.contradiction(
            reader,
            "an empty subject needs a [[san]] that is always present (RFC 5280 section 4.1.2.6)",
        );
        return None;
    }
    Some(rules)
}

/// An attribute, or `set = [..]` of several for a multi-valued RDN.
fn rdn(item: &Item<'_>, kind: Option<ChallengeKind>, reader: &mut Reader<'_>) -> Option<RdnRule> {
    let mut section = item.section(reader)?;
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
    let source = value_item
        .as_ref()
        .and_then(|item| source(item, kind, reader));
    let accept_item = section.required("accept", reader);
    let accept = accept_item.as_ref().and_then(|item| {
        item.nonempty_set(reader, |item, reader| encoding(item, oid.as_ref(), reader))
    });
    let issue = section
        .required("issue", reader)
        .and_then(|item| encoding(&item, oid.as_ref(), reader));
    let (oid, source, issue) = (oid?, source?, issue?);
    if let (Source::Literal(text), Some(item)) = (&source, &value_item) {
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
        source,
        accept: accept?,
        issue,
    })
}

fn attribute_type(item: &Item<'_>, reader: &mut Reader<'_>) -> Option<ObjectIdentifier> {
    let text = item.text(reader)?;
    attribute::parse_type(text).or_else(|| {
        item.refuse(
            reader,
            format!(
                "wanted an attribute type such as CN, O or OU, or a dotted OID, got \"{text}\""
            ),
        )
    })
}

fn encoding(
    item: &Item<'_>,
    oid: Option<&ObjectIdentifier>,
    reader: &mut Reader<'_>,
) -> Option<StringEncoding> {
    let encoding = item.word(reader, &ENCODINGS, StringEncoding::as_str)?;
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
    section.finish(reader);
    let source = match (&value, &claimed) {
        (Some(value), None) => SanSource::One(san_value(value, san_kind, kind, subject, reader)?),
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
        source,
    })
}

fn san_value(
    item: &Item<'_>,
    san_kind: Option<SanKind>,
    kind: Option<ChallengeKind>,
    subject: Option<&[RdnRule]>,
    reader: &mut Reader<'_>,
) -> Option<Source> {
    let source = source(item, kind, reader)?;
    if let (Source::Literal(text), Some(san_kind)) = (&source, san_kind) {
        match SubjectAltName::from_kind(san_kind, text) {
            Ok(name) if name.kind() == san_kind => {}
            Ok(name) => {
                return item.refuse(reader, format!("this is a name of type {}", name.kind()));
            }
            Err(error) => return item.refuse(reader, error.to_string()),
        }
    }
    let unknown = source.claims().into_iter().find(|claimed| {
        subject.is_some_and(|rdns| {
            rdns.iter()
                .flat_map(|rdn| &rdn.attributes)
                .filter(|attribute| attribute.oid == *claimed)
                .count()
                != 1
        })
    });
    match unknown {
        Some(claimed) => {
            let name = type_name(&claimed);
            item.refuse(
                reader,
                format!("the claim {name} needs exactly one attribute {name} in the subject"),
            )
        }
        None => Some(source),
    }
}

fn claimed_bounds(
    item: &Item<'_>,
    kind: Option<ChallengeKind>,
    reader: &mut Reader<'_>,
) -> Option<SanSource> {
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
    Some(SanSource::Claimed { min, max })
}

fn claimed_once(rules: &[SanRule], items: &[Item<'_>], reader: &mut Reader<'_>) -> Option<()> {
    let claims = |rule: &SanRule| matches!(rule.source, SanSource::Claimed { .. });
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

/// `{ literal = ".." }`, `{ inventory = "name" }`, `{ claim = "CN" }` or `{ join = [..] }`.
fn source(item: &Item<'_>, kind: Option<ChallengeKind>, reader: &mut Reader<'_>) -> Option<Source> {
    let mut section = item.section(reader)?;
    let literal = section.optional("literal");
    let inventory = section.optional("inventory");
    let claim = section.optional("claim");
    let join = section.optional("join");
    section.finish(reader);
    match (&literal, &inventory, &claim, &join) {
        (Some(literal), None, None, None) => {
            Some(Source::Literal(literal.text(reader)?.to_owned()))
        }
        (None, Some(inventory), None, None) => from_inventory(inventory, kind, reader),
        (None, None, Some(claim), None) => from_claim(claim, kind, reader),
        (None, None, None, Some(join)) => from_join(join, kind, reader),
        _ => item.refuse(
            reader,
            "wanted exactly one of literal, inventory, claim, join",
        ),
    }
}

fn from_inventory(
    item: &Item<'_>,
    kind: Option<ChallengeKind>,
    reader: &mut Reader<'_>,
) -> Option<Source> {
    if item.text(reader)? != INVENTORY_COLUMN {
        return item.refuse(reader, "an inventory has one column: \"name\"");
    }
    if kind == Some(ChallengeKind::OneTime) {
        return item.refuse(
            reader,
            "an inventory goes with challenge = \"static\"; a one-time challenge has claims",
        );
    }
    Some(Source::Inventory)
}

fn from_claim(
    item: &Item<'_>,
    kind: Option<ChallengeKind>,
    reader: &mut Reader<'_>,
) -> Option<Source> {
    let oid = attribute_type(item, reader)?;
    if kind == Some(ChallengeKind::Static) {
        return item.refuse(
            reader,
            "a claim goes with challenge = \"one-time\"; a static challenge has an inventory",
        );
    }
    Some(Source::Claim(oid))
}

fn from_join(
    item: &Item<'_>,
    kind: Option<ChallengeKind>,
    reader: &mut Reader<'_>,
) -> Option<Source> {
    let items = item.items(reader)?;
    let mut parts = Vec::with_capacity(items.len());
    for part in &items {
        match source(part, kind, reader)? {
            Source::Join(_) => return part.refuse(reader, "a join holds no join"),
            part @ (Source::Literal(_) | Source::Inventory | Source::Claim(_)) => parts.push(part),
        }
    }
    if parts.len() < 2 {
        return item.refuse(reader, "a join has two or more parts");
    }
    Some(Source::Join(parts))
}

impl Source {
    /// The attribute types that the value takes from the challenge's subject.
    fn claims(&self) -> Vec<ObjectIdentifier> {
        match self {
            Self::Claim(oid) => vec![*oid],
            Self::Join(parts) => parts.iter().flat_map(Self::claims).collect(),
            Self::Literal(_) | Self::Inventory => Vec::new(),
        }
    }
}
