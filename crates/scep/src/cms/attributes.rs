//! Signed attributes: each once, each with one value.

use der::asn1::ObjectIdentifier;

use crate::{
    Limits, Malformed,
    asn1::{oid, read::Element, tag},
};

/// The signed attributes of a SignerInfo, as the signature covers them.
#[derive(Debug, Clone)]
pub(crate) struct SignedAttributes {
    /// `SET OF Attribute` under its own tag 0x31, not the `[0]` it was sent under (RFC 5652 §5.4).
    der: Vec<u8>,
    values: Vec<(ObjectIdentifier, Value)>,
    sorted: bool,
}

/// The single value of an attribute.
#[derive(Debug, Clone)]
pub(crate) struct Value {
    pub(crate) tag: u8,
    pub(crate) content: Vec<u8>,
}

impl SignedAttributes {
    /// `content`: of `[0] IMPLICIT SignedAttributes`, whose encoding is `der`.
    pub(crate) fn parse(element: &Element<'_>, limits: &Limits) -> Result<Self, Malformed> {
        const STRUCTURE: Malformed = Malformed::Structure("a signed attribute");
        let attributes = element
            .fields()
            .collect(limits.attributes)
            .ok_or(Malformed::TooMany {
                what: "signed attributes",
                limit: limits.attributes,
            })?;
        let sorted = attributes.is_sorted_by_key(|attribute| attribute.der);

        let mut values: Vec<(ObjectIdentifier, Value)> = Vec::with_capacity(attributes.len());
        for attribute in attributes {
            let mut fields = attribute.fields();
            let attribute_type = fields
                .take(tag::OBJECT_IDENTIFIER)
                .and_then(|element| element.oid());
            let attribute_type = attribute_type
                .filter(|_| attribute.tag == tag::SEQUENCE)
                .ok_or(STRUCTURE)?;
            let mut set = fields
                .take(tag::SET)
                .filter(|_| fields.is_empty())
                .ok_or(STRUCTURE)?
                .fields();
            let value = set
                .any()
                .filter(|_| set.is_empty())
                .ok_or(Malformed::AttributeValues)?;
            if values.iter().any(|(other, _)| *other == attribute_type) {
                return Err(Malformed::DuplicateAttribute);
            }
            values.push((
                attribute_type,
                Value {
                    tag: value.tag,
                    content: value.content.to_vec(),
                },
            ));
        }

        let mut der = element.der.to_vec();
        if let Some(first) = der.first_mut() {
            *first = tag::SET;
        }
        Ok(SignedAttributes {
            der,
            values,
            sorted,
        })
    }

    /// What was hashed and signed.
    pub(crate) fn der(&self) -> &[u8] {
        &self.der
    }

    /// Whether the SET OF is in DER order, without which the signature says nothing certain about it.
    pub(crate) fn is_sorted(&self) -> bool {
        self.sorted
    }

    /// The value of an attribute, if it is there with this tag.
    pub(crate) fn value(&self, attribute_type: &ObjectIdentifier, tag: u8) -> Option<&[u8]> {
        let (_, value) = self
            .values
            .iter()
            .find(|(other, _)| other == attribute_type)?;
        (value.tag == tag).then_some(value.content.as_slice())
    }

    /// Whether one of them is among those that SCEP defines, which makes the message a pkiMessage (RFC 8894 §3.2.1).
    pub(crate) fn are_of_a_pki_message(&self) -> bool {
        self.values
            .iter()
            .any(|(attribute_type, _)| attribute_type.parent() == Some(oid::SCEP_ATTRIBUTES))
    }

    /// The text of a PrintableString attribute.
    pub(crate) fn printable(&self, attribute_type: &ObjectIdentifier) -> Option<&str> {
        str::from_utf8(self.value(attribute_type, tag::PRINTABLE_STRING)?).ok()
    }
}
