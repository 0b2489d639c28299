//! What a service may ask of the keys of one CA, whatever holds them.

use std::pin::Pin;

use tokio::sync::watch;

use crate::{
    BadCiphertext, Digest, Health, Hsm, KeyTransport, LogKey, OperationError, Plaintext, Priority,
    RaKeys, SignatureAlgorithm, WorkerRun,
};

/// A key operation under way.
pub type Operation<'a, T> = Pin<Box<dyn Future<Output = Result<T, OperationError>> + Send + 'a>>;

/// The keys of one CA and its RA. [`Hsm`] is the implementation for production; its methods of the same names document
/// what each operation takes and refuses.
pub trait Token: Send + Sync {
    /// Decrypts a content-encryption key with the RA key. The inner error carries no cause.
    fn decrypt<'a>(
        &'a self,
        request_id: &'a str,
        ra: RaKeys,
        transport: KeyTransport,
        ciphertext: &'a [u8],
    ) -> Operation<'a, Result<Plaintext, BadCiphertext>>;

    /// Signs the DER `SET OF` CMS signed attributes of a reply with the RA key, by RSASSA-PKCS1-v1_5.
    fn sign_reply<'a>(
        &'a self,
        request_id: &'a str,
        ra: RaKeys,
        digest: Digest,
        signed_attributes: &'a [u8],
    ) -> Operation<'a, Vec<u8>>;

    /// Signs a whole TBSCertificate or TBSCertList with the CA key.
    fn sign_tbs<'a>(&'a self, request_id: &'a str, tbs: &'a [u8]) -> Operation<'a, Vec<u8>>;

    /// Signs the text of a checkpoint with the log key.
    fn sign_checkpoint<'a>(&'a self, note_text: &'a str) -> Operation<'a, Vec<u8>>;

    /// Signs a whole OCSP ResponseData with the key of the responder.
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

    /// What [`Token::decrypt`] can undo.
    fn key_transports(&self) -> &[KeyTransport];

    /// The number of CA signatures in each run, until [`Token::forget_runs`] names the run.
    fn worker_runs(&self) -> Vec<WorkerRun>;

    /// Forgets ended runs by their [`WorkerRun::id`].
    fn forget_runs(&self, ids: &[u64]);

    /// The health of the token, as it changes.
    fn health(&self) -> watch::Receiver<Health>;

    /// Operations that wait or are under way.
    fn queue_depth(&self) -> usize;

    /// The label of the token.
    fn token_label(&self) -> String;

    /// The serial number of the token.
    fn token_serial(&self) -> String;

    /// Finishes the operations under way and accepts no more.
    fn shutdown(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

impl Token for Hsm {
    fn decrypt<'a>(
        &'a self,
        request_id: &'a str,
        ra: RaKeys,
        transport: KeyTransport,
        ciphertext: &'a [u8],
    ) -> Operation<'a, Result<Plaintext, BadCiphertext>> {
        Box::pin(self.decrypt(request_id, ra, transport, ciphertext))
    }

    fn sign_reply<'a>(
        &'a self,
        request_id: &'a str,
        ra: RaKeys,
        digest: Digest,
        signed_attributes: &'a [u8],
    ) -> Operation<'a, Vec<u8>> {
        Box::pin(self.sign_reply(request_id, ra, digest, signed_attributes))
    }

    fn sign_tbs<'a>(&'a self, request_id: &'a str, tbs: &'a [u8]) -> Operation<'a, Vec<u8>> {
        Box::pin(self.sign_tbs(request_id, tbs))
    }

    fn sign_checkpoint<'a>(&'a self, note_text: &'a str) -> Operation<'a, Vec<u8>> {
        Box::pin(self.sign_checkpoint(note_text))
    }

    fn sign_ocsp<'a>(
        &'a self,
        request_id: &'a str,
        priority: Priority,
        response_data: &'a [u8],
    ) -> Operation<'a, Vec<u8>> {
        Box::pin(self.sign_ocsp(request_id, priority, response_data))
    }

    fn log_key(&self) -> Option<&LogKey> {
        self.log_key()
    }

    fn ca_signature_algorithm(&self) -> SignatureAlgorithm {
        self.ca_signature_algorithm()
    }

    fn ocsp_signature_algorithm(&self) -> Option<SignatureAlgorithm> {
        self.ocsp_signature_algorithm()
    }

    fn key_transports(&self) -> &[KeyTransport] {
        self.key_transports()
    }

    fn worker_runs(&self) -> Vec<WorkerRun> {
        self.worker_runs()
    }

    fn forget_runs(&self, ids: &[u64]) {
        self.forget_runs(ids);
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.health()
    }

    fn queue_depth(&self) -> usize {
        self.queue_depth()
    }

    fn token_label(&self) -> String {
        self.token_label()
    }

    fn token_serial(&self) -> String {
        self.token_serial()
    }

    fn shutdown(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(self.shutdown())
    }
}
