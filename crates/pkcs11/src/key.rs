//! Finding keys and reading their public halves.

use cryptoki::error::{Error, Result};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey, EcPoint};
use openssl::error::ErrorStack;
use openssl::nid::Nid;
use openssl::pkey::{Id, PKey, Public};
use openssl::rsa::Rsa;

use super::template::curve_algorithm;
use crate::{FoundKey, KeyAlgorithm, KeyUri};

/// Most objects listed; a token of service keys has about a dozen.
const MAX_LISTED: usize = 1000;

/// Octets of an uncompressed point (SEC 1, section 2.3.3) and of an Ed25519 key (RFC 8032).
const P256_POINT: usize = 65;
const P384_POINT: usize = 97;
const ED25519_POINT: usize = 32;

/// Private keys of this id and label: there should be one, but tokens allow more.
pub(super) fn find_private(session: &Session, uri: &KeyUri) -> Result<Vec<ObjectHandle>> {
    find(session, ObjectClass::PRIVATE_KEY, uri)
}

/// The kind of a key, from either half; `None` if this crate has no use for it.
pub(super) fn algorithm(session: &Session, key: ObjectHandle) -> Result<Option<KeyAlgorithm>> {
    let read = session.get_attributes(key, &[AttributeType::KeyType])?;
    let kind = match read.first() {
        Some(Attribute::KeyType(kind)) => *kind,
        Some(_) | None => return Ok(None),
    };
    if kind == KeyType::RSA {
        let read = session.get_attributes(key, &[AttributeType::Modulus])?;
        return Ok(match read.first() {
            Some(Attribute::Modulus(modulus)) => BigNum::from_slice(modulus)
                .ok()
                .and_then(|modulus| u32::try_from(modulus.num_bits()).ok())
                .map(KeyAlgorithm::Rsa),
            Some(_) | None => None,
        });
    }
    let read = session.get_attributes(key, &[AttributeType::EcParams])?;
    Ok(match read.first() {
        Some(Attribute::EcParams(parameters)) => curve_algorithm(parameters),
        Some(_) | None => None,
    })
}

/// The public half of a key, from its public key object. RSA private objects hold it too, EC ones
/// do not.
pub(super) fn public_key(session: &Session, uri: &KeyUri) -> Result<PKey<Public>> {
    let objects = find(session, ObjectClass::PUBLIC_KEY, uri)?;
    let [object] = objects.as_slice() else {
        return Err(Error::InvalidValue);
    };
    let algorithm = algorithm(session, *object)?.ok_or(Error::InvalidValue)?;
    let read = session.get_attributes(
        *object,
        &[
            AttributeType::Modulus,
            AttributeType::PublicExponent,
            AttributeType::EcPoint,
        ],
    )?;
    let key = match (algorithm, read.as_slice()) {
        (
            KeyAlgorithm::Rsa(_),
            [
                Attribute::Modulus(modulus),
                Attribute::PublicExponent(exponent),
            ],
        ) => rsa(modulus, exponent),
        (KeyAlgorithm::P256, [Attribute::EcPoint(point)]) => {
            ec(Nid::X9_62_PRIME256V1, bare(point, P256_POINT))
        }
        (KeyAlgorithm::P384, [Attribute::EcPoint(point)]) => {
            ec(Nid::SECP384R1, bare(point, P384_POINT))
        }
        (KeyAlgorithm::Ed25519, [Attribute::EcPoint(point)]) => {
            PKey::public_key_from_raw_bytes(bare(point, ED25519_POINT), Id::ED25519)
        }
        (
            KeyAlgorithm::Rsa(_) | KeyAlgorithm::P256 | KeyAlgorithm::P384 | KeyAlgorithm::Ed25519,
            _,
        ) => return Err(Error::InvalidValue),
    };
    key.map_err(|_| Error::InvalidValue)
}

/// The token's objects that are wanted.
pub(super) fn list(
    session: &Session,
    wanted: impl Fn(&FoundKey) -> bool,
) -> Result<Vec<(ObjectHandle, FoundKey)>> {
    let mut found = Vec::new();
    let objects = session.find_objects(&[Attribute::Token(true)])?;
    for object in objects.into_iter().take(MAX_LISTED) {
        let mut entry = FoundKey {
            label: String::new(),
            id: Vec::new(),
            class: "other".to_owned(),
        };
        let attributes = session.get_attributes(
            object,
            &[
                AttributeType::Class,
                AttributeType::Label,
                AttributeType::Id,
            ],
        )?;
        for attribute in attributes {
            if let Attribute::Class(class) = attribute {
                class_name(class).clone_into(&mut entry.class);
            } else if let Attribute::Label(label) = attribute {
                entry.label = String::from_utf8_lossy(&label).into_owned();
            } else if let Attribute::Id(id) = attribute {
                entry.id = id;
            }
        }
        if wanted(&entry) {
            found.push((object, entry));
        }
    }
    Ok(found)
}

/// `private key "ca" (id 02), …`
pub(super) fn describe(keys: &[(ObjectHandle, FoundKey)]) -> String {
    let described: Vec<String> = keys
        .iter()
        .map(|(_, key)| {
            format!(
                "{} object `{}` (id {})",
                key.class,
                key.label,
                hex::encode(&key.id)
            )
        })
        .collect();
    if described.is_empty() {
        "no key".to_owned()
    } else {
        described.join(", ")
    }
}

fn find(session: &Session, class: ObjectClass, uri: &KeyUri) -> Result<Vec<ObjectHandle>> {
    session.find_objects(&[
        Attribute::Class(class),
        Attribute::Token(true),
        Attribute::Id(uri.id().to_owned()),
        Attribute::Label(uri.object().as_bytes().to_owned()),
    ])
}

fn class_name(class: ObjectClass) -> &'static str {
    if class == ObjectClass::PRIVATE_KEY {
        "private"
    } else if class == ObjectClass::PUBLIC_KEY {
        "public"
    } else if class == ObjectClass::CERTIFICATE {
        "certificate"
    } else if class == ObjectClass::SECRET_KEY {
        "secret"
    } else {
        "other"
    }
}

fn rsa(modulus: &[u8], exponent: &[u8]) -> std::result::Result<PKey<Public>, ErrorStack> {
    let rsa =
        Rsa::from_public_components(BigNum::from_slice(modulus)?, BigNum::from_slice(exponent)?)?;
    PKey::from_rsa(rsa)
}

fn ec(curve: Nid, point: &[u8]) -> std::result::Result<PKey<Public>, ErrorStack> {
    let group = EcGroup::from_curve_name(curve)?;
    let mut context = openssl::bn::BigNumContext::new()?;
    let point = EcPoint::from_bytes(&group, point, &mut context)?;
    PKey::from_ec_key(EcKey::from_public_key(&group, &point)?)
}

/// CKA_EC_POINT is the DER of an OCTET STRING (PKCS#11 v3.1, section 6.3.3); some tokens give the
/// bare point. Only the length tells them apart safely.
fn bare(point: &[u8], length: usize) -> &[u8] {
    match point {
        [0x04, _, rest @ ..] if rest.len() == length => rest,
        _ => point,
    }
}
