use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use assay_hsm::{
    ContentKey, Digest, Health, KeyAlgorithm, KeyTransport, LogKey, Operation, OperationError,
    Priority, RaKeys, Run, SignatureAlgorithm, SignedCheckpoint, Token,
};
use assay_ocsp::{ResponseData, Status};
use assay_shape::{Demand, Form, Forms, Uncovered};
use assay_types::{Hash, Serial};
use der::Decode;
use openssl::base64;
use openssl::pkey::{PKey, PKeyRef, Private};
use openssl::rsa::Padding;
use openssl::sign::Signer;
use tokio::sync::{Semaphore, watch};
use x509_cert::TbsCertificate;
use x509_cert::crl::TbsCertList;
use zeroize::Zeroizing;

use crate::Ca;

/// Something that the HSM service would have in its journal.
#[derive(Debug, Clone)]
pub enum Signed {
    /// A certificate, and its signature if it got one.
    Certificate {
        /// TBSCertificate.
        tbs: Vec<u8>,
        /// `None` where the key was broken.
        signature: Option<Vec<u8>>,
    },
    /// A CRL: its TBSCertList.
    Crl(Vec<u8>),
    /// A checkpoint: size, root, and the leaf hashes since the one before.
    Checkpoint(u64, Hash, Vec<Hash>),
}

/// The keys of one CA and of a log, with counts of their use.
pub struct SoftToken {
    ca: Arc<Ca>,
    log: PKey<Private>,
    log_key: LogKey,
    origin: String,
    health: watch::Sender<Health>,
    /// Names its run among those of two tokens.
    run: u32,
    /// The identity of the journal that checkpoints name.
    pub journal: Mutex<Option<Hash>>,
    /// Size and root of the last tree that it signed.
    pub tree: Mutex<Option<(u64, Hash)>>,
    /// Whether checkpoints are signed without an answer, as by a service that is lost in between.
    pub loses_checkpoints: AtomicBool,
    /// Everything that it signed, where somebody wants to know.
    pub signed: Mutex<Option<Vec<Signed>>>,
    /// Content octets of the serial numbers that it was asked to sign, unless it refused at once.
    journalled: Mutex<BTreeSet<Vec<u8>>>,
    forms: Mutex<Option<Forms>>,
    refusal: Mutex<Option<OperationError>>,
    /// Whether the service has a reason to sign no CRL at present.
    pub signs_no_crl: AtomicBool,
    /// Taken while a CRL is signed, so that a test that takes it holds the next one up.
    pub crl_signer: Semaphore,
    /// CRLs that it was asked to sign.
    pub crl_tries: AtomicU64,
    /// Content octets of the serial numbers that the last CRL lists.
    listed: Mutex<Vec<Vec<u8>>>,
    /// Content-encryption keys that were to be decrypted.
    pub decryptions: AtomicU64,
    certificate_requests: AtomicU64,
    /// Signatures of the CA key.
    pub tbs_signatures: AtomicU64,
    /// Signatures of the responder's key.
    pub ocsp_signatures: AtomicU64,
}

impl SoftToken {
    /// `log` is the Ed25519 key of the log of this origin.
    ///
    /// # Errors
    /// OpenSSL fails.
    pub fn new(ca: Arc<Ca>, log: PKey<Private>, origin: &str) -> Result<Self> {
        let health = Health {
            ready: true,
            ..Health::default()
        };
        let digest = openssl::sha::sha256(&ca.ca.der()?);
        let run = digest
            .first_chunk()
            .map_or(0, |first| u32::from_be_bytes(*first));
        Ok(Self {
            run,
            log_key: LogKey {
                algorithm: KeyAlgorithm::Ed25519,
                spki_der: log.public_key_to_der()?,
            },
            log,
            origin: origin.to_owned(),
            journal: Mutex::default(),
            tree: Mutex::default(),
            loses_checkpoints: AtomicBool::new(false),
            signed: Mutex::default(),
            journalled: Mutex::default(),
            forms: Mutex::default(),
            ca,
            health: watch::Sender::new(health),
            refusal: Mutex::default(),
            signs_no_crl: AtomicBool::new(false),
            crl_signer: Semaphore::new(1),
            crl_tries: AtomicU64::new(0),
            listed: Mutex::default(),
            decryptions: AtomicU64::new(0),
            certificate_requests: AtomicU64::new(0),
            tbs_signatures: AtomicU64::new(0),
            ocsp_signatures: AtomicU64::new(0),
        })
    }

    /// Limits the CA's certificates to these forms; before, they may have any.
    ///
    /// # Errors
    /// One of the forms is unsafe.
    pub fn set_forms(&self, forms: Vec<Form>) -> Result<()> {
        *locked(&self.forms) = Some(Forms::new(forms)?);
        Ok(())
    }

    /// Why no certificate, no CRL and no OCSP response is signed; `None` if they are.
    pub fn set_refusal(&self, refusal: Option<OperationError>) {
        *locked(&self.refusal) = refusal;
    }

    /// How often a certificate was asked for, with any result.
    pub fn certificate_requests(&self) -> u64 {
        self.certificate_requests.load(Ordering::Relaxed)
    }

    /// The key that decrypts and the key that signs.
    fn ra(&self, keys: RaKeys) -> Result<(&PKey<Private>, &PKey<Private>)> {
        match keys {
            RaKeys::Pair => Ok((&self.ca.ra_enc.key, &self.ca.ra_sign.key)),
            RaKeys::Single => {
                let single = self.ca.ra_single.as_ref();
                let single = single.context("there is no key for both uses")?;
                Ok((&single.key, &single.key))
            }
        }
    }

    /// The key in a ciphertext, or zeros.
    fn open(&self, ra: RaKeys, length: usize, ciphertext: &[u8]) -> Result<ContentKey> {
        let key = self.ra(ra)?.0.rsa()?;
        let mut octets = Zeroizing::new(vec![0; usize::try_from(key.size()).unwrap_or_default()]);
        let opened = key.private_decrypt(ciphertext, &mut octets, Padding::PKCS1);
        if opened.is_ok_and(|opened| opened == length) {
            octets.truncate(length);
        } else {
            octets = Zeroizing::new(vec![0; length]);
        }
        Ok(ContentKey::new(octets))
    }

    /// Whether the last CRL says something else, as the HSM service compares them.
    fn is_ahead(&self, data: &ResponseData) -> bool {
        let is_revoked = matches!(data.status, Status::Revoked { .. });
        is_revoked != locked(&self.listed).contains(&data.cert_id.serial)
    }

    /// Adds to what it signed.
    fn note(&self, signed: impl FnOnce() -> Signed) {
        if let Some(all) = &mut *locked(&self.signed) {
            all.push(signed());
        }
    }

    /// Signs with a key of the CA or the responder, and counts it.
    fn sign<'a>(
        &self,
        key: &PKeyRef<Private>,
        count: &AtomicU64,
        octets: &[u8],
    ) -> Operation<'a, Vec<u8>> {
        if let Some(error) = locked(&self.refusal).clone() {
            return Box::pin(std::future::ready(Err(error)));
        }
        count.fetch_add(1, Ordering::Relaxed);
        done(signed(key, Digest::Sha256, octets))
    }
}

fn locked<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Content octets of the serial numbers that a CRL lists.
fn listed(tbs: &[u8]) -> Result<Vec<Vec<u8>>> {
    let list: TbsCertList = TbsCertList::from_der(tbs)?;
    let revoked = list.revoked_certificates.unwrap_or_default().into_iter();
    Ok(revoked
        .map(|entry| entry.serial_number.as_bytes().to_vec())
        .collect())
}

fn signed(key: &PKeyRef<Private>, digest: Digest, octets: &[u8]) -> Result<Vec<u8>> {
    Ok(Signer::new(digest.into(), key)?.sign_oneshot_to_vec(octets)?)
}

fn not_now<'a, T: Send + 'a>(reason: &str) -> Operation<'a, T> {
    let reason = reason.to_owned();
    Box::pin(std::future::ready(Err(OperationError::NotNow { reason })))
}

/// The operation is done when it is asked for.
fn done<'a, T: Send + 'a>(result: Result<T>) -> Operation<'a, T> {
    let refused = |error: anyhow::Error| OperationError::Refused {
        reason: error.to_string(),
    };
    Box::pin(std::future::ready(result.map_err(refused)))
}

impl Token for SoftToken {
    fn unwrap_key<'a>(
        &'a self,
        _request_id: &'a str,
        ra: RaKeys,
        _transport: KeyTransport,
        length: u8,
        ciphertext: &'a [u8],
    ) -> Operation<'a, ContentKey> {
        self.decryptions.fetch_add(1, Ordering::Relaxed);
        done(self.open(ra, length.into(), ciphertext))
    }

    fn sign_cert_rep<'a>(
        &'a self,
        _request_id: &'a str,
        ra: RaKeys,
        digest: Digest,
        _content: &'a [u8],
        signed_attributes: &'a [u8],
    ) -> Operation<'a, Vec<u8>> {
        let key = self.ra(ra);
        done(key.and_then(|(_, key)| signed(key, digest, signed_attributes)))
    }

    fn sign_next_ca<'a>(
        &'a self,
        ra: RaKeys,
        _content: &'a [u8],
        signed_attributes: &'a [u8],
    ) -> Operation<'a, Vec<u8>> {
        let key = self.ra(ra);
        done(key.and_then(|(_, key)| signed(key, Digest::Sha256, signed_attributes)))
    }

    fn sign_certificate<'a>(
        &'a self,
        _request_id: &'a str,
        tbs: &'a [u8],
    ) -> Operation<'a, Vec<u8>> {
        self.certificate_requests.fetch_add(1, Ordering::Relaxed);
        let refuses = matches!(
            &*locked(&self.refusal),
            Some(OperationError::Refused { .. } | OperationError::NotNow { .. })
        );
        if !refuses && let Ok(tbs) = TbsCertificate::from_der(tbs) {
            let serial = tbs.serial_number().as_bytes().to_vec();
            locked(&self.journalled).insert(serial);
        }
        if !refuses && let Some(all) = &mut *locked(&self.signed) {
            let signature = match &*locked(&self.refusal) {
                None => signed(&self.ca.ca.key, Digest::Sha256, tbs).ok(),
                Some(_) => None,
            };
            let tbs = tbs.to_vec();
            all.push(Signed::Certificate {
                tbs,
                signature: signature.clone(),
            });
            // The journal has the very signature that is handed out.
            if let Some(signature) = signature {
                self.tbs_signatures.fetch_add(1, Ordering::Relaxed);
                return done(Ok(signature));
            }
        }
        self.sign(&self.ca.ca.key, &self.tbs_signatures, tbs)
    }

    fn sign_crl<'a>(&'a self, _request_id: &'a str, tbs: &'a [u8]) -> Operation<'a, Vec<u8>> {
        Box::pin(async move {
            self.crl_tries.fetch_add(1, Ordering::Relaxed);
            let _alone = self.crl_signer.acquire().await;
            if self.signs_no_crl.load(Ordering::Relaxed) {
                return not_now("no CRL is signed").await;
            }
            if locked(&self.refusal).is_none() {
                match listed(tbs) {
                    Ok(serials) => *locked(&self.listed) = serials,
                    Err(error) => return done(Err(error)).await,
                }
                self.note(|| Signed::Crl(tbs.to_vec()));
            }
            self.sign(&self.ca.ca.key, &self.tbs_signatures, tbs).await
        })
    }

    fn sign_checkpoint<'a>(
        &'a self,
        size: u64,
        root: Hash,
        leaves: &'a [Hash],
    ) -> Operation<'a, SignedCheckpoint> {
        let mut tree = locked(&self.tree);
        let continues = |(last, signed): &(u64, Hash)| {
            (*last, *signed) == (size, root) || last.checked_add(leaves.len() as u64) == Some(size)
        };
        if !tree.as_ref().is_none_or(continues) {
            return done(Err(anyhow::anyhow!(
                "a tree that does not continue the last one"
            )));
        }
        *tree = Some((size, root));
        drop(tree);
        self.note(|| Signed::Checkpoint(size, root, leaves.to_vec()));
        if self.loses_checkpoints.load(Ordering::Relaxed) {
            return Box::pin(std::future::ready(Err(OperationError::ServiceLost)));
        }
        let root = base64::encode_block(root.as_bytes());
        let line = self
            .journal()
            .map(|identity| format!("assay-journal {identity} 1 {root}"));
        let extensions: Vec<String> = line.into_iter().collect();
        let mut text = format!("{}\n{size}\n{root}\n", self.origin);
        for line in &extensions {
            text += line;
            text.push('\n');
        }
        let signed = Signer::new_without_digest(&self.log)
            .and_then(|mut signer| signer.sign_oneshot_to_vec(text.as_bytes()));
        done(
            signed
                .map_err(Into::into)
                .map(|signature| SignedCheckpoint {
                    extensions,
                    signature,
                }),
        )
    }

    fn is_journalled<'a>(&'a self, serial: &'a Serial) -> Operation<'a, bool> {
        done(Ok(locked(&self.journalled).contains(serial.as_bytes())))
    }

    fn sign_ocsp<'a>(
        &'a self,
        _request_id: &'a str,
        _priority: Priority,
        response_data: &'a [u8],
    ) -> Operation<'a, Vec<u8>> {
        match ResponseData::from_der(response_data) {
            Err(error) => done(Err(error.into())),
            Ok(data) if self.is_ahead(&data) => not_now("the status is ahead of the last CRL"),
            Ok(_) => self.sign(&self.ca.ocsp.key, &self.ocsp_signatures, response_data),
        }
    }

    fn covers(&self, demand: &Demand) -> Result<(), Uncovered> {
        match &*locked(&self.forms) {
            Some(forms) => forms.covers(demand).map(|_| ()),
            None => Ok(()),
        }
    }

    fn journal(&self) -> Option<Hash> {
        *self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn log_key(&self) -> Option<&LogKey> {
        Some(&self.log_key)
    }

    fn ca_signature_algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::EcdsaWithSha256
    }

    fn ocsp_signature_algorithm(&self) -> Option<SignatureAlgorithm> {
        Some(SignatureAlgorithm::EcdsaWithSha256)
    }

    fn key_transports(&self) -> &[KeyTransport] {
        &[KeyTransport::Pkcs1v15]
    }

    fn runs(&self) -> Vec<Run> {
        vec![Run {
            id: u64::from(self.run),
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
