//! Where a value comes from.

use const_oid::ObjectIdentifier;

use super::reader::{Item, Reader};
use crate::attribute;
use crate::profile::{ChallengeKind, ValueRule};

/// The one column of an inventory so far.
const INVENTORY_COLUMN: &str = "name";

/// `{ literal = ".." }`, `{ inventory = "name" }`, `{ claim = "CN" }` or `{ join = [..] }`.
pub(super) fn value_rule(
    item: &Item<'_>,
    kind: Option<ChallengeKind>,
    reader: &mut Reader<'_>,
) -> Option<ValueRule> {
    let mut section = item.section(reader)?;
    let literal = section.optional("literal");
    let inventory = section.optional("inventory");
    let claim = section.optional("claim");
    let join = section.optional("join");
    section.finish(reader);
    match (&literal, &inventory, &claim, &join) {
        (Some(literal), None, None, None) => {
            Some(ValueRule::Literal(literal.text(reader)?.to_owned()))
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
) -> Option<ValueRule> {
    if item.text(reader)? != INVENTORY_COLUMN {
        return item.refuse(reader, "an inventory has one column: \"name\"");
    }
    if kind == Some(ChallengeKind::OneTime) {
        return item.refuse(
            reader,
            "an inventory goes with challenge = \"static\"; a one-time challenge has claims",
        );
    }
    Some(ValueRule::Inventory)
}

fn from_claim(
    item: &Item<'_>,
    kind: Option<ChallengeKind>,
    reader: &mut Reader<'_>,
) -> Option<ValueRule> {
    let oid = attribute_type(item, reader)?;
    if kind == Some(ChallengeKind::Static) {
        return item.refuse(
            reader,
            "a claim goes with challenge = \"one-time\"; a static challenge has an inventory",
        );
    }
    Some(ValueRule::Claim(oid))
}

fn from_join(
    item: &Item<'_>,
    kind: Option<ChallengeKind>,
    reader: &mut Reader<'_>,
) -> Option<ValueRule> {
    let items = item.items(reader)?;
    let mut parts = Vec::with_capacity(items.len());
    for part in &items {
        match value_rule(part, kind, reader)? {
            ValueRule::Join(_) => return part.refuse(reader, "a join holds no join"),
            part @ (ValueRule::Literal(_) | ValueRule::Inventory | ValueRule::Claim(_)) => {
                parts.push(part);
            }
        }
    }
    if parts.len() < 2 {
        return item.refuse(reader, "a join has two or more parts");
    }
    Some(ValueRule::Join(parts))
}

impl ValueRule {
    /// The attribute types that the value takes from the challenge's subject.
    pub(super) fn claims(&self) -> Vec<ObjectIdentifier> {
        match self {
            Self::Claim(oid) => vec![*oid],
            Self::Join(parts) => parts.iter().flat_map(Self::claims).collect(),
            Self::Literal(_) | Self::Inventory => Vec::new(),
        }
    }
}

pub(super) fn attribute_type(item: &Item<'_>, reader: &mut Reader<'_>) -> Option<ObjectIdentifier> {
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
