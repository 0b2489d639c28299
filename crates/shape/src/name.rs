//! Distinguished names, and when two of them are the same.

use const_oid::ObjectIdentifier;
use der::{Tag, Tagged};
use thiserror::Error;
use unicode_normalization::UnicodeNormalization;
use x509_cert::name::Name;

/// Attributes of a subject. A policy writes one for each of a handful of types.
const MAX_ATTRIBUTES: usize = 64;

/// Why a subject is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NameFault {
    /// More than a policy could write.
    #[error("it has more than {MAX_ATTRIBUTES} attributes")]
    TooManyAttributes,
    /// An RDN without an attribute.
    #[error("an RDN is empty")]
    EmptyRdn,
    /// The meaning of such a set is unclear to verifiers.
    #[error("the attribute {0} occurs twice in one RDN")]
    RepeatedAttribute(ObjectIdentifier),
    /// Verifiers differ in how they compare the others (RFC 5280 section 7.1).
    #[error(
        "the attribute {0} is not a UTF8String, PrintableString or IA5String of printable characters"
    )]
    NotText(ObjectIdentifier),
}

/// A name as RFC 5280 section 7.1 compares it: RDNs as sorted sets of types and prepared text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Comparable(Vec<Vec<(ObjectIdentifier, String)>>);

impl Comparable {
    /// A subject that is to be signed.
    pub(crate) fn of_subject(name: &Name) -> Result<Self, NameFault> {
        if name.iter().count() > MAX_ATTRIBUTES {
            return Err(NameFault::TooManyAttributes);
        }
        let mut rdns = Vec::new();
        for rdn in name.iter_rdn() {
            let mut attributes: Vec<(ObjectIdentifier, String)> = Vec::new();
            for attribute in rdn.iter() {
                let oid = attribute.oid;
                if attributes.iter().any(|(other, _)| *other == oid) {
                    return Err(NameFault::RepeatedAttribute(oid));
                }
                let value = attribute.value.value();
                let text = text(attribute.value.tag(), value).ok_or(NameFault::NotText(oid))?;
                attributes.push((oid, prepared(text)));
            }
            if attributes.is_empty() {
                return Err(NameFault::EmptyRdn);
            }
            attributes.sort();
            rdns.push(attributes);
        }
        Ok(Self(rdns))
    }

    /// The name of a configured certificate, in any string type; `None` if a value is of none.
    pub(crate) fn of_configured(name: &Name) -> Option<Self> {
        let mut rdns = Vec::new();
        for rdn in name.iter_rdn() {
            let attributes = rdn.iter().map(|attribute| {
                let text = any_text(attribute.value.tag(), attribute.value.value())?;
                Some((attribute.oid, prepared(&text)))
            });
            let mut attributes = attributes.collect::<Option<Vec<_>>>()?;
            attributes.sort();
            rdns.push(attributes);
        }
        Some(Self(rdns))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Clean text of one of the string types that Assay issues.
fn text(tag: Tag, value: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(value).ok()?;
    let is_of_type = tag == Tag::Utf8String
        || (tag == Tag::PrintableString && text.bytes().all(is_printable_string))
        || (tag == Tag::Ia5String && text.is_ascii());
    let is_clean = !text.is_empty() && !text.contains(char::is_control);
    (is_of_type && is_clean).then_some(text)
}

fn any_text(tag: Tag, value: &[u8]) -> Option<String> {
    if tag == Tag::BmpString {
        let units = value.chunks(2).map(|unit| match unit {
            [high, low] => Some(u16::from_be_bytes([*high, *low])),
            _ => None,
        });
        return String::from_utf16(&units.collect::<Option<Vec<_>>>()?).ok();
    }
    if tag == Tag::TeletexString {
        // Latin-1 in practice.
        return Some(value.iter().map(|byte| char::from(*byte)).collect());
    }
    let is_text = [
        Tag::Utf8String,
        Tag::PrintableString,
        Tag::Ia5String,
        Tag::NumericString,
        Tag::VisibleString,
    ]
    .contains(&tag);
    let text = std::str::from_utf8(value).ok();
    text.filter(|_| is_text).map(str::to_owned)
}

/// X.680 section 41.4, table 10.
fn is_printable_string(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&byte)
}

/// RFC 4518 section 2, as RFC 5280 section 7.1 asks for: mapped, normalised to NFKC, without regard to case or to how
/// many spaces. Where implementations differ, more is taken for equal rather than less.
fn prepared(text: &str) -> String {
    let visible = text.chars().filter(|character| !is_ignored(*character));
    // To capitals and back: a sharp s, its capital form and two letters s are then the same.
    let lower: String = visible.nfkc().flat_map(char::to_lowercase).collect();
    let upper: String = lower.nfkc().flat_map(char::to_uppercase).collect();
    let folded: String = upper.nfkc().flat_map(char::to_lowercase).nfkc().collect();
    let words: Vec<&str> = folded.split_whitespace().collect();
    words.join(" ")
}

/// RFC 4518 section 2.2: characters that are mapped to nothing.
fn is_ignored(character: char) -> bool {
    let is_space = character.is_whitespace();
    (character.is_control() && !is_space)
        || matches!(character,
            '\u{ad}' | '\u{34f}' | '\u{6dd}' | '\u{70f}' | '\u{1806}' | '\u{180b}'..='\u{180e}'
            | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff9}'..='\u{fffc}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}
