use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use anyhow::Result;
use assay_hsm::{
    BadCiphertext, Digest, Health, KeyAlgorithm, KeyTransport, LogKey, Operation, OperationError,
    Plaintext, Priority, RaKeys, SignatureAlgorithm, Token, WorkerRun,
};
use openssl::error::ErrorStack;
use openssl::pkey::{PKey, PKeyRef, Private};
use openssl::rsa::Padding;
use openssl::sign::Signer;
use tokio::sync::watch;
use zeroize::Zeroizing;

use crate::Ca;

/// The keys of one CA and of a log, with counts of their use.
pub struct SoftToken {
    ca: Arc<Ca>,
    log: PKey<Private>,
    log_key: LogKey,
    health: watch::Sender<Health>,
    /// While it is set, no certificate and no CRL is signed.
    pub refuses_tbs: AtomicBool,
    /// Content-encryption keys that were to be decrypted.
    pub decryptions: AtomicU64,
    /// Signatures of the CA key.
    pub tbs_signatures: AtomicU64,
}

impl SoftToken {
    /// `log` is an Ed25519 key.
    ///
    /// # Errors
    /// OpenSSL fails.
    pub fn new(ca: Arc<Ca>, log: PKey<Private>) -> Result<Self> {
        let health = Health {
            ready: true,
            ..Health::default()
        };
        Ok(Self {
            log_key: LogKey {
                algorithm: KeyAlgorithm::Ed25519,
                spki_der: log.public_key_to_der()?,
            },
            log,
            ca,
            health: watch::Sender::new(health),
            refuses_tbs: AtomicBool::new(false),
            decryptions: AtomicU64::new(0),
            tbs_signatures: AtomicU64::new(0),
        })
    }

    fn open(&self, ciphertext: &[u8]) -> Result<Result<Plaintext, BadCiphertext>, ErrorStack> {
        let key = self.ca.ra_enc.key.rsa()?;
        let mut octets = Zeroizing::new(vec![0; usize::try_from(key.size()).unwrap_or_default()]);
        let opened = key.private_decrypt(ciphertext, &mut octets, Padding::PKCS1);
        Ok(opened.map_err(|_| BadCiphertext).map(|length| {
            octets.truncate(length);
            Plaintext::new(octets)
        }))
    }
}

fn signed(key: &PKeyRef<Private>, digest: Digest, octets: &[u8]) -> Result<Vec<u8>, ErrorStack> {
    Signer::new(digest.into(), key)?.sign_oneshot_to_vec(octets)
}

/// The operation is done when it is asked for.
fn done<'a, T: Send + 'a>(result: Result<T, ErrorStack>) -> Operation<'a, T> {
    let refused = |error: ErrorStack| OperationError::Refused {
        reason: error.to_string(),
    };
    Box::pin(std::future::ready(result.map_err(refused)))
}

impl Token for SoftToken {
    fn decrypt<'a>(
        &'a self,
        _request_id: &'a str,
        _ra: RaKeys,
        _transport: KeyTransport,
        ciphertext: &'a [u8],
    ) -> Operation<'a, Result<Plaintext, BadCiphertext>> {
        self.decryptions.fetch_add(1, Ordering::Relaxed);
        done(self.open(ciphertext))
    }

    fn sign_reply<'a>(
        &'a self,
        _request_id: &'a str,
        _ra: RaKeys,
        digest: Digest,
        signed_attributes: &'a [u8],
    ) -> Operation<'a, Vec<u8>> {
        done(signed(&self.ca.ra_sign.key, digest, signed_attributes))
    }

    fn sign_tbs<'a>(&'a self, _request_id: &'a str, tbs: &'a [u8]) -> Operation<'a, Vec<u8>> {
        if self.refuses_tbs.load(Ordering::Relaxed) {
            return Box::pin(std::future::ready(Err(OperationError::Deadline)));
        }
        self.tbs_signatures.fetch_add(1, Ordering::Relaxed);
        done(signed(&self.ca.ca.key, Digest::Sha256, tbs))
    }

    fn sign_checkpoint<'a>(&'a self, note_text: &'a str) -> Operation<'a, Vec<u8>> {
        done(
            Signer::new_without_digest(&self.log)
                .and_then(|mut signer| signer.sign_oneshot_to_vec(note_text.as_bytes())),
        )
    }

    fn sign_ocsp<'a>(
        &'a self,
        _request_id: &'a str,
        _priority: Priority,
        _response_data: &'a [u8],
    ) -> Operation<'a, Vec<u8>> {
        let refused = OperationError::Refused {
            reason: "there is no responder".to_owned(),
        };
        Box::pin(std::future::ready(Err(refused)))
    }

    fn log_key(&self) -> Option<&LogKey> {
        Some(&self.log_key)
    }

    fn ca_signature_algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::EcdsaWithSha256
    }

    fn ocsp_signature_algorithm(&self) -> Option<SignatureAlgorithm> {
        None
    }

    fn key_transports(&self) -> &[KeyTransport] {
        &[KeyTransport::Pkcs1v15]
    }

    fn worker_runs(&self) -> Vec<WorkerRun> {
        vec![WorkerRun {
            id: 0,
            worker: 0,
            pid: std::process::id(),
            ca_signatures: self.tbs_signatures.load(Ordering::Relaxed),
            ended: false,
        }]
    }

    fn forget_runs(&self, _ids: &[u64]) {}

    fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    fn queue_depth(&self) -> usize {
        0
    }

    fn token_label(&self) -> String {
        "software".to_owned()
    }

    fn token_serial(&self) -> String {
        "1".to_owned()
    }

    fn shutdown(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::ready(()))
    }
}
