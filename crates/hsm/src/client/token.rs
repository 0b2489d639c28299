//! What a signer may ask of the keys of one CA, whatever holds them.

use std::fmt;
use std::pin::Pin;

use assay_shape::{Demand, Uncovered};
use assay_types::{Hash, Serial};
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
    /// Decrypts a content-encryption key of `length` octets (16, 24 or 32) with the RA's key for it. The answer always is a
    /// key of this length: where the ciphertext has none, one that only fails to decrypt the content.
    fn unwrap_key<'a>(
        &'a self,
        request_id: &'a str,
        ra: RaKeys,
        transport: KeyTransport,
        length: u8,
        ciphertext: &'a [u8],
    ) -> Operation<'a, ContentKey>;

    /// Signs the DER `SET OF` CMS signed attributes of a CertRep over `content` (RFC 8894, section 3.3.2) with the RA's key
    /// for it, by RSASSA-PKCS1-v1_5. `content` is an EnvelopedData for a SUCCESS, and empty otherwise.
    fn sign_cert_rep<'a>(
        &'a self,
        request_id: &'a str,
        ra: RaKeys,
        digest: Digest,
        content: &'a [u8],
        signed_attributes: &'a [u8],
    ) -> Operation<'a, Vec<u8>>;

    /// Signs the DER `SET OF` CMS signed attributes of the answer to GetNextCACert (RFC 8894, section 4.7.1), by
    /// RSASSA-PKCS1-v1_5 over SHA-256. `content` is a certs-only SignedData of the CA that follows this one.
    fn sign_next_ca<'a>(
        &'a self,
        ra: RaKeys,
        content: &'a [u8],
        signed_attributes: &'a [u8],
    ) -> Operation<'a, Vec<u8>>;

    /// Signs a whole TBSCertificate (RFC 5280, section 4.1) with the CA key. Returns the signature value as it stands in
    /// the certificate: DER for ECDSA. The same TBSCertificate has the same signature, whenever it is asked for.
    fn sign_certificate<'a>(&'a self, request_id: &'a str, tbs: &'a [u8])
    -> Operation<'a, Vec<u8>>;

    /// Signs a whole TBSCertList (RFC 5280, section 5.1) of at most [`assay_types::MAX_TBS_CERT_LIST`] bytes with the CA key, in
    /// the same way.
    fn sign_crl<'a>(&'a self, request_id: &'a str, tbs: &'a [u8]) -> Operation<'a, Vec<u8>>;

    /// Signs a checkpoint (C2SP tlog-checkpoint) of this size and root with the log key, whose text has the extension lines
    /// of the answer. `leaves` are the hashes of the records since the checkpoint before.
    fn sign_checkpoint<'a>(
        &'a self,
        size: u64,
        root: Hash,
        leaves: &'a [Hash],
    ) -> Operation<'a, SignedCheckpoint>;

    /// Whether the journal has a certificate of the CA with this serial number, which then may have been signed. One that it
    /// does not have was never signed.
    fn is_journalled<'a>(&'a self, serial: &'a Serial) -> Operation<'a, bool>;

    /// Signs a whole OCSP ResponseData (RFC 6960, section 4.2.1) with the key of the responder.
    fn sign_ocsp<'a>(
        &'a self,
        request_id: &'a str,
        priority: Priority,
        response_data: &'a [u8],
    ) -> Operation<'a, Vec<u8>>;

    /// Whether a form of the CA covers everything that a policy profile could issue.
    ///
    /// # Errors
    /// [`Uncovered`], which says why each form does not.
    fn covers(&self, demand: &Demand) -> Result<(), Uncovered>;

    /// The random identity of the journal that records what is signed; `None` where there is none.
    fn journal(&self) -> Option<Hash>;

    /// The key that [`Token::sign_checkpoint`] signs with; `None` where there is none.
    fn log_key(&self) -> Option<&LogKey>;

    /// What the CA key signs with.
    fn ca_signature_algorithm(&self) -> SignatureAlgorithm;

    /// What the key of the responder signs with; `None` where there is none.
    fn ocsp_signature_algorithm(&self) -> Option<SignatureAlgorithm>;

    /// What [`Token::unwrap_key`] can undo with every key that decrypts.
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

/// A content-encryption key; wiped when dropped, never printed.
pub struct ContentKey(Zeroizing<Vec<u8>>);

impl ContentKey {
    /// What a token decrypted.
    pub fn new(octets: Zeroizing<Vec<u8>>) -> Self {
        Self(octets)
    }

    /// The octets themselves.
    pub fn into_inner(self) -> Zeroizing<Vec<u8>> {
        self.0
    }
}

impl fmt::Debug for ContentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ContentKey(…)")
    }
}

/// A checkpoint that the log key signed, except for the lines that its caller knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCheckpoint {
    /// The extension lines of its text, each without its newline.
    pub extensions: Vec<String>,
    /// The bare signature: 64 octets for Ed25519, DER of an ECDSA signature over SHA-256 for P-256.
    pub signature: Vec<u8>,
}
