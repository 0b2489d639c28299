//! The attribute types that a distinguished name may hold, and what X.520 says of each.

use const_oid::ObjectIdentifier;

crate::algorithm::words! {
    /// How an attribute value is encoded in DER.
    StringEncoding {
        /// UTF8String, tag 12.
        Utf8 = "utf8",
        /// PrintableString, tag 19.
        Printable = "printable",
        /// IA5String, tag 22: domainComponent, emailAddress and unstructuredName.
        Ia5 = "ia5",
        /// TeletexString, tag 20, of ASCII characters. A request may have it; no certificate is issued with it (RFC 5280
        /// section 4.1.2.4).
        Teletex = "teletex",
    }
}

impl StringEncoding {
    /// The DER tag octet.
    pub fn tag(self) -> u8 {
        match self {
            Self::Utf8 => 0x0c,
            Self::Printable => 0x13,
            Self::Ia5 => 0x16,
            Self::Teletex => 0x14,
        }
    }

    /// The encoding that a tag octet stands for, if a policy can allow it.
    pub fn from_tag(tag: u8) -> Option<Self> {
        let mut encodings = Self::ALL.iter().copied();
        encodings.find(|encoding| encoding.tag() == tag)
    }

    /// Whether `value` can be written in this encoding.
    pub fn admits(self, value: &str) -> bool {
        match self {
            Self::Utf8 => true,
            Self::Printable => value.bytes().all(is_printable_string),
            Self::Ia5 | Self::Teletex => value.is_ascii(),
        }
    }
}

/// X.680 section 41.4, table 10.
fn is_printable_string(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&byte)
}

/// A named attribute type of X.520 or RFC 4519.
#[derive(Debug)]
pub(crate) struct AttributeType {
    pub(crate) name: &'static str,
    pub(crate) oid: ObjectIdentifier,
    /// The string types that its standard allows.
    pub(crate) encodings: &'static [StringEncoding],
    /// Upper bound in characters, RFC 5280 appendix A.1.
    pub(crate) max_chars: usize,
}

/// Bound for types whose standard names none: RFC 5280 `ub-name`.
const UB_NAME: usize = 32_768;

const fn attribute_type(
    name: &'static str,
    oid: &str,
    encodings: &'static [StringEncoding],
    max_chars: usize,
) -> AttributeType {
    AttributeType {
        name,
        oid: ObjectIdentifier::new_unwrap(oid),
        encodings,
        max_chars,
    }
}

/// DirectoryString, RFC 5280 section 4.1.2.4; BMPString and UniversalString cannot be allowed.
const DIRECTORY: &[StringEncoding] = &[
    StringEncoding::Utf8,
    StringEncoding::Printable,
    StringEncoding::Teletex,
];
/// PKCS9String, RFC 2985 section 5.4.1: an IA5String or a DirectoryString.
const PKCS9: &[StringEncoding] = &[
    StringEncoding::Utf8,
    StringEncoding::Printable,
    StringEncoding::Ia5,
    StringEncoding::Teletex,
];
const PRINTABLE: &[StringEncoding] = &[StringEncoding::Printable];
const IA5: &[StringEncoding] = &[StringEncoding::Ia5];

static ATTRIBUTE_TYPES: [AttributeType; 19] = [
    attribute_type("CN", "2.5.4.3", DIRECTORY, 64),
    attribute_type("SN", "2.5.4.4", DIRECTORY, UB_NAME),
    attribute_type("serialNumber", "2.5.4.5", PRINTABLE, 64),
    attribute_type("C", "2.5.4.6", PRINTABLE, 2),
    attribute_type("L", "2.5.4.7", DIRECTORY, 128),
    attribute_type("ST", "2.5.4.8", DIRECTORY, 128),
    attribute_type("STREET", "2.5.4.9", DIRECTORY, 128),
    attribute_type("O", "2.5.4.10", DIRECTORY, 64),
    attribute_type("OU", "2.5.4.11", DIRECTORY, 64),
    attribute_type("T", "2.5.4.12", DIRECTORY, 64),
    attribute_type("GN", "2.5.4.42", DIRECTORY, UB_NAME),
    attribute_type("initials", "2.5.4.43", DIRECTORY, UB_NAME),
    attribute_type("dnQualifier", "2.5.4.46", PRINTABLE, UB_NAME),
    attribute_type("pseudonym", "2.5.4.65", DIRECTORY, 128),
    attribute_type("UID", "0.9.2342.19200300.100.1.1", DIRECTORY, 256),
    attribute_type("DC", "0.9.2342.19200300.100.1.25", IA5, 63),
    attribute_type("emailAddress", "1.2.840.113549.1.9.1", IA5, 255),
    attribute_type("unstructuredName", "1.2.840.113549.1.9.2", PKCS9, 255),
    attribute_type(
        "unstructuredAddress",
        "1.2.840.113549.1.9.8",
        DIRECTORY,
        255,
    ),
];

fn known(oid: &ObjectIdentifier) -> Option<&'static AttributeType> {
    ATTRIBUTE_TYPES.iter().find(|kind| kind.oid == *oid)
}

/// The short name, or the dotted OID of a type that has none here.
pub(crate) fn type_name(oid: &ObjectIdentifier) -> String {
    known(oid).map_or_else(|| oid.to_string(), |kind| kind.name.to_owned())
}

/// A short name in any case (RFC 4514 section 2), or a dotted OID.
pub(crate) fn parse_type(text: &str) -> Option<ObjectIdentifier> {
    ATTRIBUTE_TYPES
        .iter()
        .find(|kind| kind.name.eq_ignore_ascii_case(text))
        .map(|kind| kind.oid)
        .or_else(|| ObjectIdentifier::new(text).ok())
}

/// The string types that the standard of this attribute type allows; those of a DirectoryString where it has none here.
pub(crate) fn encodings(oid: &ObjectIdentifier) -> &'static [StringEncoding] {
    known(oid).map_or(DIRECTORY, |kind| kind.encodings)
}

/// The only encoding the standard allows for this type, if it leaves no choice.
pub(crate) fn fixed_encoding(oid: &ObjectIdentifier) -> Option<StringEncoding> {
    match encodings(oid) {
        [only] => Some(*only),
        _ => None,
    }
}

/// Upper bound of a value in characters.
pub(crate) fn max_chars(oid: &ObjectIdentifier) -> usize {
    known(oid).map_or(UB_NAME, |kind| kind.max_chars)
}
