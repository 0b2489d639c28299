//! Elliptic-curve public keys (RFC 5480): they verify, and decrypt nothing.

use std::{fmt, sync::Arc};

use openssl::{
    bn::BigNumContext,
    ec::{EcGroup, EcKey, EcPoint},
    ecdsa::EcdsaSig,
    error::ErrorStack,
    pkey::Public,
};

use crate::{Curve, Digest, cms::algorithm::DigestExt};

/// The first octet of a point that is not compressed (SEC 1 §2.3.3).
const UNCOMPRESSED: u8 = 4;

/// A point on its curve.
#[derive(Clone)]
pub(crate) struct EcPublicKey {
    curve: Curve,
    key: Arc<EcKey<Public>>,
}

impl fmt::Debug for EcPublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "EcPublicKey({:?})", self.curve)
    }
}

impl EcPublicKey {
    /// `None` for a point that is compressed, at infinity or not on the curve.
    pub(crate) fn new(curve: Curve, point: &[u8]) -> Option<Self> {
        if point.first() != Some(&UNCOMPRESSED) {
            return None;
        }
        let key = key(curve, point).ok()?;
        Some(EcPublicKey {
            curve,
            key: Arc::new(key),
        })
    }

    pub(crate) fn curve(&self) -> Curve {
        self.curve
    }

    /// ECDSA (RFC 5753 §2.1) with a signature in DER, and in no other encoding of BER.
    pub(crate) fn verify(&self, digest: Digest, message: &[u8], signature: &[u8]) -> bool {
        let verified = || {
            let parsed = EcdsaSig::from_der(signature)?;
            let is_der = parsed.to_der()? == signature;
            Ok::<_, ErrorStack>(is_der && parsed.verify(&digest.hash(message), &self.key)?)
        };
        verified().unwrap_or(false)
    }
}

fn key(curve: Curve, point: &[u8]) -> Result<EcKey<Public>, ErrorStack> {
    let group = EcGroup::from_curve_name(curve.into())?;
    let mut context = BigNumContext::new()?;
    let point = EcPoint::from_bytes(&group, point, &mut context)?;
    let key = EcKey::from_public_key(&group, &point)?;
    key.check_key()?;
    Ok(key)
}
