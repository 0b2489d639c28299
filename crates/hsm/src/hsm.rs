//! The service's handle on its token: what may be asked of the keys, and nothing more.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use zeroize::Zeroizing;

use crate::{
    Digest, Health, HsmConfig, KeyRole, KeyTransport, OperationError, SignatureAlgorithm,
    StartError,
};

/// Told of every operation: its key's role, how long its caller waited, and whether it had an
/// answer. A bad ciphertext is an answer.
pub type Observer = Arc<dyn Fn(KeyRole, Duration, bool) + Send + Sync>;

/// The service's keys behind their workers. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Hsm {}

impl Hsm {
    /// Starts the workers, logs in once and checks every key.
    ///
    /// # Errors
    /// [`StartError`], whose text says how to mend it. A wrong PIN is tried once and never again.
    pub async fn start(_config: HsmConfig) -> Result<Self, StartError> {
        Err(StartError::Worker {
            reason: "not there yet".to_owned(),
        })
    }

    /// Decrypts a content-encryption key with the RA key.
    ///
    /// # Errors
    /// The outer one says that there is no answer to be had. The inner one is the token's verdict
    /// on the ciphertext; how it came about is not told.
    pub async fn decrypt(
        &self,
        _request_id: &str,
        _transport: KeyTransport,
        _ciphertext: &[u8],
    ) -> Result<Result<Plaintext, BadCiphertext>, OperationError> {
        Err(OperationError::WorkerLost)
    }

    /// Signs the DER `SET OF` CMS signed attributes of a reply (RFC 5652, section 5.4) with the RA
    /// key, by RSASSA-PKCS1-v1_5.
    ///
    /// # Errors
    /// [`OperationError::Refused`] if the octets are no such set.
    pub async fn sign_reply(
        &self,
        _request_id: &str,
        _digest: Digest,
        _signed_attributes: &[u8],
    ) -> Result<Vec<u8>, OperationError> {
        Err(OperationError::WorkerLost)
    }

    /// Signs a whole TBSCertificate or TBSCertList (RFC 5280, sections 4.1 and 5.1) with the CA
    /// key. Returns the signature value as it stands in the certificate: DER for ECDSA.
    ///
    /// # Errors
    /// [`OperationError::Refused`] for another issuer or algorithm than the CA's, and for a
    /// certificate of a CA.
    pub async fn sign_tbs(
        &self,
        _request_id: &str,
        _tbs: &[u8],
    ) -> Result<Vec<u8>, OperationError> {
        Err(OperationError::WorkerLost)
    }

    /// What the CA key signs with, for whoever builds a TBS.
    pub fn ca_signature_algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::EcdsaWithSha256
    }

    /// Health as it changes.
    pub fn health(&self) -> watch::Receiver<Health> {
        watch::channel(Health::default()).1
    }

    /// Operations that wait or are being done.
    pub fn queue_depth(&self) -> usize {
        0
    }

    /// Sets who is told of every operation; the first one set stays.
    pub fn set_observer(&self, _observer: Observer) {}

    /// Label of the token.
    pub fn token_label(&self) -> String {
        String::new()
    }

    /// Serial number of the token.
    pub fn token_serial(&self) -> String {
        String::new()
    }

    /// Ends the workers. Operations asked for later fail with [`OperationError::WorkerLost`].
    pub async fn shutdown(&self) {}
}

/// A decrypted key; wiped when dropped, never printed.
pub struct Plaintext(Zeroizing<Vec<u8>>);

impl Plaintext {
    /// The octets themselves.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Plaintext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Plaintext(…)")
    }
}

/// The token could not decrypt. Why is deliberately unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the ciphertext could not be decrypted")]
pub struct BadCiphertext;
