//! RSA public keys from their PKCS#1 parts: OpenSSL 3 takes longer to decode an SPKI than to verify a signature.

use std::{fmt, sync::Arc};

use openssl::{
    bn::BigNum,
    encrypt::Encrypter,
    error::ErrorStack,
    pkey::{PKey, Public},
    rsa::{Padding, Rsa},
    sign::{RsaPssSaltlen, Verifier},
};

use crate::{
    Digest, KeyTransport,
    asn1::{oid, read::Element, tag},
    cms::algorithm::{AlgorithmIdentifier, DigestExt, SignatureScheme},
    key::NoKey,
};

/// Modulus bits that any arithmetic is done with; which keys are good enough is for policy.
const MODULUS_BITS: std::ops::RangeInclusive<i32> = 1024..=8192;
/// OpenSSL's own bound for large moduli (OPENSSL_RSA_MAX_PUBEXP_BITS).
const EXPONENT_BITS: std::ops::RangeInclusive<i32> = 2..=64;

/// A public key in bounds.
#[derive(Clone)]
pub(crate) struct RsaKey(Arc<Rsa<Public>>);

impl fmt::Debug for RsaKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "RsaKey({} bits)", self.0.n().num_bits())
    }
}

impl RsaKey {
    pub(crate) fn from_spki(spki: &[u8]) -> Result<Self, NoKey> {
        let (modulus, exponent) = public_parts(spki).ok_or(NoKey::Algorithm)?;
        let number = |magnitude| BigNum::from_slice(magnitude).map_err(|_| NoKey::Size);
        let (modulus, exponent) = (number(modulus)?, number(exponent)?);
        let in_bounds = MODULUS_BITS.contains(&modulus.num_bits())
            && EXPONENT_BITS.contains(&exponent.num_bits());
        if !in_bounds || !modulus.is_bit_set(0) || !exponent.is_bit_set(0) {
            return Err(NoKey::Size);
        }
        let key = Rsa::from_public_components(modulus, exponent).map_err(|_| NoKey::Size)?;
        Ok(RsaKey(Arc::new(key)))
    }

    /// Whether `signature` over `message` is this key's; `digest` stands where the scheme names none.
    pub(crate) fn verify(
        &self,
        scheme: SignatureScheme,
        digest: Digest,
        message: &[u8],
        signature: &[u8],
    ) -> bool {
        match scheme {
            SignatureScheme::Pkcs1v15 { .. } => self.verify_pkcs1v15(digest, message, signature),
            SignatureScheme::Pss {
                digest,
                mgf,
                salt_length,
            } => self
                .verify_pss(digest, mgf, salt_length, message, signature)
                .unwrap_or(false),
            SignatureScheme::Ecdsa { .. } => false,
        }
    }

    /// RFC 8017 §8.2.2 by comparison of the encoded digest, so that no DigestInfo of the sender is ever parsed.
    fn verify_pkcs1v15(&self, digest: Digest, message: &[u8], signature: &[u8]) -> bool {
        let mut recovered = vec![0; self.size()];
        let Ok(length) = self
            .0
            .public_decrypt(signature, &mut recovered, Padding::PKCS1)
        else {
            return false;
        };
        recovered.truncate(length);
        recovered == digest.info(&digest.hash(message))
    }

    fn verify_pss(
        &self,
        digest: Digest,
        mgf: Digest,
        salt_length: i32,
        message: &[u8],
        signature: &[u8],
    ) -> Result<bool, ErrorStack> {
        let key = self.pkey()?;
        let mut verifier = Verifier::new(digest.into(), &key)?;
        verifier.set_rsa_padding(Padding::PKCS1_PSS)?;
        verifier.set_rsa_mgf1_md(mgf.into())?;
        verifier.set_rsa_pss_saltlen(RsaPssSaltlen::custom(salt_length))?;
        verifier.verify_oneshot(signature, message)
    }

    pub(crate) fn encrypt(
        &self,
        transport: KeyTransport,
        plaintext: &[u8],
    ) -> Result<Vec<u8>, ErrorStack> {
        match transport {
            KeyTransport::Pkcs1v15 => {
                let mut ciphertext = vec![0; self.size()];
                self.0
                    .public_encrypt(plaintext, &mut ciphertext, Padding::PKCS1)?;
                Ok(ciphertext)
            }
            KeyTransport::Oaep { digest, mgf } => {
                let key = self.pkey()?;
                let mut encrypter = Encrypter::new(&key)?;
                encrypter.set_rsa_padding(Padding::PKCS1_OAEP)?;
                encrypter.set_rsa_oaep_md(digest.into())?;
                encrypter.set_rsa_mgf1_md(mgf.into())?;
                let mut ciphertext = vec![0; self.size()];
                let length = encrypter.encrypt(plaintext, &mut ciphertext)?;
                ciphertext.truncate(length);
                Ok(ciphertext)
            }
        }
    }

    fn size(&self) -> usize {
        self.0.n().num_bytes().unsigned_abs() as usize
    }

    fn pkey(&self) -> Result<PKey<Public>, ErrorStack> {
        PKey::from_rsa(Rsa::from_public_components(
            self.0.n().to_owned()?,
            self.0.e().to_owned()?,
        )?)
    }
}

/// Modulus and exponent of an `rsaEncryption` SubjectPublicKeyInfo (RFC 3279 §2.3.1).
fn public_parts(spki: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut fields = Element::only(spki, tag::SEQUENCE)?.fields();
    let algorithm = AlgorithmIdentifier::take(&mut fields)?;
    let key = fields.take(tag::BIT_STRING)?.bit_string()?;
    fields.finish()?;
    if algorithm.oid != oid::RSA_ENCRYPTION || !algorithm.has_no_parameters() {
        return None;
    }
    let mut fields = Element::only(key, tag::SEQUENCE)?.fields();
    let modulus = fields.take(tag::INTEGER)?.magnitude()?;
    let exponent = fields.take(tag::INTEGER)?.magnitude()?;
    fields.finish()?;
    Some((modulus, exponent))
}
