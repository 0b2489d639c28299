//! Identifier octets (X.690 §8.1.2), low-tag-number form: SCEP, CMS and X.509 use no other.

pub(crate) const BOOLEAN: u8 = 0x01;
pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const NULL: u8 = 0x05;
pub(crate) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(crate) const UTF8_STRING: u8 = 0x0c;
pub(crate) const PRINTABLE_STRING: u8 = 0x13;
pub(crate) const TELETEX_STRING: u8 = 0x14;
pub(crate) const IA5_STRING: u8 = 0x16;
pub(crate) const UNIVERSAL_STRING: u8 = 0x1c;
pub(crate) const BMP_STRING: u8 = 0x1e;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;

/// Set in the identifier octet of what is made of other elements.
pub(crate) const CONSTRUCTED: u8 = 0x20;

/// `[n]` around a primitive value (IMPLICIT).
pub(crate) const fn context(number: u8) -> u8 {
    0x80 | number
}

/// `[n]` around elements: EXPLICIT, or IMPLICIT for a constructed type.
pub(crate) const fn context_constructed(number: u8) -> u8 {
    context(number) | CONSTRUCTED
}
