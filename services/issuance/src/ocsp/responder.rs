//! The delegated responder (RFC 6960 section 4.2.2.2). The HSM service has found the certificate right, and its own.

use std::time::{SystemTime, UNIX_EPOCH};

use assay_hsm::SignatureAlgorithm;
use assay_types::Hash;
use der::Decode;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Public};
use openssl::sha::sha1;
use openssl::sign::Verifier;
use openssl::x509::X509;
use x509_cert::Certificate;

use super::OcspError;
use crate::app::digest_of;

pub(super) struct Responder {
    /// DER.
    pub(super) certificate: Vec<u8>,
    pub(super) sha256: Hash,
    /// SHA-1 of the public key: its ResponderID.
    pub(super) key_hash: [u8; 20],
    pub(super) not_after: SystemTime,
    pub(super) algorithm: SignatureAlgorithm,
    key: PKey<Public>,
    digest: MessageDigest,
}

impl Responder {
    pub(super) fn new(
        certificate: Vec<u8>,
        algorithm: SignatureAlgorithm,
    ) -> Result<Self, OcspError> {
        let parsed = Certificate::from_der(&certificate)?;
        let tbs = parsed.tbs_certificate();
        let spki = tbs.subject_public_key_info();
        Ok(Self {
            sha256: Hash::of(&certificate),
            key_hash: sha1(spki.subject_public_key.raw_bytes()),
            not_after: UNIX_EPOCH + tbs.validity().not_after.to_unix_duration(),
            key: X509::from_der(&certificate)?.public_key()?,
            digest: digest_of(algorithm),
            algorithm,
            certificate,
        })
    }

    /// Nothing leaves that does not verify in software.
    pub(super) fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), OcspError> {
        let mut verifier = Verifier::new(self.digest, &self.key)?;
        if verifier.verify_oneshot(signature, data).unwrap_or(false) {
            Ok(())
        } else {
            Err(OcspError::Signature)
        }
    }
}
