//! What a signer may ask of the keys of one CA, whatever holds them.

use std::fmt;
use std::pin::Pin;

use assay_types::Hash;
use tokio::sync::watch;
use zeroize::Zeroizing;

use super::error::OperationError;
use super::health::Health;
use super::job::Priority;
use super::runs::Run;
use crate::{Digest, KeyTransport, LogKey, RaKeys, SignatureAlgorithm};

/// A key operation under way.
pub type Operation<'a, T> = Pin<Box<dyn Future<Output = Result<T, OperationError>> + Send + 'a>>;

/// The keys of one CA and its RA. [`CaKeys`](crate::CaKeys) is the implementation for production.
pub trait Token: Send + Sync {
    /// Decrypts a content-encryption key with the RA's key for it. The outer error says that there is no
    /// answer. The inner one is the token's verdict on the ciphertext, and carries no cause.
    fn decrypt<'a>(
        &'a self,
        request_id: &'a str,
        ra: RaKeys,
        transport: KeyTransport,
        ciphertext: &'a [u8],
    ) -> Operation<'a, Result<Plaintext, BadCiphertext>>;

    /// Signs the DER `SET OF` CMS signed attributes of a reply (RFC 5652, section 5.4) with the RA's key for it, by
    /// RSASSA-PKCS1-v1_5.
    fn sign_reply<'a>(
        &'a self,
        request_id: &'a str,
        ra: RaKeys,
        digest: Digest,
        signed_attributes: &'a [u8],
    ) -> Operation<'a, Vec<u8>>;

    /// Signs a whole TBSCertificate (RFC 5280, section 4.1) with the CA key. Returns the signature value as it stands in
    /// the certificate: DER for ECDSA. Refused for another issuer or algorithm than the CA's, and for a certificate of a
    /// CA.
    fn sign_certificate<'a>(&'a self, request_id: &'a str, tbs: &'a [u8])
    -> Operation<'a, Vec<u8>>;

    /// Signs a whole TBSCertList (RFC 5280, section 5.1) with the CA key, in the same way.
    fn sign_crl<'a>(&'a self, request_id: &'a str, tbs: &'a [u8]) -> Operation<'a, Vec<u8>>;

    /// Signs the text of a checkpoint (C2SP tlog-checkpoint) with the log key; `leaves` are the hashes of the records
    /// since the checkpoint before. Returns the bare signature: 64 octets for Ed25519, DER of an ECDSA signature over
    /// SHA-256 for P-256.
    fn sign_checkpoint<'a>(
        &'a self,
        note_text: &'a str,
        leaves: &'a [Hash],
    ) -> Operation<'a, Vec<u8>>;

    /// Signs a whole OCSP ResponseData (RFC 6960, section 4.2.1) with the key of the responder.
    fn sign_ocsp<'a>(
        &'a self,
        request_id: &'a str,
        priority: Priority,
        response_data: &'a [u8],
    ) -> Operation<'a, Vec<u8>>;

    /// The key that [`Token::sign_checkpoint`] signs with; `None` where there is none.
    fn log_key(&self) -> Option<&LogKey>;

    /// What the CA key signs with.
    fn ca_signature_algorithm(&self) -> SignatureAlgorithm;

    /// What the key of the responder signs with; `None` where there is none.
    fn ocsp_signature_algorithm(&self) -> Option<SignatureAlgorithm>;

    /// What [`Token::decrypt`] can undo with every key that decrypts.
    fn key_transports(&self) -> &[KeyTransport];

    /// The number of CA signatures in each run: those that are on and those that ended, until [`Token::forget_runs`]
    /// names them. Of runs that are never forgotten the 4,096 youngest are kept.
    fn runs(&self) -> Vec<Run>;

    /// Forgets ended runs by their [`Run::id`], once their last count is kept elsewhere.
    fn forget_runs(&self, ids: &[u64]);

    /// The health of the token, as it changes.
    fn health(&self) -> watch::Receiver<Health>;

    /// Operations that wait or are under way.
    fn queue_depth(&self) -> usize;

    /// The label of the token.
    fn token_label(&self) -> String;

    /// The serial number of the token.
    fn token_serial(&self) -> String;

    /// Finishes the operations under way and accepts no others.
    fn shutdown(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

/// A decrypted key; wiped when dropped, never printed.
pub struct Plaintext(Zeroizing<Vec<u8>>);

impl Plaintext {
    /// What a token decrypted.
    pub fn new(octets: Zeroizing<Vec<u8>>) -> Self {
        Self(octets)
    }

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
