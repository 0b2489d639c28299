//! Attributes that a key of each role has.

use cryptoki::mechanism::MechanismType;
use cryptoki::object::{Attribute, AttributeType};

use crate::{CallError, KeyAlgorithm, KeyHandle, KeyRole, Session};

/// DER of the named curves and, for Ed25519, the curve name of PKCS#11 v3.1, section 6.3.8.
pub(crate) const P256: &[u8] = b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";
pub(crate) const P384: &[u8] = b"\x06\x05\x2b\x81\x04\x00\x22";
pub(crate) const ED25519_OID: &[u8] = b"\x06\x03\x2b\x65\x70";
pub(crate) const ED25519_NAME: &[u8] = b"\x13\x0cedwards25519";

/// A boolean attribute of a private key and the value that it must have.
struct Rule {
    attribute: AttributeType,
    name: &'static str,
    value: bool,
    /// Tokens of PKCS#11 v2.40 and before may not know it.
    optional: bool,
}

/// The attributes that must be read back from a private key of this role.
fn rules(role: KeyRole) -> Vec<Rule> {
    let rule = |attribute, name, value| Rule {
        attribute,
        name,
        value,
        optional: matches!(attribute, AttributeType::Copyable),
    };
    vec![
        rule(AttributeType::Token, "CKA_TOKEN", true),
        rule(AttributeType::Private, "CKA_PRIVATE", true),
        rule(AttributeType::Sensitive, "CKA_SENSITIVE", true),
        rule(AttributeType::AlwaysSensitive, "CKA_ALWAYS_SENSITIVE", true),
        rule(AttributeType::Extractable, "CKA_EXTRACTABLE", false),
        rule(
            AttributeType::NeverExtractable,
            "CKA_NEVER_EXTRACTABLE",
            true,
        ),
        rule(AttributeType::Local, "CKA_LOCAL", true),
        rule(AttributeType::Modifiable, "CKA_MODIFIABLE", false),
        rule(AttributeType::Copyable, "CKA_COPYABLE", false),
        rule(AttributeType::Decrypt, "CKA_DECRYPT", role.decrypts()),
        rule(AttributeType::Sign, "CKA_SIGN", role.signs()),
        rule(AttributeType::SignRecover, "CKA_SIGN_RECOVER", false),
        rule(AttributeType::Unwrap, "CKA_UNWRAP", false),
        rule(AttributeType::Derive, "CKA_DERIVE", false),
    ]
}

/// Attributes as a token states them.
#[derive(Default)]
pub(crate) struct ReadBack {
    /// The value that was found, by PKCS#11 name.
    pub(crate) attributes: Vec<(String, String)>,
    /// Each that is not as it must be.
    pub(crate) problems: Vec<String>,
}

impl Session {
    /// Each boolean attribute of a private key that is not as its role needs it, as `CKA_SIGN is true`.
    ///
    /// # Errors
    /// [`CallError`] of reading them.
    pub fn attribute_problems(
        &self,
        key: KeyHandle,
        role: KeyRole,
    ) -> Result<Vec<String>, CallError> {
        Ok(self.read_back(key, role)?.problems)
    }

    pub(crate) fn read_back(&self, key: KeyHandle, role: KeyRole) -> Result<ReadBack, CallError> {
        let mut back = ReadBack::default();
        for rule in rules(role) {
            // One by one: a token may fail a whole request for one attribute that it does not know.
            let read = self.0.get_attributes(key.0, &[rule.attribute])?;
            match read.first().and_then(boolean) {
                Some(value) => {
                    back.attributes
                        .push((rule.name.to_owned(), value.to_string()));
                    if value != rule.value {
                        back.problems.push(format!("{} is {value}", rule.name));
                    }
                }
                None if rule.optional => {}
                None => back.problems.push(format!("{} cannot be read", rule.name)),
            }
        }
        Ok(back)
    }
}

/// Mechanisms that a key of this role is bound to by CKA_ALLOWED_MECHANISMS.
#[cfg(feature = "generate")]
pub(crate) fn mechanisms(role: KeyRole, algorithm: KeyAlgorithm) -> Vec<MechanismType> {
    let mut mechanisms = Vec::new();
    if role.decrypts() {
        mechanisms.extend([MechanismType::RSA_PKCS, MechanismType::RSA_PKCS_OAEP]);
    }
    if role.signs() {
        mechanisms.extend(signatures(role, algorithm));
    }
    mechanisms
}

/// Mechanisms that a key of this role signs with.
pub(crate) fn signatures(role: KeyRole, algorithm: KeyAlgorithm) -> &'static [MechanismType] {
    match (algorithm, role) {
        (KeyAlgorithm::P256 | KeyAlgorithm::P384, _) => &[MechanismType::ECDSA],
        (KeyAlgorithm::Ed25519, _) => &[MechanismType::EDDSA],
        (KeyAlgorithm::Rsa(_), KeyRole::RaSign | KeyRole::RaSingle) => &[
            MechanismType::SHA1_RSA_PKCS,
            MechanismType::SHA256_RSA_PKCS,
            MechanismType::SHA384_RSA_PKCS,
            MechanismType::SHA512_RSA_PKCS,
        ],
        (KeyAlgorithm::Rsa(_), _) => &[MechanismType::SHA256_RSA_PKCS],
    }
}

/// The algorithm of CKA_EC_PARAMS.
pub(crate) fn curve_algorithm(parameters: &[u8]) -> Option<KeyAlgorithm> {
    match parameters {
        P256 => Some(KeyAlgorithm::P256),
        P384 => Some(KeyAlgorithm::P384),
        ED25519_NAME | ED25519_OID => Some(KeyAlgorithm::Ed25519),
        _ => None,
    }
}

fn boolean(attribute: &Attribute) -> Option<bool> {
    if let Attribute::Token(value)
    | Attribute::Private(value)
    | Attribute::Sensitive(value)
    | Attribute::AlwaysSensitive(value)
    | Attribute::Extractable(value)
    | Attribute::NeverExtractable(value)
    | Attribute::Local(value)
    | Attribute::Modifiable(value)
    | Attribute::Copyable(value)
    | Attribute::Decrypt(value)
    | Attribute::Sign(value)
    | Attribute::SignRecover(value)
    | Attribute::Unwrap(value)
    | Attribute::Derive(value) = attribute
    {
        Some(*value)
    } else {
        None
    }
}
