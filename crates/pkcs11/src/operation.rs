//! The private-key operations themselves.

use assay_types::{Digest, KeyTransport};
use cryptoki::error::Error;
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::mechanism::rsa::{PkcsMgfType, PkcsOaepParams, PkcsOaepSource};
use cryptoki::mechanism::{Mechanism, MechanismType};
use openssl::bn::BigNum;
use openssl::ecdsa::EcdsaSig;
use openssl::error::ErrorStack;
use openssl::hash::{MessageDigest, hash};
use openssl::pkey::{PKey, Public};
use openssl::sign::Verifier;
use zeroize::Zeroizing;

use crate::{CallError, KeyAlgorithm, KeyHandle, Session};

type Result<T> = std::result::Result<T, CallError>;

impl Session {
    /// Signs data with the hash that goes with the key: for RSA hashed in the token, for ECDSA here,
    /// since CKM_ECDSA_SHA256 is not available everywhere. ECDSA comes back as DER (RFC 3279,
    /// section 2.2.3).
    ///
    /// # Errors
    /// [`CallError`] of C_SignInit or C_Sign.
    pub fn sign(&self, key: KeyHandle, algorithm: KeyAlgorithm, data: &[u8]) -> Result<Vec<u8>> {
        match algorithm {
            KeyAlgorithm::Rsa(_) => self.sign_rsa(key, Digest::Sha256, data),
            KeyAlgorithm::P256 => self.sign_ecdsa(key, MessageDigest::sha256(), data),
            KeyAlgorithm::P384 => self.sign_ecdsa(key, MessageDigest::sha384(), data),
            KeyAlgorithm::Ed25519 => {
                let parameters = EddsaParams::new(EddsaSignatureScheme::Pure);
                Ok(self.0.sign(&Mechanism::Eddsa(parameters), key.0, data)?)
            }
        }
    }

    /// RSASSA-PKCS1-v1_5 with the whole of the data hashed in the token.
    ///
    /// # Errors
    /// [`CallError`] of C_SignInit or C_Sign.
    pub fn sign_rsa(&self, key: KeyHandle, digest: Digest, data: &[u8]) -> Result<Vec<u8>> {
        let mechanism = match digest {
            Digest::Sha1 => Mechanism::Sha1RsaPkcs,
            Digest::Sha256 => Mechanism::Sha256RsaPkcs,
            Digest::Sha384 => Mechanism::Sha384RsaPkcs,
            Digest::Sha512 => Mechanism::Sha512RsaPkcs,
        };
        Ok(self.0.sign(&mechanism, key.0, data)?)
    }

    /// Decrypts an RSA ciphertext.
    ///
    /// # Errors
    /// [`CallError`]; [`CallError::is_bad_ciphertext`] where the ciphertext is at fault.
    pub fn decrypt(
        &self,
        key: KeyHandle,
        transport: KeyTransport,
        ciphertext: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>> {
        let mechanism = match transport {
            KeyTransport::Pkcs1v15 => Mechanism::RsaPkcs,
            KeyTransport::Oaep { digest, mgf } => Mechanism::RsaPkcsOaep(PkcsOaepParams::new(
                hash_mechanism(digest),
                mask_function(mgf),
                PkcsOaepSource::empty(),
            )),
        };
        Ok(self
            .0
            .decrypt(&mechanism, key.0, ciphertext)
            .map(Zeroizing::new)?)
    }

    fn sign_ecdsa(&self, key: KeyHandle, digest: MessageDigest, data: &[u8]) -> Result<Vec<u8>> {
        // The hash has the length of the curve's order here, so no token has to cut it.
        let hash = hash(digest, data).map_err(|_| Error::InvalidValue)?;
        let raw = self.0.sign(&Mechanism::Ecdsa, key.0, &hash)?;
        Ok(ecdsa_der(&raw, digest.size()).map_err(|_| Error::InvalidValue)?)
    }
}

/// Verifies in software what [`Session::sign`] made.
///
/// # Errors
/// OpenSSL's, where the signature or the key cannot be read.
pub fn verify(
    key: &PKey<Public>,
    algorithm: KeyAlgorithm,
    data: &[u8],
    signature: &[u8],
) -> std::result::Result<bool, ErrorStack> {
    let mut verifier = match algorithm {
        KeyAlgorithm::Rsa(_) | KeyAlgorithm::P256 => Verifier::new(MessageDigest::sha256(), key)?,
        KeyAlgorithm::P384 => Verifier::new(MessageDigest::sha384(), key)?,
        KeyAlgorithm::Ed25519 => Verifier::new_without_digest(key)?,
    };
    verifier.verify_oneshot(signature, data)
}

/// Turns r‖s (PKCS#11 v3.1, section 6.3.1) into `SEQUENCE { r, s }`.
fn ecdsa_der(raw: &[u8], coordinate: usize) -> std::result::Result<Vec<u8>, ErrorStack> {
    match raw.split_at_checked(coordinate) {
        Some((r, s)) if s.len() == coordinate => {
            EcdsaSig::from_private_components(BigNum::from_slice(r)?, BigNum::from_slice(s)?)?
                .to_der()
        }
        Some(_) | None => Err(ErrorStack::get()),
    }
}

fn hash_mechanism(digest: Digest) -> MechanismType {
    match digest {
        Digest::Sha1 => MechanismType::SHA1,
        Digest::Sha256 => MechanismType::SHA256,
        Digest::Sha384 => MechanismType::SHA384,
        Digest::Sha512 => MechanismType::SHA512,
    }
}

fn mask_function(digest: Digest) -> PkcsMgfType {
    match digest {
        Digest::Sha1 => PkcsMgfType::MGF1_SHA1,
        Digest::Sha256 => PkcsMgfType::MGF1_SHA256,
        Digest::Sha384 => PkcsMgfType::MGF1_SHA384,
        Digest::Sha512 => PkcsMgfType::MGF1_SHA512,
    }
}
