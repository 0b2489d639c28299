//! Distinguished names as typed values: what a claim binds and what a certificate carries.

mod rfc4514;

use std::fmt;

use const_oid::ObjectIdentifier;
use der::asn1::{Any, SetOfVec};
use der::{Encode, Tag, Tagged};
use unicode_normalization::is_nfc;
use x509_cert::attr::AttributeTypeAndValue as NameAttribute;
use x509_cert::name::Name;

use crate::attribute::{self, StringEncoding};
use crate::comparison::Comparison;

/// A distinguished name: RDNs in DER order, so the most significant one (`O`) before the most specific (`CN`).
///
/// Every value is known to be sound: not empty, NFC, without control characters or outer spaces, within its upper
/// bound. No RDN occurs twice and no attribute type occurs twice in an RDN.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dn {
    rdns: Vec<Rdn>,
}

/// One RDN: a set of attributes, kept sorted so that equality is that of sets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rdn {
    attributes: Vec<DnAttribute>,
}

/// One attribute type and its value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DnAttribute {
    oid: ObjectIdentifier,
    value: String,
}

/// Why a name is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DnError {
    /// Not RFC 4514.
    #[error("at character {position}: {wanted}")]
    Syntax {
        /// Offset in characters.
        position: usize,
        /// What RFC 4514 wants there.
        wanted: &'static str,
    },
    /// Neither a name known here nor a dotted OID.
    #[error("unknown attribute type `{0}`: use a short name such as CN, O or OU, or a dotted OID")]
    UnknownType(String),
    /// The value is not fit for a certificate.
    #[error("{attribute}: {wanted}")]
    Value {
        /// Attribute type.
        attribute: String,
        /// What would be right.
        wanted: String,
    },
    /// One attribute type twice in an RDN.
    #[error("{0} occurs twice in one RDN; each attribute type may occur once")]
    DuplicateType(String),
    /// The same RDN twice in a name.
    #[error("RDN {0} occurs twice; each RDN may occur once")]
    DuplicateRdn(String),
    /// DER could not be written.
    #[error("the name cannot be encoded: {0}")]
    Encoding(#[from] der::Error),
}

impl Dn {
    /// A name as a certificate has it.
    ///
    /// # Errors
    /// [`DnError`] of what no policy could write, such as a value that is not of a string type.
    pub fn from_name(name: &Name) -> Result<Self, DnError> {
        let attribute = |found: &NameAttribute| {
            let is_text = [Tag::Utf8String, Tag::PrintableString, Tag::Ia5String]
                .contains(&found.value.tag());
            let text = std::str::from_utf8(found.value.value()).ok();
            let text = text.filter(|_| is_text).ok_or_else(|| DnError::Value {
                attribute: attribute::type_name(&found.oid),
                wanted: "must be a UTF8String, PrintableString or IA5String".to_owned(),
            })?;
            DnAttribute::new(found.oid, text)
        };
        let rdns = name
            .iter_rdn()
            .map(|rdn| Rdn::new(rdn.iter().map(attribute).collect::<Result<_, _>>()?));
        Self::new(rdns.collect::<Result<_, _>>()?)
    }

    /// Builds a name from RDNs in DER order.
    ///
    /// # Errors
    /// [`DnError::DuplicateRdn`].
    pub fn new(rdns: Vec<Rdn>) -> Result<Self, DnError> {
        for (index, rdn) in rdns.iter().enumerate() {
            if rdns.iter().take(index).any(|earlier| earlier.same(rdn)) {
                return Err(DnError::DuplicateRdn(rdn.to_string()));
            }
        }
        Ok(Self { rdns })
    }

    /// Parses an RFC 4514 string, most specific RDN first, into DER order. Spaces around separators are not part of
    /// a value. `TYPE=#HEX` takes DER of a UTF8String, PrintableString or IA5String.
    ///
    /// # Errors
    /// [`DnError`] says where and what would be right.
    pub fn parse_rfc4514(text: &str) -> Result<Self, DnError> {
        rfc4514::parse(text)
    }

    /// RDNs in DER order.
    pub fn rdns(&self) -> &[Rdn] {
        &self.rdns
    }

    /// Whether the name has no RDN.
    pub fn is_empty(&self) -> bool {
        self.rdns.is_empty()
    }

    /// The value of an attribute type that occurs once in the name.
    pub fn value_of(&self, oid: &ObjectIdentifier) -> Option<&str> {
        let mut found = self
            .rdns
            .iter()
            .flat_map(Rdn::attributes)
            .filter(|attribute| attribute.oid() == oid);
        match (found.next(), found.next()) {
            (Some(only), None) => Some(only.value()),
            (Some(_), Some(_)) | (None, _) => None,
        }
    }

    /// Whether two names are the same, each value by [`Comparison::of_attribute`].
    pub fn same(&self, other: &Self) -> bool {
        self.rdns.len() == other.rdns.len()
            && self
                .rdns
                .iter()
                .zip(&other.rdns)
                .all(|(one, two)| one.same(two))
    }

    /// DER of the name, every value in `encoding` but for types whose standard fixes one (countryName,
    /// domainComponent, …).
    ///
    /// # Errors
    /// [`DnError::Value`] where a value cannot be written in its encoding.
    pub fn to_der(&self, encoding: StringEncoding) -> Result<Vec<u8>, DnError> {
        self.to_der_with(|_, attribute| {
            attribute::fixed_encoding(attribute.oid()).unwrap_or(encoding)
        })
    }

    /// DER of the name, each value in the encoding that `choose` gives for its RDN index and attribute.
    pub(crate) fn to_der_with(
        &self,
        choose: impl Fn(usize, &DnAttribute) -> StringEncoding,
    ) -> Result<Vec<u8>, DnError> {
        let mut name = Vec::with_capacity(self.rdns.len());
        for (index, rdn) in self.rdns.iter().enumerate() {
            let mut set = SetOfVec::new();
            for attribute in &rdn.attributes {
                set.insert(attribute.encode(choose(index, attribute))?)?;
            }
            name.push(set);
        }
        Ok(name.to_der()?)
    }
}

/// RFC 4514: most specific first.
impl fmt::Display for Dn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, rdn) in self.rdns.iter().rev().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            rdn.fmt(f)?;
        }
        Ok(())
    }
}

impl std::str::FromStr for Dn {
    type Err = DnError;

    fn from_str(text: &str) -> Result<Self, DnError> {
        Self::parse_rfc4514(text)
    }
}

impl Rdn {
    /// Builds a set; its order does not matter.
    ///
    /// # Errors
    /// [`DnError::DuplicateType`].
    pub fn new(mut attributes: Vec<DnAttribute>) -> Result<Self, DnError> {
        attributes.sort();
        for pair in attributes.windows(2) {
            if let [first, second] = pair
                && first.oid == second.oid
            {
                return Err(DnError::DuplicateType(attribute::type_name(&first.oid)));
            }
        }
        Ok(Self { attributes })
    }

    fn same(&self, other: &Self) -> bool {
        let pairs = self.attributes.iter().zip(&other.attributes);
        self.attributes.len() == other.attributes.len()
            && pairs.into_iter().all(|(one, two)| {
                one.oid == two.oid
                    && Comparison::of_attribute(&one.oid).equal(&one.value, &two.value)
            })
    }

    /// The attributes, sorted by OID.
    pub fn attributes(&self) -> &[DnAttribute] {
        &self.attributes
    }
}

impl fmt::Display for Rdn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, attribute) in self.attributes.iter().enumerate() {
            if index > 0 {
                f.write_str("+")?;
            }
            attribute.fmt(f)?;
        }
        Ok(())
    }
}

impl DnAttribute {
    /// # Errors
    /// [`DnError::Value`] where the value is not fit for a certificate.
    pub fn new(oid: ObjectIdentifier, value: impl Into<String>) -> Result<Self, DnError> {
        let value = value.into();
        let refuse = |wanted: String| DnError::Value {
            attribute: attribute::type_name(&oid),
            wanted,
        };
        check_text(&value).map_err(|wanted| refuse(wanted.to_owned()))?;
        let bound = attribute::max_chars(&oid);
        if value.chars().count() > bound {
            return Err(refuse(format!(
                "at most {bound} characters are allowed (RFC 5280 appendix A.1)"
            )));
        }
        if let Some(fixed) = attribute::fixed_encoding(&oid)
            && !fixed.admits(&value)
        {
            return Err(refuse(format!(
                "only characters of {} strings are allowed",
                fixed.as_str()
            )));
        }
        Ok(Self { oid, value })
    }

    /// Attribute type.
    pub fn oid(&self) -> &ObjectIdentifier {
        &self.oid
    }

    /// The value as text.
    pub fn value(&self) -> &str {
        &self.value
    }

    fn encode(&self, encoding: StringEncoding) -> Result<NameAttribute, DnError> {
        if !encoding.admits(&self.value) {
            return Err(DnError::Value {
                attribute: attribute::type_name(&self.oid),
                wanted: format!(
                    "only characters of {} strings are allowed",
                    encoding.as_str()
                ),
            });
        }
        let tag = match encoding {
            StringEncoding::Utf8 => Tag::Utf8String,
            StringEncoding::Printable => Tag::PrintableString,
            StringEncoding::Ia5 => Tag::Ia5String,
            StringEncoding::Teletex => Tag::TeletexString,
        };
        Ok(NameAttribute {
            oid: self.oid,
            value: Any::new(tag, self.value.as_bytes())?,
        })
    }
}

impl fmt::Display for DnAttribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&attribute::type_name(&self.oid))?;
        f.write_str("=")?;
        rfc4514::write_escaped(&self.value, f)
    }
}

/// The rule for every text that may reach a certificate; the error says what would be right.
pub(crate) fn check_text(value: &str) -> Result<(), &'static str> {
    if value.is_empty() {
        return Err("a value must not be empty");
    }
    if value.chars().any(char::is_control) {
        return Err("NUL and control characters are not allowed");
    }
    if value.trim() != value {
        return Err("a value must not begin or end with a space");
    }
    if !is_nfc(value) {
        return Err("a value must be in Unicode normalization form C");
    }
    Ok(())
}
