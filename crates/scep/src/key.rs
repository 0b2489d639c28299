//! The public keys that sign messages and CSRs.

use crate::{
    Curve, Digest,
    asn1::{oid, read::Element, tag},
    cms::algorithm::{AlgorithmIdentifier, SignatureScheme},
    ec::EcPublicKey,
    rsa::RsaKey,
};

/// A key in bounds: signatures can be verified with it.
#[derive(Debug, Clone)]
pub(crate) enum PublicKey {
    Rsa(RsaKey),
    Ec(EcPublicKey),
}

/// Why a SubjectPublicKeyInfo gives no [`PublicKey`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoKey {
    /// Neither RSA nor on a curve that is known, or a broken encoding.
    Algorithm,
    /// RSA of a size out of bounds.
    Size,
    /// Not an uncompressed point on its curve.
    Point,
}

impl PublicKey {
    pub(crate) fn from_spki(spki: &[u8]) -> Result<Self, NoKey> {
        let Some((curve, point)) = curve_and_point(spki) else {
            return RsaKey::from_spki(spki).map(PublicKey::Rsa);
        };
        EcPublicKey::new(curve, point)
            .map(PublicKey::Ec)
            .ok_or(NoKey::Point)
    }

    /// The curve, unless it is an RSA key.
    pub(crate) fn curve(&self) -> Option<Curve> {
        match self {
            PublicKey::Rsa(_) => None,
            PublicKey::Ec(key) => Some(key.curve()),
        }
    }

    /// Whether such keys make such signatures.
    pub(crate) fn makes(&self, scheme: SignatureScheme) -> bool {
        match scheme {
            SignatureScheme::Pkcs1v15 { .. } | SignatureScheme::Pss { .. } => {
                self.curve().is_none()
            }
            SignatureScheme::Ecdsa { .. } => self.curve().is_some(),
        }
    }

    /// Whether `signature` over `message` is this key's; `digest` stands where the scheme names none.
    pub(crate) fn verify(
        &self,
        scheme: SignatureScheme,
        digest: Digest,
        message: &[u8],
        signature: &[u8],
    ) -> bool {
        match (self, scheme) {
            (PublicKey::Rsa(key), _) => key.verify(scheme, digest, message, signature),
            (PublicKey::Ec(key), SignatureScheme::Ecdsa { digest }) => {
                key.verify(digest, message, signature)
            }
            (PublicKey::Ec(_), SignatureScheme::Pkcs1v15 { .. } | SignatureScheme::Pss { .. }) => {
                false
            }
        }
    }
}

/// Curve and point of an `id-ecPublicKey` SubjectPublicKeyInfo on a named curve (RFC 5480 §2).
fn curve_and_point(spki: &[u8]) -> Option<(Curve, &[u8])> {
    let mut fields = Element::only(spki, tag::SEQUENCE)?.fields();
    let algorithm = AlgorithmIdentifier::take(&mut fields)?;
    let point = fields.take(tag::BIT_STRING)?.bit_string()?;
    fields.finish()?;
    if algorithm.oid != oid::EC_PUBLIC_KEY {
        return None;
    }
    Some((Curve::from_oid(&algorithm.parameters_oid()?)?, point))
}
