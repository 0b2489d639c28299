//! What the responder's key signs, what it refuses, and that it gives way to everything else.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests may panic as tests may"
)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use assay_hsm::{
    CaKeys, Digest, KeyAlgorithm, KeyRole, OperationError, Priority, RaKeys, SignatureAlgorithm,
    Token,
};
use openssl::hash::MessageDigest;
use openssl::sha::sha1;
use openssl::sign::Verifier;
use openssl::x509::X509;
use support::der::{self, ResponseData};
use support::{Installation, until};

const GOOD: &[u8] = b"\x80\x00";
const REVOKED: &[u8] = b"\xa1\x16\x18\x0f20260401000000Z\xa0\x03\x0a\x01\x01";
const UNKNOWN: &[u8] = b"\x82\x00";
/// A nonce, and as responseExtensions.
const NONCE: &[u8] = b"\xa1\x17\x30\x15\x30\x13\x06\x09\x2b\x06\x01\x05\x05\x07\x30\x01\x02\x04\x06\x04\x04\x01\x02\x03\x04";

fn delegation() -> Vec<Vec<u8>> {
    vec![
        der::key_usage(0x80, 7),
        der::ocsp_signing(),
        der::no_check(),
    ]
}

async fn installation() -> Installation {
    Installation::with_responder(KeyAlgorithm::P256, &delegation()).await
}

fn responder(installation: &Installation) -> X509 {
    let key = installation.keys.last().unwrap();
    assert_eq!(key.role, KeyRole::OcspSign);
    X509::from_der(key.certificate.as_ref().unwrap()).unwrap()
}

fn key_octets(certificate: &X509) -> Vec<u8> {
    let key = certificate.public_key().unwrap();
    if let Ok(key) = key.rsa() {
        return key.public_key_to_der_pkcs1().unwrap();
    }
    let key = key.ec_key().unwrap();
    let mut context = openssl::bn::BigNumContext::new().unwrap();
    let form = openssl::ec::PointConversionForm::UNCOMPRESSED;
    key.public_key()
        .to_bytes(key.group(), form, &mut context)
        .unwrap()
}

fn data(installation: &Installation) -> ResponseData {
    ResponseData {
        responder: sha1(&key_octets(&responder(installation))).to_vec(),
        produced_at: b"20260501000000Z",
        hash: der::SHA1,
        issuer_name: sha1(&installation.ca_name).to_vec(),
        issuer_key: sha1(&key_octets(&installation.ca)).to_vec(),
        status: GOOD,
        this_update: b"20260501000000Z",
        next_update: Some(b"20260504000000Z"),
        extensions: [b"", b""],
        copies: 1,
    }
}

async fn sign(hsm: &CaKeys, data: &[u8]) -> Result<Vec<u8>, OperationError> {
    hsm.sign_ocsp("r1", Priority::Background, data).await
}

#[tokio::test]
async fn a_status_of_this_ca_is_signed_and_counted() {
    for (algorithm, name) in [
        (KeyAlgorithm::P256, SignatureAlgorithm::EcdsaWithSha256),
        (KeyAlgorithm::Rsa(2048), SignatureAlgorithm::Sha256WithRsa),
    ] {
        let installation = Installation::with_responder(algorithm, &delegation()).await;
        let hsm = installation.start().await;
        assert_eq!(hsm.ocsp_signature_algorithm(), Some(name));
        let key = responder(&installation).public_key().unwrap();
        for status in [GOOD, REVOKED] {
            let data = ResponseData {
                status,
                ..data(&installation)
            }
            .to_der();
            for priority in [Priority::Normal, Priority::Background] {
                let signature = hsm.sign_ocsp("r1", priority, &data).await.unwrap();
                let mut verifier = Verifier::new(MessageDigest::sha256(), &key).unwrap();
                assert!(verifier.verify_oneshot(&signature, &data).unwrap());
            }
        }
        let mut health = hsm.health();
        until(&mut health, |health| {
            health.operations.get("ocsp-sign") == Some(&4)
        })
        .await;
        hsm.shutdown().await;
    }
}

#[tokio::test]
async fn the_key_signs_nothing_but_one_status_of_this_ca() {
    let installation = installation().await;
    let hsm = installation.start().await;
    let good = data(&installation);
    let with = |change: &dyn Fn(&mut ResponseData)| {
        let mut data = good.clone();
        change(&mut data);
        data.to_der()
    };
    let mut trailing = good.to_der();
    trailing.push(0);
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        (
            "another responder",
            with(&|data| data.responder = vec![0; 20]),
            "responderID",
        ),
        (
            "another name",
            with(&|data| data.issuer_name = vec![0; 20]),
            "certID",
        ),
        (
            "another key",
            with(&|data| data.issuer_key = vec![0; 20]),
            "certID",
        ),
        (
            "another hash",
            with(&|data| data.hash = b"\x30\x09\x06\x05\x2b\x0e\x03\x02\x1b\x05\x00"),
            "certID",
        ),
        (
            "the status unknown",
            with(&|data| data.status = UNKNOWN),
            "DER",
        ),
        (
            "no nextUpdate",
            with(&|data| data.next_update = None),
            "DER",
        ),
        (
            "an extension of the status",
            with(&|data| data.extensions[0] = NONCE),
            "DER",
        ),
        ("a nonce", with(&|data| data.extensions[1] = NONCE), "DER"),
        ("two statuses", with(&|data| data.copies = 2), "DER"),
        ("no status", with(&|data| data.copies = 0), "DER"),
        (
            "one of the future",
            with(&|data| data.this_update = b"20260503000000Z"),
            "order",
        ),
        (
            "one that has ended",
            with(&|data| data.next_update = Some(b"20260430000000Z")),
            "order",
        ),
        (
            "one that outlives the responder",
            with(&|data| data.next_update = Some(b"20360101000001Z")),
            "later",
        ),
        ("trailing octets", trailing, "DER"),
        ("a certificate", installation.tbs().to_der(), "DER"),
        ("signed attributes", der::signed_attributes(), "DER"),
        ("a digest", vec![0x5a; 32], "DER"),
        ("nothing", vec![], "DER"),
    ];
    for (what, octets, reason) in cases {
        let error = sign(&hsm, &octets).await.unwrap_err();
        assert!(error.to_string().contains(reason), "{what}: {error}");
        assert!(error.is_permanent(), "{what}");
    }
    sign(&hsm, &good.to_der()).await.unwrap();
    let mut health = hsm.health();
    let counted = until(&mut health, |health| {
        health.operations.get("ocsp-sign") > Some(&0)
    })
    .await;
    // The refused ones never reached the key.
    assert_eq!(counted.operations["ocsp-sign"], 1);
    hsm.shutdown().await;
}

#[tokio::test]
async fn a_certificate_that_is_no_delegation_starts_no_service() {
    let [usage, purpose, no_check] = <[Vec<u8>; 3]>::try_from(delegation()).unwrap();
    let sign_and_encipher = der::key_usage(0x20, 5);
    for (extensions, reason) in [
        (vec![usage.clone(), no_check.clone()], "OCSPSigning"),
        (vec![usage, purpose.clone()], "nocheck"),
        (
            vec![sign_and_encipher, purpose, no_check],
            "digitalSignature",
        ),
    ] {
        let installation = Installation::with_responder(KeyAlgorithm::P256, &extensions).await;
        let refused = installation.config().refusal();
        assert!(
            refused.contains(reason) && refused.contains("assay-ceremony ocsp"),
            "{refused}"
        );
    }
}

#[tokio::test]
async fn the_service_certifies_no_responder() {
    let installation = installation().await;
    let mut tbs = installation.tbs();
    tbs.extensions = delegation();
    let hsm = installation.start().await;
    let refused = hsm.sign_certificate("r1", &tbs.to_der()).await.unwrap_err();
    assert!(refused.is_permanent());
    assert!(refused.to_string().contains("responder"), "{refused}");
    hsm.shutdown().await;
}

#[tokio::test]
async fn without_the_key_there_is_no_responder() {
    let with = installation().await;
    let octets = data(&with).to_der();
    let mut config = with.config();
    config.keys.pop();
    let hsm = config.start().await;
    assert_eq!(hsm.ocsp_signature_algorithm(), None);
    let refused = sign(&hsm, &octets).await.unwrap_err();
    assert!(refused.to_string().contains("ocsp-sign"), "{refused}");
    hsm.shutdown().await;
}

#[tokio::test]
async fn what_a_device_waits_for_does_not_queue_behind_responses() {
    const RESPONSES: usize = 60;
    let installation = Installation::with_responder(KeyAlgorithm::Rsa(2048), &delegation()).await;
    let hsm = installation.start().await;
    let octets = Arc::new(data(&installation).to_der());
    let attributes = der::signed_attributes();
    // Each round by itself: what the service does between two replies depends on the machine.
    for _ in 0..3 {
        let signed = Arc::new(AtomicUsize::new(0));
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..RESPONSES {
            let (hsm, octets, signed) =
                (hsm.keys.clone(), Arc::clone(&octets), Arc::clone(&signed));
            tasks.spawn(async move {
                sign(&hsm, &octets).await.unwrap();
                signed.fetch_add(1, Ordering::Relaxed);
            });
        }
        tokio::task::yield_now().await;
        let reply = hsm.sign_reply("r1", RaKeys::Pair, Digest::Sha256, &attributes);
        reply.await.unwrap();
        let before = signed.load(Ordering::Relaxed);
        assert!(before < RESPONSES / 2, "{before} responses went first");
        tasks.join_all().await;
        assert_eq!(signed.load(Ordering::Relaxed), RESPONSES);
    }
    hsm.shutdown().await;
}
