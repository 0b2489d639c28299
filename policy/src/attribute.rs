//! The attribute types that a distinguished name may hold, and what X.520 says of each.

use const_oid::ObjectIdentifier;

crate::algorithm::words! {
    /// How an attribute value is encoded in DER.
    StringEncoding {
        /// UTF8String, tag 12.
        Utf8 = "utf8",
        /// PrintableString, tag 19.
        Printable = "printable",
        /// IA5String, tag 22: only domainComponent and emailAddress.
        Ia5 = "ia5",
    }
}

impl StringEncoding {
    /// The DER tag octet.
    pub fn tag(self) -> u8 {
        match self {
            Self::Utf8 => 0x0c,
            Self::Printable => 0x13,
            Self::Ia5 => 0x16,
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
            Self::Ia5 => value.is_ascii(),
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
    /// Set where the standard leaves no choice of encoding.
    pub(crate) encoding: Option<StringEncoding>,
    /// Upper bound in characters, RFC 5280 appendix A.1.
    pub(crate) max_chars: usize,
}

/// Bound for types whose standard names none: RFC 5280 `ub-name`.
const UB_NAME: usize = 32_768;

const fn attribute_type(
    name: &'static str,
    oid: &str,
    encoding: Option<StringEncoding>,
    max_chars: usize,
) -> AttributeType {
    AttributeType {
        name,
        oid: ObjectIdentifier::new_unwrap(oid),
        encoding,
        max_chars,
    }
}

const PRINTABLE: Option<StringEncoding> = Some(StringEncoding::Printable);
const IA5: Option<StringEncoding> = Some(StringEncoding::Ia5);

static ATTRIBUTE_TYPES: [AttributeType; 17] = [
    attribute_type("CN", "2.5.4.3", None, 64),
    attribute_type("SN", "2.5.4.4", None, UB_NAME),
    attribute_type("serialNumber", "2.5.4.5", PRINTABLE, 64),
    attribute_type("C", "2.5.4.6", PRINTABLE, 2),
    attribute_type("L", "2.5.4.7", None, 128),
    attribute_type("ST", "2.5.4.8", None, 128),
    attribute_type("STREET", "2.5.4.9", None, 128),
    attribute_type("O", "2.5.4.10", None, 64),
    attribute_type("OU", "2.5.4.11", None, 64),
    attribute_type("T", "2.5.4.12", None, 64),
    attribute_type("GN", "2.5.4.42", None, UB_NAME),
    attribute_type("initials", "2.5.4.43", None, UB_NAME),
    attribute_type("dnQualifier", "2.5.4.46", PRINTABLE, UB_NAME),
    attribute_type("pseudonym", "2.5.4.65", None, 128),
    attribute_type("UID", "0.9.2342.19200300.100.1.1", None, 256),
    attribute_type("DC", "0.9.2342.19200300.100.1.25", IA5, 63),
    attribute_type("emailAddress", "1.2.840.113549.1.9.1", IA5, 255),
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

/// The only encoding the standard allows for this type, if it leaves no choice.
pub(crate) fn fixed_encoding(oid: &ObjectIdentifier) -> Option<StringEncoding> {
    known(oid).and_then(|kind| kind.encoding)
}

/// Upper bound of a value in characters.
pub(crate) fn max_chars(oid: &ObjectIdentifier) -> usize {
    known(oid).map_or(UB_NAME, |kind| kind.max_chars)
}
