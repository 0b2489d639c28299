//! DER by composition: each function returns the whole encoding of one element.

use der::asn1::ObjectIdentifier;

use super::tag;

pub(crate) fn tlv_into(output: &mut Vec<u8>, tag: u8, content: &[u8]) {
    output.push(tag);
    let length = content.len().to_be_bytes();
    let zeros = length.iter().take_while(|octet| **octet == 0).count();
    let digits = length.get(zeros..).unwrap_or_default();
    match digits {
        [] => output.push(0),
        [short @ 0..0x80] => output.push(*short),
        long => {
            // At most eight digits.
            output.push(0x80 | long.len().to_le_bytes()[0]);
            output.extend_from_slice(long);
        }
    }
    output.extend_from_slice(content);
}

pub(crate) fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let mut output = Vec::with_capacity(content.len() + 6);
    tlv_into(&mut output, tag, &content);
    output
}

pub(crate) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tlv(tag::SEQUENCE, parts)
}

/// A SET with its elements as given.
pub(crate) fn set(parts: &[&[u8]]) -> Vec<u8> {
    tlv(tag::SET, parts)
}

/// A SET OF, sorted by encodings (X.690 §11.6).
pub(crate) fn set_of(mut elements: Vec<Vec<u8>>) -> Vec<u8> {
    elements.sort();
    tlv(tag::SET, &[&elements.concat()])
}

/// `[number] EXPLICIT`, or IMPLICIT for a constructed type.
pub(crate) fn context(number: u8, parts: &[&[u8]]) -> Vec<u8> {
    tlv(tag::context_constructed(number), parts)
}

pub(crate) fn oid(oid: &ObjectIdentifier) -> Vec<u8> {
    tlv(tag::OBJECT_IDENTIFIER, &[oid.as_bytes()])
}

pub(crate) fn null() -> Vec<u8> {
    tlv(tag::NULL, &[])
}

pub(crate) fn small_integer(value: u8) -> Vec<u8> {
    integer(&[value])
}

/// A non-negative INTEGER from its big-endian magnitude.
pub(crate) fn integer(magnitude: &[u8]) -> Vec<u8> {
    let zeros = magnitude.iter().take_while(|octet| **octet == 0).count();
    let digits = magnitude.get(zeros..).unwrap_or_default();
    let sign: &[u8] = if digits.first().is_none_or(|first| *first >= 0x80) {
        &[0]
    } else {
        &[]
    };
    tlv(tag::INTEGER, &[sign, digits])
}

pub(crate) fn octet_string(octets: &[u8]) -> Vec<u8> {
    tlv(tag::OCTET_STRING, &[octets])
}

pub(crate) fn bit_string(octets: &[u8]) -> Vec<u8> {
    tlv(tag::BIT_STRING, &[&[0], octets])
}

pub(crate) fn printable_string(text: &str) -> Vec<u8> {
    tlv(tag::PRINTABLE_STRING, &[text.as_bytes()])
}

pub(crate) fn utf8_string(text: &str) -> Vec<u8> {
    tlv(tag::UTF8_STRING, &[text.as_bytes()])
}

/// Attribute with one value.
pub(crate) fn attribute(attribute_type: &ObjectIdentifier, value: &[u8]) -> Vec<u8> {
    sequence(&[&oid(attribute_type), &set(&[value])])
}
