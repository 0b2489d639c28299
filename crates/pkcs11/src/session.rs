//! Sessions: finding keys and reading their public halves.

use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey, EcPoint};
use openssl::error::ErrorStack;
use openssl::nid::Nid;
use openssl::pkey::{Id, PKey, Public};
use openssl::rsa::Rsa;

use crate::template::curve_algorithm;
use crate::{CallError, KeyAlgorithm, KeyUri};

type Result<T> = std::result::Result<T, CallError>;

/// Most objects listed; a token of service keys has about a dozen.
const MAX_LISTED: usize = 1000;

/// Octets of an uncompressed point (SEC 1, section 2.3.3) and of an Ed25519 key (RFC 8032).
const P256_POINT: usize = 65;
const P384_POINT: usize = 97;
const ED25519_POINT: usize = 32;

/// A session under the process's login. It may change threads, but not be shared between them.
pub struct Session(pub(crate) cryptoki::session::Session);

/// A private key as its session knows it. Handles of one login may be used in all of its sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyHandle(pub(crate) ObjectHandle);

/// An object in the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundKey {
    /// CKA_LABEL.
    pub label: String,
    /// CKA_ID.
    pub id: Vec<u8>,
    /// CKA_CLASS: `private`, `public`, `certificate`, `secret` or `other`.
    pub class: &'static str,
}

impl Session {
    /// Private keys of this id and label: there should be one, but tokens allow more.
    ///
    /// # Errors
    /// [`CallError`] of the search.
    pub fn private_keys(&self, uri: &KeyUri) -> Result<Vec<KeyHandle>> {
        let found = self.find(ObjectClass::PRIVATE_KEY, uri)?;
        Ok(found.into_iter().map(KeyHandle).collect())
    }

    /// The kind of a key; `None` if this crate has no use for it.
    ///
    /// # Errors
    /// [`CallError`] of reading its attributes.
    pub fn algorithm(&self, key: KeyHandle) -> Result<Option<KeyAlgorithm>> {
        self.kind(key.0)
    }

    /// The public half of a key, from its public key object; `None` where that is missing, there twice, or unreadable.
    /// RSA private objects hold it too, EC ones do not.
    ///
    /// # Errors
    /// [`CallError`] of finding or reading it.
    pub fn public_key(&self, uri: &KeyUri) -> Result<Option<PKey<Public>>> {
        let objects = self.find(ObjectClass::PUBLIC_KEY, uri)?;
        let [object] = objects.as_slice() else {
            return Ok(None);
        };
        let Some(algorithm) = self.kind(*object)? else {
            return Ok(None);
        };
        let read = self.0.get_attributes(
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
                KeyAlgorithm::Rsa(_)
                | KeyAlgorithm::P256
                | KeyAlgorithm::P384
                | KeyAlgorithm::Ed25519,
                _,
            ) => return Ok(None),
        };
        Ok(key.ok())
    }

    /// The token's objects that are wanted, at most 1,000.
    ///
    /// # Errors
    /// [`CallError`] of finding or reading them.
    pub fn list(&self, wanted: impl Fn(&FoundKey) -> bool) -> Result<Vec<FoundKey>> {
        let found = self.objects(wanted)?;
        Ok(found.into_iter().map(|(_, key)| key).collect())
    }

    pub(crate) fn objects(
        &self,
        wanted: impl Fn(&FoundKey) -> bool,
    ) -> Result<Vec<(ObjectHandle, FoundKey)>> {
        let mut found = Vec::new();
        let objects = self.0.find_objects(&[Attribute::Token(true)])?;
        for object in objects.into_iter().take(MAX_LISTED) {
            let mut entry = FoundKey {
                label: String::new(),
                id: Vec::new(),
                class: "other",
            };
            let attributes = self.0.get_attributes(
                object,
                &[
                    AttributeType::Class,
                    AttributeType::Label,
                    AttributeType::Id,
                ],
            )?;
            for attribute in attributes {
                if let Attribute::Class(class) = attribute {
                    entry.class = class_name(class);
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

    fn kind(&self, key: ObjectHandle) -> Result<Option<KeyAlgorithm>> {
        let read = self.0.get_attributes(key, &[AttributeType::KeyType])?;
        let kind = match read.first() {
            Some(Attribute::KeyType(kind)) => *kind,
            Some(_) | None => return Ok(None),
        };
        if kind == KeyType::RSA {
            let read = self.0.get_attributes(key, &[AttributeType::Modulus])?;
            return Ok(match read.first() {
                Some(Attribute::Modulus(modulus)) => BigNum::from_slice(modulus)
                    .ok()
                    .and_then(|modulus| u32::try_from(modulus.num_bits()).ok())
                    .map(KeyAlgorithm::Rsa),
                Some(_) | None => None,
            });
        }
        let read = self.0.get_attributes(key, &[AttributeType::EcParams])?;
        Ok(match read.first() {
            Some(Attribute::EcParams(parameters)) => curve_algorithm(parameters),
            Some(_) | None => None,
        })
    }

    fn find(&self, class: ObjectClass, uri: &KeyUri) -> Result<Vec<ObjectHandle>> {
        let found = self.0.find_objects(&[
            Attribute::Class(class),
            Attribute::Token(true),
            Attribute::Id(uri.id().to_owned()),
            Attribute::Label(uri.object().as_bytes().to_owned()),
        ])?;
        Ok(found)
    }
}

/// Objects as an error message lists them: ``private object `ca` (id 02), …``.
pub fn describe(keys: &[FoundKey]) -> String {
    let described: Vec<String> = keys
        .iter()
        .map(|key| {
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
