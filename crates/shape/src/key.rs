//! Subject public keys in their one encoding, and when two encodings are of the same key.

use assay_types::Curve;
use const_oid::ObjectIdentifier;
use const_oid::db::rfc5912::{ID_EC_PUBLIC_KEY, RSA_ENCRYPTION};
use der::asn1::{AnyRef, BitStringRef, Uint};
use der::{Decode, Encode, Sequence};
use openssl::bn::BigNumContext;
use openssl::ec::{EcGroup, EcPoint};
use openssl::nid::Nid;
use openssl::sha::{Sha256, sha1};
use spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};
use thiserror::Error;

/// The exponent is below 2^256 (FIPS 186-5 section 5.4), so that verifying stays cheap.
const MAX_EXPONENT: usize = 32;
const MIN_EXPONENT: u64 = 65_537;
/// First byte of an uncompressed point (SEC 1 section 2.3.3).
const UNCOMPRESSED: u8 = 4;

/// Why a subject public key is refused, whatever the form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum KeyFault {
    /// Not DER, or not the one encoding of its key (RFC 3279 section 2.3.1, RFC 5480 section 2.1.1).
    #[error("it is not the canonical DER of an RSA key or of an EC key on a named curve")]
    Encoding,
    /// An even modulus, or an exponent that is weak or slow.
    #[error(
        "the RSA modulus is even, or the exponent is even, below {MIN_EXPONENT} or above 2^256"
    )]
    Rsa,
    /// A curve without a name here.
    #[error("the curve {0} is not P-256, P-384 or P-521")]
    Curve(ObjectIdentifier),
    /// A compressed point, or none of the curve's.
    #[error("it is not an uncompressed point of its curve")]
    Point,
}

/// A key whatever its encoding: SHA-256 over the RSA modulus, or over a curve and the x coordinate of a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyIdentity([u8; 32]);

/// A key in the encoding that a certificate may have.
pub(crate) struct PublicKey {
    pub(crate) kind: KeyKind,
    pub(crate) identity: KeyIdentity,
    /// SHA-1 of the content of the BIT STRING (RFC 5280 section 4.2.1.2, method 1).
    pub(crate) identifier: [u8; 20],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyKind {
    Rsa { bits: u32 },
    Ec(Curve),
}

#[derive(Sequence)]
struct RsaPublicKey {
    modulus: Uint,
    exponent: Uint,
}

impl KeyIdentity {
    /// The key of a configured certificate, of any kind and in any encoding.
    ///
    /// # Errors
    /// The bytes are not the DER of a SubjectPublicKeyInfo.
    pub fn of(spki: &[u8]) -> der::Result<Self> {
        let spki = SubjectPublicKeyInfoRef::from_der(spki)?;
        let bits = spki.subject_public_key.raw_bytes();
        if spki.algorithm.oid == RSA_ENCRYPTION {
            return Ok(Self::of_rsa(&RsaPublicKey::from_der(bits)?));
        }
        if let (ID_EC_PUBLIC_KEY, Some((_, point))) = (spki.algorithm.oid, bits.split_first()) {
            let curve = spki.algorithm.parameters.map(|curve| curve.to_der());
            let curve = curve.transpose()?.unwrap_or_default();
            // A compressed point is x alone.
            let is_whole = bits.first() == Some(&UNCOMPRESSED);
            let length = if is_whole {
                point.len() / 2
            } else {
                point.len()
            };
            return Ok(Self::of_ec(&curve, point.get(..length).unwrap_or(point)));
        }
        Ok(Self::digest(b"other", &[&spki.to_der()?]))
    }

    fn of_rsa(key: &RsaPublicKey) -> Self {
        Self::digest(b"rsa", &[key.modulus.as_bytes()])
    }

    fn of_ec(curve: &[u8], x: &[u8]) -> Self {
        Self::digest(b"ec", &[curve, x])
    }

    fn digest(kind: &[u8], parts: &[&[u8]]) -> Self {
        let mut digest = Sha256::new();
        for part in std::iter::once(&kind).chain(parts) {
            digest.update(&part.len().to_be_bytes());
            digest.update(part);
        }
        Self(digest.finish())
    }
}

impl PublicKey {
    pub(crate) fn parse(der: &[u8]) -> Result<Self, KeyFault> {
        let spki = SubjectPublicKeyInfoRef::from_der(der).map_err(|_| KeyFault::Encoding)?;
        let bits = spki
            .subject_public_key
            .as_bytes()
            .ok_or(KeyFault::Encoding)?;
        let oid = spki.algorithm.parameters_oid();
        let (kind, parameters) = match (spki.algorithm.oid, &oid) {
            (RSA_ENCRYPTION, _) => (rsa(bits)?, AnyRef::NULL),
            (ID_EC_PUBLIC_KEY, Ok(oid)) => {
                let curve = Curve::from_oid(oid).ok_or(KeyFault::Curve(*oid))?;
                if !is_point(curve, bits) {
                    return Err(KeyFault::Point);
                }
                (KeyKind::Ec(curve), AnyRef::from(oid))
            }
            _ => return Err(KeyFault::Encoding),
        };
        let again = SubjectPublicKeyInfoRef {
            algorithm: AlgorithmIdentifierRef {
                oid: spki.algorithm.oid,
                parameters: Some(parameters),
            },
            subject_public_key: BitStringRef::from_bytes(bits).map_err(|_| KeyFault::Encoding)?,
        };
        if again.to_der().map_err(|_| KeyFault::Encoding)? != der {
            return Err(KeyFault::Encoding);
        }
        Ok(Self {
            kind,
            identity: KeyIdentity::of(der).map_err(|_| KeyFault::Encoding)?,
            identifier: sha1(bits),
        })
    }
}

fn rsa(der: &[u8]) -> Result<KeyKind, KeyFault> {
    let key: RsaPublicKey = crate::exact::decode(der).map_err(|_| KeyFault::Encoding)?;
    let (modulus, exponent) = (key.modulus.as_bytes(), key.exponent.as_bytes());
    let is_odd = |number: &[u8]| number.last().is_some_and(|last| last % 2 == 1);
    let least = exponent.iter().fold(0_u64, |value, octet| {
        value.saturating_mul(256).saturating_add((*octet).into())
    });
    let is_sound = is_odd(modulus)
        && is_odd(exponent)
        && exponent.len() <= MAX_EXPONENT
        && least >= MIN_EXPONENT;
    if !is_sound {
        return Err(KeyFault::Rsa);
    }
    let unused = modulus.first().map_or(0, |first| first.leading_zeros());
    let bits = u32::try_from(modulus.len())
        .unwrap_or(u32::MAX)
        .saturating_mul(8)
        .saturating_sub(unused);
    Ok(KeyKind::Rsa { bits })
}

fn is_point(curve: Curve, point: &[u8]) -> bool {
    let on_curve = || {
        let group = EcGroup::from_curve_name(Nid::from(curve))?;
        let mut context = BigNumContext::new()?;
        EcPoint::from_bytes(&group, point, &mut context)?.is_on_curve(&group, &mut context)
    };
    point.first() == Some(&UNCOMPRESSED) && on_curve().unwrap_or(false)
}
