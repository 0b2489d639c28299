//! Where a value comes from.

use const_oid::ObjectIdentifier;

use super::reader::{Item, Reader};
use crate::attribute;
use crate::profile::{ChallengeKind, Claimed, RdnRule, ValueRule};

/// The one column of an inventory so far.
const INVENTORY_COLUMN: &str = "name";

/// Attributes of one type in a subject.
const MAX_NUMBER: u64 = 64;

/// `{ literal = ".." }`, `{ inventory = "name" }`, `{ claim = "CN" }`, `{ claim = "OU", number = 2 }` or `{ join = [..] }`.
pub(super) fn value_rule(
    item: &Item<'_>,
    kind: Option<ChallengeKind>,
    reader: &mut Reader<'_>,
) -> Option<ValueRule> {
    let mut section = item.section(reader)?;
    let literal = section.optional("literal");
    let inventory = section.optional("inventory");
    let claim = section.optional("claim");
    let number = section.optional("number");
    let join = section.optional("join");
    section.finish(reader);
    if let (None, Some(number)) = (&claim, &number) {
        return number.refuse(
            reader,
            "number says which of several claims is meant: wanted claim beside it",
        );
    }
    match (&literal, &inventory, &claim, &join) {
        (Some(literal), None, None, None) => {
            Some(ValueRule::Literal(literal.text(reader)?.to_owned()))
        }
        (None, Some(inventory), None, None) => from_inventory(inventory, kind, reader),
        (None, None, Some(claim), None) => from_claim(claim, number.as_ref(), kind, reader),
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
    number: Option<&Item<'_>>,
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
    let number = match number {
        Some(item) => {
            let number = item.number(reader, 1, MAX_NUMBER)?;
            Some(usize::try_from(number).ok()?)
        }
        None => None,
    };
    Some(ValueRule::Claim(Claimed { oid, number }))
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
    /// The attributes that the value takes from the challenge's subject.
    pub(super) fn claims(&self) -> Vec<Claimed> {
        match self {
            Self::Claim(claimed) => vec![*claimed],
            Self::Join(parts) => parts.iter().flat_map(Self::claims).collect(),
            Self::Literal(_) | Self::Inventory => Vec::new(),
        }
    }
}

/// Whether a subject has the attribute that a claim means: one of its type, or as many as the claim counts.
pub(super) fn has_claimed(
    subject: &[RdnRule],
    claimed: Claimed,
    item: &Item<'_>,
    reader: &mut Reader<'_>,
) -> Option<()> {
    let attributes = subject.iter().flat_map(|rdn| &rdn.attributes);
    let of_type = attributes.filter(|attribute| attribute.oid == claimed.oid);
    let count = of_type.count();
    let name = attribute::type_name(&claimed.oid);
    match claimed.number {
        None if count == 1 => Some(()),
        None if count > 1 => item.refuse(
            reader,
            format!("the subject has {count} {name}: wanted {{ claim = \"{name}\", number = 1 }} to {count}"),
        ),
        None => item.refuse(
            reader,
            format!("the claim {name} needs exactly one attribute {name} in the subject"),
        ),
        Some(number) if (1..=count).contains(&number) => Some(()),
        Some(number) => item.refuse(
            reader,
            format!("the claim {name} {number} needs at least {number} attributes {name} in the subject, got {count}"),
        ),
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
