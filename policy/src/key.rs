//! What is known of a subject public key, read from its SubjectPublicKeyInfo.

pub(crate) mod weakness;

use const_oid::ObjectIdentifier;
use const_oid::db::rfc5912::{ID_EC_PUBLIC_KEY, RSA_ENCRYPTION};
use der::asn1::{AnyRef, BitStringRef, Uint};
use der::{Decode, Encode, Sequence};
use spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};

use assay_types::{Curve, Hash};

/// A subject public key. Only [`PublicKeyFacts::from_spki`] makes one, so the parts always belong to the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKeyFacts {
    spki_der: Vec<u8>,
    algorithm: KeyAlgorithm,
}

/// The algorithm and parameters of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyAlgorithm {
    /// rsaEncryption, RFC 3279 section 2.3.1.
    Rsa {
        /// Length of the modulus.
        bits: u32,
        /// Big endian, no leading zero.
        modulus: Vec<u8>,
        /// Big endian, no leading zero.
        exponent: Vec<u8>,
    },
    /// id-ecPublicKey on a named curve, RFC 5480.
    Ec {
        /// namedCurve.
        curve: ObjectIdentifier,
        /// ECPoint octets.
        point: Vec<u8>,
    },
    /// Anything else, and keys whose DER is not the canonical one.
    Other {
        /// What was found instead, for the refusal.
        found: String,
    },
}

/// RFC 3279 section 2.3.1.
#[derive(Sequence)]
struct RsaPublicKey {
    modulus: Uint,
    exponent: Uint,
}

impl PublicKeyFacts {
    /// Reads a SubjectPublicKeyInfo; never fails: what cannot be read is [`KeyAlgorithm::Other`], which no policy
    /// allows.
    pub fn from_spki(spki_der: &[u8]) -> Self {
        let algorithm = read(spki_der).unwrap_or_else(|error| KeyAlgorithm::Other {
            found: format!("not a DER SubjectPublicKeyInfo ({error})"),
        });
        let facts = Self {
            spki_der: spki_der.to_vec(),
            algorithm,
        };
        match facts.rebuild() {
            Ok(rebuilt) if rebuilt == spki_der => facts,
            Ok(_) => Self {
                algorithm: KeyAlgorithm::Other {
                    found: "an encoding other than the canonical DER of its key".to_owned(),
                },
                ..facts
            },
            Err(_) => facts,
        }
    }

    /// The DER the facts were read from.
    pub fn spki_der(&self) -> &[u8] {
        &self.spki_der
    }

    /// SHA-256 of the DER SubjectPublicKeyInfo.
    pub fn spki_sha256(&self) -> Hash {
        Hash::of(&self.spki_der)
    }

    /// Algorithm and parameters.
    pub fn algorithm(&self) -> &KeyAlgorithm {
        &self.algorithm
    }

    /// The one DER that stands for these parameters: what goes into a certificate.
    pub(crate) fn rebuild(&self) -> der::Result<Vec<u8>> {
        match &self.algorithm {
            KeyAlgorithm::Rsa {
                modulus, exponent, ..
            } => {
                let key = RsaPublicKey {
                    modulus: Uint::new(modulus)?,
                    exponent: Uint::new(exponent)?,
                }
                .to_der()?;
                encode(RSA_ENCRYPTION, AnyRef::NULL, &key)
            }
            KeyAlgorithm::Ec { curve, point } => {
                encode(ID_EC_PUBLIC_KEY, AnyRef::from(curve), point)
            }
            KeyAlgorithm::Other { .. } => Err(der::ErrorKind::Failed.into()),
        }
    }
}

impl KeyAlgorithm {
    /// Short text for refusals: `RSA 2048`, `EC p256`.
    pub fn describe(&self) -> String {
        match self {
            Self::Rsa { bits, .. } => format!("RSA {bits}"),
            Self::Ec { curve, .. } => Curve::from_oid(curve)
                .map_or_else(|| format!("EC {curve}"), |curve| format!("EC {curve}")),
            Self::Other { found } => found.clone(),
        }
    }
}

fn read(spki_der: &[u8]) -> der::Result<KeyAlgorithm> {
    let spki = SubjectPublicKeyInfoRef::from_der(spki_der)?;
    let Some(key) = spki.subject_public_key.as_bytes() else {
        return Ok(KeyAlgorithm::Other {
            found: "a key whose BIT STRING has unused bits".to_owned(),
        });
    };
    if spki.algorithm.oid == RSA_ENCRYPTION {
        let rsa = RsaPublicKey::from_der(key)?;
        let modulus = rsa.modulus.as_bytes().to_vec();
        return Ok(KeyAlgorithm::Rsa {
            bits: bit_length(&modulus),
            modulus,
            exponent: rsa.exponent.as_bytes().to_vec(),
        });
    }
    if spki.algorithm.oid == ID_EC_PUBLIC_KEY {
        let curve = spki
            .algorithm
            .parameters_oid()
            .map_err(|_| der::ErrorKind::Failed)?;
        return Ok(KeyAlgorithm::Ec {
            curve,
            point: key.to_vec(),
        });
    }
    Ok(KeyAlgorithm::Other {
        found: format!("key algorithm {}", spki.algorithm.oid),
    })
}

fn encode(oid: ObjectIdentifier, parameters: AnyRef<'_>, key: &[u8]) -> der::Result<Vec<u8>> {
    SubjectPublicKeyInfoRef {
        algorithm: AlgorithmIdentifierRef {
            oid,
            parameters: Some(parameters),
        },
        subject_public_key: BitStringRef::from_bytes(key)?,
    }
    .to_der()
}

fn bit_length(big_endian: &[u8]) -> u32 {
    let top = big_endian.first().map_or(0, |byte| byte.leading_zeros());
    u32::try_from(big_endian.len())
        .unwrap_or(u32::MAX)
        .saturating_mul(8)
        .saturating_sub(top)
}
