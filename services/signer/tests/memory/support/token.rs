//! A CA with its RA, and a token of software that holds their keys.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use assay_hsm::{
    BadCiphertext, Digest, Health, KeyAlgorithm, KeyTransport, LogKey, Operation, OperationError,
    Plaintext, Priority, RaKeys, SignatureAlgorithm, Token, WorkerRun,
};
use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, PKeyRef, Private};
use openssl::rsa::Padding;
use openssl::sign::Signer;
use openssl::x509::extension::{BasicConstraints, KeyUsage, SubjectKeyIdentifier};
use openssl::x509::{X509, X509Builder, X509NameBuilder};
use tokio::sync::watch;
use zeroize::Zeroizing;

use super::key;
use super::seams::BEGIN;

const YEAR: i64 = 365 * 86_400;

/// A key and its certificate.
pub(crate) struct Pair {
    pub(crate) key: PKey<Private>,
    pub(crate) certificate: X509,
}

impl Pair {
    pub(crate) fn der(&self) -> Vec<u8> {
        self.certificate.to_der().unwrap()
    }

    pub(crate) fn pem(&self) -> Vec<u8> {
        self.certificate.to_pem().unwrap()
    }

    /// A P-256 key with a certificate of its own.
    pub(crate) fn self_signed(name: &str) -> Self {
        let key = p256();
        let certificate = certificate(name, &key, None, false);
        Self { key, certificate }
    }
}

fn p256() -> PKey<Private> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
}

fn certificate(name: &str, key: &PKeyRef<Private>, issuer: Option<&Pair>, ca: bool) -> X509 {
    let mut names = X509NameBuilder::new().unwrap();
    names.append_entry_by_nid(Nid::COMMONNAME, name).unwrap();
    let names = names.build();
    let mut builder = X509Builder::new().unwrap();
    builder.set_version(2).unwrap();
    let serial = BigNum::from_slice(&openssl::sha::sha256(name.as_bytes())[..8]).unwrap();
    builder
        .set_serial_number(&serial.to_asn1_integer().unwrap())
        .unwrap();
    builder.set_subject_name(&names).unwrap();
    let issuer_name = issuer.map_or(&*names, |issuer| issuer.certificate.subject_name());
    builder.set_issuer_name(issuer_name).unwrap();
    builder
        .set_not_before(&Asn1Time::from_unix(BEGIN - YEAR).unwrap())
        .unwrap();
    builder
        .set_not_after(&Asn1Time::from_unix(BEGIN + 10 * YEAR).unwrap())
        .unwrap();
    builder.set_pubkey(key).unwrap();
    if ca {
        let constraints = BasicConstraints::new().critical().ca().build().unwrap();
        builder.append_extension(constraints).unwrap();
        let mut usage = KeyUsage::new();
        let usage = usage.critical().key_cert_sign().crl_sign().build().unwrap();
        builder.append_extension(usage).unwrap();
        let context = builder.x509v3_context(None, None);
        let identifier = SubjectKeyIdentifier::new().build(&context).unwrap();
        builder.append_extension(identifier).unwrap();
    }
    let signing = issuer.map_or(key, |issuer| &*issuer.key);
    builder.sign(signing, MessageDigest::sha256()).unwrap();
    builder.build()
}

/// A CA and the two certificates of its RA.
pub(crate) struct Ca {
    pub(crate) ca: Pair,
    pub(crate) ra_enc: Pair,
    pub(crate) ra_sign: Pair,
}

impl Ca {
    /// `prefix` names the keys of its RA among those of the folder.
    pub(crate) fn new(name: &str, prefix: &str) -> Self {
        let key_of_ca = p256();
        let ca = Pair {
            certificate: certificate(name, &key_of_ca, None, true),
            key: key_of_ca,
        };
        let ra = |role: &str| {
            let key = key(&format!("{prefix}{role}"));
            let certificate = certificate(&format!("{name} {role}"), &key, Some(&ca), false);
            Pair { key, certificate }
        };
        let (ra_enc, ra_sign) = (ra("ra-decrypt"), ra("ra-sign"));
        Self {
            ca,
            ra_enc,
            ra_sign,
        }
    }

    pub(crate) fn has_issued(&self, certificate: &[u8]) -> bool {
        let certificate = X509::from_der(certificate).unwrap();
        certificate.verify(&self.ca.key).unwrap()
    }
}

/// The keys of one CA, and what a test makes of them.
pub(crate) struct SoftToken {
    ca: Arc<Ca>,
    log: PKey<Private>,
    log_key: LogKey,
    health: watch::Sender<Health>,
    /// No certificate and no CRL is signed.
    pub(crate) refuses_tbs: AtomicBool,
    pub(crate) decryptions: AtomicUsize,
    pub(crate) tbs_signatures: AtomicUsize,
}

impl SoftToken {
    pub(crate) fn new(ca: Arc<Ca>, log: PKey<Private>) -> Self {
        Self {
            log_key: LogKey {
                algorithm: KeyAlgorithm::Ed25519,
                spki_der: log.public_key_to_der().unwrap(),
            },
            log,
            ca,
            health: watch::Sender::new(Health {
                ready: true,
                ..Health::default()
            }),
            refuses_tbs: AtomicBool::new(false),
            decryptions: AtomicUsize::new(0),
            tbs_signatures: AtomicUsize::new(0),
        }
    }
}

fn signed(key: &PKeyRef<Private>, digest: Digest, octets: &[u8]) -> Vec<u8> {
    let mut signer = Signer::new(digest.into(), key).unwrap();
    signer.sign_oneshot_to_vec(octets).unwrap()
}

fn done<'a, T: Send + 'a>(result: Result<T, OperationError>) -> Operation<'a, T> {
    Box::pin(std::future::ready(result))
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
        let key = self.ca.ra_enc.key.rsa().unwrap();
        let mut octets = Zeroizing::new(vec![0; usize::try_from(key.size()).unwrap()]);
        let opened = key.private_decrypt(ciphertext, &mut octets, Padding::PKCS1);
        done(Ok(match opened {
            Ok(length) => {
                octets.truncate(length);
                Ok(Plaintext::new(octets))
            }
            Err(_) => Err(BadCiphertext),
        }))
    }

    fn sign_reply<'a>(
        &'a self,
        _request_id: &'a str,
        _ra: RaKeys,
        digest: Digest,
        signed_attributes: &'a [u8],
    ) -> Operation<'a, Vec<u8>> {
        done(Ok(signed(&self.ca.ra_sign.key, digest, signed_attributes)))
    }

    fn sign_tbs<'a>(&'a self, _request_id: &'a str, tbs: &'a [u8]) -> Operation<'a, Vec<u8>> {
        if self.refuses_tbs.load(Ordering::Relaxed) {
            return done(Err(OperationError::Deadline));
        }
        self.tbs_signatures.fetch_add(1, Ordering::Relaxed);
        done(Ok(signed(&self.ca.ca.key, Digest::Sha256, tbs)))
    }

    fn sign_checkpoint<'a>(&'a self, note_text: &'a str) -> Operation<'a, Vec<u8>> {
        let mut signer = Signer::new_without_digest(&self.log).unwrap();
        done(Ok(signer
            .sign_oneshot_to_vec(note_text.as_bytes())
            .unwrap()))
    }

    fn sign_ocsp<'a>(
        &'a self,
        _request_id: &'a str,
        _priority: Priority,
        _response_data: &'a [u8],
    ) -> Operation<'a, Vec<u8>> {
        done(Err(OperationError::Refused {
            reason: "there is no responder".to_owned(),
        }))
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
        Vec::new()
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
