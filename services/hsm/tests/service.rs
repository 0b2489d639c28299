//! What the service's keys do, and what they refuse to do.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "helpers of tests may panic as tests may"
)]

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use assay_hsm::{
    BadCiphertext, Digest, KeyAlgorithm, KeyRole, KeyTransport, OperationError, RaKeys, Token,
};
use openssl::encrypt::Encrypter;
use openssl::rsa::Padding;
use openssl::sign::Verifier;
use openssl::x509::{X509, X509Crl};
use support::{Installation, der, until};

fn encrypt(installation: &Installation, padding: Padding, data: &[u8]) -> Vec<u8> {
    let mut encrypter = Encrypter::new(&installation.ra_decrypt).unwrap();
    encrypter.set_rsa_padding(padding).unwrap();
    let mut ciphertext = vec![0; encrypter.encrypt_len(data).unwrap()];
    let length = encrypter.encrypt(data, &mut ciphertext).unwrap();
    ciphertext.truncate(length);
    ciphertext
}

const OAEP_SHA1: KeyTransport = KeyTransport::Oaep {
    digest: Digest::Sha1,
    mgf: Digest::Sha1,
};

#[tokio::test]
async fn both_key_transports_decrypt_to_what_was_encrypted() {
    let installation = Installation::new().await;
    let hsm = installation.start().await;
    for (padding, transport) in [
        (Padding::PKCS1, KeyTransport::Pkcs1v15),
        (Padding::PKCS1_OAEP, OAEP_SHA1),
    ] {
        let ciphertext = encrypt(&installation, padding, b"content-encryption key");
        let plaintext = hsm
            .decrypt("r1", RaKeys::Pair, transport, &ciphertext)
            .await
            .unwrap();
        assert_eq!(plaintext.unwrap().expose(), b"content-encryption key");
    }
    hsm.shutdown().await;
}

#[tokio::test]
async fn bad_ciphertexts_are_uniform_and_cost_neither_session_nor_health() {
    let installation = Installation::new().await;
    let hsm = installation.start().await;
    let mut health = hsm.health();
    let before = until(&mut health, |health| {
        health.operations.contains_key("probe")
    })
    .await;
    let good = encrypt(&installation, Padding::PKCS1, b"key");
    let mut wrong_padding = good.clone();
    wrong_padding[100] ^= 1;
    let too_short = vec![1; 17];
    let too_large = vec![0xff; 256];
    for ciphertext in [&wrong_padding, &too_short, &too_large, &vec![]] {
        for transport in [KeyTransport::Pkcs1v15, OAEP_SHA1] {
            let answer = hsm
                .decrypt("r1", RaKeys::Pair, transport, ciphertext)
                .await
                .unwrap();
            assert_eq!(answer.unwrap_err(), BadCiphertext);
        }
    }
    let answer = hsm
        .decrypt("r2", RaKeys::Pair, KeyTransport::Pkcs1v15, &good)
        .await;
    assert_eq!(answer.unwrap().unwrap().expose(), b"key");
    let probes = before.operations["probe"];
    let after = until(&mut health, |health| {
        health.operations.get("probe") > Some(&(probes + 1))
    })
    .await;
    assert!(after.ready);
    assert_eq!(after.pid, before.pid);
    assert_eq!(after.reconnections, 0);
    assert_eq!(after.operations["ra-decrypt"], 8 + 1);
    hsm.shutdown().await;
}

#[tokio::test]
async fn a_padding_that_the_token_lacks_is_refused_for_good_and_harms_nothing() {
    let installation = Installation::new().await;
    let hsm = installation.start().await;
    let transport = KeyTransport::Oaep {
        digest: Digest::Sha256,
        mgf: Digest::Sha256,
    };
    assert_eq!(hsm.key_transports(), [KeyTransport::Pkcs1v15, OAEP_SHA1]);
    let error = hsm
        .decrypt("r1", RaKeys::Pair, transport, &[1; 256])
        .await
        .unwrap_err();
    assert!(error.is_permanent(), "{error}");
    let ciphertext = encrypt(&installation, Padding::PKCS1, b"key");
    let answer = hsm
        .decrypt("r2", RaKeys::Pair, KeyTransport::Pkcs1v15, &ciphertext)
        .await;
    assert_eq!(answer.unwrap().unwrap().expose(), b"key");
    assert_eq!(hsm.health().borrow().reconnections, 0);
    hsm.shutdown().await;
}

#[tokio::test]
async fn the_observer_sees_each_operation_with_its_role_and_whether_it_was_answered() {
    let installation = Installation::new().await;
    let hsm = installation.start().await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    hsm.hsm
        .set_observer(Arc::new(move |role, waited, answered| {
            assert!(waited > Duration::ZERO);
            sink.lock().unwrap().push((role, answered));
        }));
    let bad = hsm
        .decrypt("r1", RaKeys::Pair, KeyTransport::Pkcs1v15, &[1; 256])
        .await;
    assert!(bad.unwrap().is_err());
    hsm.sign_certificate("r2", &installation.tbs().to_der())
        .await
        .unwrap();
    hsm.sign_reply("r3", RaKeys::Pair, Digest::Sha256, b"")
        .await
        .unwrap_err();
    assert_eq!(
        *seen.lock().unwrap(),
        [
            (KeyRole::RaDecrypt, true),
            (KeyRole::CaSign, true),
            (KeyRole::RaSign, false)
        ]
    );
    hsm.shutdown().await;
}

#[tokio::test]
async fn reply_signatures_verify_under_the_ra_certificate_for_every_digest() {
    let installation = Installation::new().await;
    let hsm = installation.start().await;
    let attributes = der::signed_attributes();
    for digest in Digest::ALL {
        let signature = hsm
            .sign_reply("r1", RaKeys::Pair, digest, &attributes)
            .await
            .unwrap();
        let mut verifier = Verifier::new(digest.into(), &installation.ra_sign).unwrap();
        assert!(verifier.verify_oneshot(&signature, &attributes).unwrap());
    }
    hsm.shutdown().await;
}

#[tokio::test]
async fn the_ra_key_signs_nothing_but_a_set_of_attributes() {
    let installation = Installation::new().await;
    let hsm = installation.start().await;
    let set = der::signed_attributes();
    let mut trailing = set.clone();
    trailing.push(0);
    let mut sequence = set.clone();
    sequence[0] = 0x30;
    for bytes in [
        installation.tbs().to_der(),
        trailing,
        sequence,
        set[..set.len() - 1].to_vec(),
        b"\x31\x00".to_vec(),
        b"\x31\x03\x02\x01\x01".to_vec(),
        vec![],
    ] {
        let refused = hsm
            .sign_reply("r1", RaKeys::Pair, Digest::Sha256, &bytes)
            .await;
        let error = refused.unwrap_err();
        assert!(
            matches!(error, OperationError::Refused { .. }),
            "{bytes:02x?}"
        );
        assert!(error.is_permanent());
    }
    hsm.shutdown().await;
}

#[tokio::test]
async fn certificates_and_crls_verify_under_each_kind_of_ca_key() {
    for algorithm in [
        KeyAlgorithm::P256,
        KeyAlgorithm::P384,
        KeyAlgorithm::Rsa(2048),
    ] {
        let installation = Installation::with_ca(algorithm).await;
        let hsm = installation.start().await;
        let signature = hsm.ca_signature_algorithm().to_der();
        assert_eq!(signature, der::signature_algorithm(algorithm));
        let ca_key = installation.ca.public_key().unwrap();
        assert!(installation.ca.verify(&ca_key).unwrap());

        let mut tbs = installation.tbs();
        tbs.signature = signature.to_vec();
        let tbs = tbs.to_der();
        let value = hsm.sign_certificate("r1", &tbs).await.unwrap();
        let certificate = X509::from_der(&der::signed(&tbs, signature, &value)).unwrap();
        assert!(certificate.verify(&ca_key).unwrap());

        let list = der::tbs_cert_list(&installation.ca_name, signature);
        let value = hsm.sign_crl("r2", &list).await.unwrap();
        let list = X509Crl::from_der(&der::signed(&list, signature, &value)).unwrap();
        assert!(list.verify(&ca_key).unwrap());
        hsm.shutdown().await;
    }
}

#[tokio::test]
async fn the_ca_key_signs_no_structure_beyond_its_rules() {
    let installation = Installation::new().await;
    let hsm = installation.start().await;
    let good = installation.tbs();
    let with = |change: &dyn Fn(&mut der::Tbs)| {
        let mut tbs = good.clone();
        change(&mut tbs);
        tbs.to_der()
    };
    let rsa = der::signature_algorithm(KeyAlgorithm::Rsa(2048));
    let own = der::signature_algorithm(KeyAlgorithm::P256);
    let mut trailing = good.to_der();
    trailing.push(0);
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        (
            "another issuer",
            with(&|tbs| tbs.issuer = der::name("Other CA")),
            "issuer",
        ),
        (
            "another algorithm",
            with(&|tbs| tbs.signature = rsa.to_vec()),
            "algorithm",
        ),
        (
            "CA:TRUE",
            with(&|tbs| tbs.extensions = vec![der::ca_true()]),
            "basicConstraints",
        ),
        (
            "a second basicConstraints",
            with(&|tbs| tbs.extensions.push(der::ca_true())),
            "twice",
        ),
        (
            "keyCertSign",
            with(&|tbs| tbs.extensions = vec![der::key_usage(0x04, 2)]),
            "keyUsage",
        ),
        (
            "cRLSign",
            with(&|tbs| tbs.extensions = vec![der::key_usage(0x82, 1)]),
            "keyUsage",
        ),
        (
            "another CRL issuer",
            der::tbs_cert_list(&der::name("Other CA"), own),
            "issuer",
        ),
        (
            "another CRL algorithm",
            der::tbs_cert_list(&installation.ca_name, rsa),
            "algorithm",
        ),
        ("trailing octets", trailing, "DER"),
        (
            "a request",
            der::request_info(&installation.ca_name, &good.spki),
            "DER",
        ),
        ("signed attributes", der::signed_attributes(), "DER"),
        ("a digest", vec![0x5a; 32], "DER"),
        ("nothing", vec![], "DER"),
        ("a certificate for a CRL", good.to_der(), "DER"),
        (
            "a list for a certificate",
            der::tbs_cert_list(&installation.ca_name, own),
            "DER",
        ),
    ];
    for (what, tbs, reason) in cases {
        let error = if what.contains("CRL") {
            hsm.sign_crl("r1", &tbs).await.unwrap_err()
        } else {
            hsm.sign_certificate("r1", &tbs).await.unwrap_err()
        };
        assert!(error.to_string().contains(reason), "{what}: {error}");
        assert!(error.is_permanent(), "{what}");
    }
    hsm.sign_certificate("r2", &good.to_der()).await.unwrap();
    let mut health = hsm.health();
    let counted = until(&mut health, |health| {
        health.operations.get("ca-sign") > Some(&0)
    })
    .await;
    // The refused ones never reached the key.
    assert_eq!(counted.operations["ca-sign"], 1);
    hsm.shutdown().await;
}

#[tokio::test]
async fn a_full_queue_is_busy_at_once_and_every_other_operation_is_answered() {
    let installation = Installation::new().await;
    let mut config = installation.config();
    config.queue = 4;
    let hsm = config.start().await;
    let attributes = der::signed_attributes();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let (hsm, attributes) = (hsm.keys.clone(), attributes.clone());
        tasks.spawn(async move {
            hsm.sign_reply("r1", RaKeys::Pair, Digest::Sha256, &attributes)
                .await
        });
    }
    let results = tasks.join_all().await;
    let signed = results.iter().filter(|result| result.is_ok()).count();
    let busy = results
        .iter()
        .filter(|result| matches!(result, Err(OperationError::Busy)))
        .count();
    assert_eq!(signed + busy, 64);
    assert!(signed >= 4 && busy > 0, "{signed} signed, {busy} busy");
    assert_eq!(hsm.queue_depth(), 0);
    hsm.shutdown().await;
}
