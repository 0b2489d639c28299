//! The one key with two uses: both are proven, neither goes further than those of the keys it stands in for.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "helpers of tests may panic as tests may"
)]

mod support;

use std::fs;

use assay_hsm::{Digest, KeyRole, KeyTransport, OperationError, RaKeys, Token};
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Public};
use openssl::rsa::Padding;
use openssl::sign::Verifier;
use openssl::x509::X509;
use support::{Installation, Key, MODULE, SPY, encrypt, reply};

const OAEP_SHA1: KeyTransport = KeyTransport::Oaep {
    digest: Digest::Sha1,
    mgf: Digest::Sha1,
};

/// A content-encryption key.
const KEY: &[u8] = &[0x5a; 16];

fn single(installation: &Installation) -> &Key {
    let last = installation.keys.last().unwrap();
    assert_eq!(last.role, KeyRole::RaSingle);
    last
}

fn public_key(key: &Key) -> PKey<Public> {
    let certificate = key.certificate.as_deref().unwrap();
    X509::from_der(certificate).unwrap().public_key().unwrap()
}

fn refusal(installation: &Installation, change: impl FnOnce(&mut Key)) -> String {
    let mut config = installation.config();
    change(config.keys.last_mut().unwrap());
    config.refusal()
}

#[tokio::test]
async fn the_single_key_decrypts_and_signs_and_each_use_is_counted_as_its_own() {
    let installation = Installation::with_single_ra().await;
    let hsm = installation.start().await;
    let public_key = public_key(single(&installation));
    assert_eq!(hsm.key_transports(), [KeyTransport::Pkcs1v15, OAEP_SHA1]);
    for (padding, transport) in [
        (Padding::PKCS1, KeyTransport::Pkcs1v15),
        (Padding::PKCS1_OAEP, OAEP_SHA1),
    ] {
        let ciphertext = encrypt(&public_key, padding, KEY);
        let opened = async |ra| {
            let key = hsm.unwrap_key("r1", ra, transport, 16, &ciphertext).await;
            key.unwrap().into_inner().to_vec()
        };
        assert_eq!(opened(RaKeys::Single).await, KEY);
        assert_ne!(opened(RaKeys::Pair).await, KEY);
    }
    let reply = reply::success(Digest::Sha512).await;
    let signed = async |ra| reply.sign(&hsm, ra, Digest::Sha512).await.unwrap();
    let verifies = |signature: &[u8]| {
        let mut verifier = Verifier::new(MessageDigest::sha512(), &public_key).unwrap();
        let verified = verifier.verify_oneshot(signature, &reply.attributes);
        verified.unwrap()
    };
    assert!(verifies(&signed(RaKeys::Single).await));
    assert!(!verifies(&signed(RaKeys::Pair).await));
    for (role, count) in [
        (KeyRole::RaSingle, 3),
        (KeyRole::RaDecrypt, 2),
        (KeyRole::RaSign, 1),
    ] {
        hsm.counted(role, count).await;
    }
    hsm.shutdown().await;
}

#[tokio::test]
async fn the_single_key_signs_nothing_but_a_reply_over_its_content() {
    let installation = Installation::with_single_ra().await;
    let hsm = installation.start().await;
    let good = reply::success(Digest::Sha256).await;
    for attributes in [
        installation.tbs().der(),
        reply::by_hand(b"0", b"other", Digest::Sha256).attributes,
        b"assay proof of possession v1\0".to_vec(),
        vec![0x5a; 32],
        vec![],
    ] {
        let bad = reply::Message {
            attributes,
            ..good.clone()
        };
        let refused = bad.sign(&hsm, RaKeys::Single, Digest::Sha256).await;
        let error = refused.unwrap_err();
        assert!(matches!(error, OperationError::Refused { .. }), "{error}");
    }
    hsm.counted(KeyRole::RaSingle, 0).await;
    hsm.shutdown().await;
}

#[tokio::test]
async fn without_the_key_both_of_its_operations_are_refused_for_good() {
    let installation = Installation::new().await;
    let hsm = installation.start().await;
    let ciphertext = encrypt(&installation.ra_decrypt, Padding::PKCS1, KEY);
    let transport = KeyTransport::Pkcs1v15;
    let opened = hsm.unwrap_key("r1", RaKeys::Single, transport, 16, &ciphertext);
    let opened = opened.await.unwrap_err();
    let reply = reply::success(Digest::Sha256).await;
    let signed = reply.sign(&hsm, RaKeys::Single, Digest::Sha256).await;
    for error in [opened, signed.unwrap_err()] {
        assert!(error.is_permanent(), "{error}");
        assert!(error.to_string().contains("ra-single"), "{error}");
    }
    hsm.shutdown().await;
}

#[tokio::test]
async fn a_key_with_one_of_the_uses_is_not_taken_for_the_single_one() {
    let installation = Installation::with_single_ra().await;
    for (role, lacks) in [
        (KeyRole::RaDecrypt, "CKA_SIGN is false"),
        (KeyRole::RaSign, "CKA_DECRYPT is false"),
    ] {
        let mut of_role = installation.keys.iter().filter(|key| key.role == role);
        let one = of_role.next().unwrap().clone();
        let error = refusal(&installation, |single| {
            single.uri = one.uri;
            single.certificate = one.certificate;
        });
        assert!(error.contains(lacks), "{error}");
    }
}

#[tokio::test]
async fn the_single_key_is_not_taken_for_one_with_one_use() {
    let installation = Installation::with_single_ra().await;
    let single = single(&installation).clone();
    for (role, exceeds) in [
        (KeyRole::RaDecrypt, "CKA_SIGN is true"),
        (KeyRole::RaSign, "CKA_DECRYPT is true"),
        (KeyRole::Probe, "CKA_DECRYPT is true"),
    ] {
        let mut config = installation.config();
        for key in &mut config.keys {
            if key.role == role {
                key.uri = single.uri.clone();
                key.certificate = single.certificate.clone();
            }
        }
        let error = config.refusal();
        assert!(error.contains(exceeds), "{role}: {error}");
    }
}

#[tokio::test]
async fn a_certificate_of_another_key_is_refused() {
    let installation = Installation::with_single_ra().await;
    for other in &installation.keys {
        if matches!(other.role, KeyRole::RaSingle | KeyRole::Probe) {
            continue;
        }
        let foreign = other.certificate.clone();
        let error = refusal(&installation, |single| single.certificate = foreign);
        assert!(
            error.contains("does not belong to"),
            "{}: {error}",
            other.role
        );
    }
}

#[tokio::test]
async fn a_start_proves_the_single_key_by_a_signature_and_by_a_decryption() {
    let installation = Installation::with_single_ra().await;
    let without = proofs(&installation, false).await;
    let with = proofs(&installation, true).await;
    assert_eq!(without, (1, 1));
    assert_eq!(with, (2, 2));
}

/// Signatures and PKCS#1 v1.5 decryptions by RSA keys that a start asks of the token, as OpenSC's tracing module sees
/// them.
async fn proofs(installation: &Installation, single: bool) -> (usize, usize) {
    let trace = installation.token.path().join(format!("trace-{single}"));
    let mut config = installation.config();
    if !single {
        config.keys.retain(|key| key.role != KeyRole::RaSingle);
    }
    config.module = SPY.into();
    for (name, value) in [
        ("PKCS11SPY", MODULE.to_owned()),
        ("PKCS11SPY_OUTPUT", trace.display().to_string()),
    ] {
        config.environment.push((name.to_owned(), value));
    }
    let hsm = config.start().await;
    hsm.shutdown().await;
    let trace = fs::read_to_string(trace).unwrap();
    let calls = |function: &str, mechanism: &str| {
        let calls = trace.split("\n\n");
        let calls = calls.filter(|call| call.contains(function));
        calls
            .filter(|call| call.split_whitespace().any(|word| word == mechanism))
            .count()
    };
    (
        calls("C_SignInit", "CKM_SHA256_RSA_PKCS"),
        calls("C_DecryptInit", "CKM_RSA_PKCS"),
    )
}
