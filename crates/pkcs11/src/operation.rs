//! The private-key operations themselves.

use cryptoki::error::{Error, Result};
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::mechanism::rsa::{PkcsMgfType, PkcsOaepParams, PkcsOaepSource};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::ObjectHandle;
use cryptoki::session::Session;
use openssl::bn::BigNum;
use openssl::ecdsa::EcdsaSig;
use openssl::error::ErrorStack;
use openssl::hash::{MessageDigest, hash};
use openssl::pkey::{PKey, Public};
use openssl::sign::Verifier;
use zeroize::Zeroizing;

use crate::{Digest, KeyAlgorithm, KeyTransport, SignatureAlgorithm};

/// Signs data with the hash that goes with the key: for RSA hashed in the token, for ECDSA here,
/// since CKM_ECDSA_SHA256 is not to be had everywhere. ECDSA comes back as DER (RFC 3279,
/// section 2.2.3).
pub(super) fn sign(
    session: &Session,
    key: ObjectHandle,
    algorithm: KeyAlgorithm,
    data: &[u8],
) -> Result<Vec<u8>> {
    match algorithm {
        KeyAlgorithm::Rsa(_) => sign_rsa(session, key, Digest::Sha256, data),
        KeyAlgorithm::P256 => sign_ecdsa(session, key, MessageDigest::sha256(), data),
        KeyAlgorithm::P384 => sign_ecdsa(session, key, MessageDigest::sha384(), data),
        KeyAlgorithm::Ed25519 => {
            let parameters = EddsaParams::new(EddsaSignatureScheme::Pure);
            session.sign(&Mechanism::Eddsa(parameters), key, data)
        }
    }
}

/// RSASSA-PKCS1-v1_5 with the whole of the data hashed in the token.
pub(super) fn sign_rsa(
    session: &Session,
    key: ObjectHandle,
    digest: Digest,
    data: &[u8],
) -> Result<Vec<u8>> {
    let mechanism = match digest {
        Digest::Sha1 => Mechanism::Sha1RsaPkcs,
        Digest::Sha256 => Mechanism::Sha256RsaPkcs,
        Digest::Sha384 => Mechanism::Sha384RsaPkcs,
        Digest::Sha512 => Mechanism::Sha512RsaPkcs,
    };
    session.sign(&mechanism, key, data)
}

/// Decrypts an RSA ciphertext.
pub(super) fn decrypt(
    session: &Session,
    key: ObjectHandle,
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
    session
        .decrypt(&mechanism, key, ciphertext)
        .map(Zeroizing::new)
}

/// Verifies in software what [`sign`] made.
pub(super) fn verify(
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

/// How certificates signed with a key of this kind name their signature; `None` for Ed25519,
/// which no CA here uses.
pub(super) fn signature_algorithm(algorithm: KeyAlgorithm) -> Option<SignatureAlgorithm> {
    match algorithm {
        KeyAlgorithm::Rsa(_) => Some(SignatureAlgorithm::Sha256WithRsa),
        KeyAlgorithm::P256 => Some(SignatureAlgorithm::EcdsaWithSha256),
        KeyAlgorithm::P384 => Some(SignatureAlgorithm::EcdsaWithSha384),
        KeyAlgorithm::Ed25519 => None,
    }
}

fn sign_ecdsa(
    session: &Session,
    key: ObjectHandle,
    digest: MessageDigest,
    data: &[u8],
) -> Result<Vec<u8>> {
    // The hash has the length of the curve's order here, so no token has to cut it.
    let hash = hash(digest, data).map_err(|_| Error::InvalidValue)?;
    let raw = session.sign(&Mechanism::Ecdsa, key, &hash)?;
    ecdsa_der(&raw, digest.size()).map_err(|_| Error::InvalidValue)
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
