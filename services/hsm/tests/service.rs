//! The structures that the keys of the CA and the RA sign, and those that they refuse to sign. `crates/shape` tests each rule; a refusal here shows that
//! the rules come before the key.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "helpers of tests may panic as tests may"
)]

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use assay_hsm::{Digest, KeyAlgorithm, KeyRole, KeyTransport, OperationError, RaKeys, Token};
use openssl::sign::Verifier;
use openssl::x509::{X509, X509Crl};
use support::reply::{self, Message};
use support::{Installation, der};

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
    hsm.unwrap_key("r1", RaKeys::Pair, KeyTransport::Pkcs1v15, 16, &[1; 256])
        .await
        .unwrap();
    hsm.sign_certificate("r2", &installation.tbs().der())
        .await
        .unwrap();
    hsm.sign_cert_rep("r3", RaKeys::Pair, Digest::Sha256, b"", b"")
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
async fn replies_verify_under_the_ra_certificate_for_every_digest() {
    let installation = Installation::new().await;
    let hsm = installation.start().await;
    for digest in Digest::ALL {
        let pending = reply::by_hand(b"3", b"", digest);
        for message in [reply::success(digest).await, pending] {
            let signature = message.sign(&hsm, RaKeys::Pair, digest).await.unwrap();
            let mut verifier = Verifier::new(digest.into(), &installation.ra_sign).unwrap();
            let verified = verifier.verify_oneshot(&signature, &message.attributes);
            assert!(verified.unwrap());
        }
    }
    hsm.counted(KeyRole::RaSign, 2 * Digest::ALL.len() as u64)
        .await;
    hsm.shutdown().await;
}

#[tokio::test]
async fn the_ra_key_signs_nothing_but_a_reply_over_its_content() {
    let installation = Installation::new().await;
    let hsm = installation.start().await;
    let good = reply::success(Digest::Sha256).await;
    let with = |content: &[u8], attributes: &[u8]| Message {
        content: content.to_vec(),
        attributes: attributes.to_vec(),
    };
    let announcement = reply::next_ca(&[installation.ca.to_der().unwrap()]).await;
    let next_as_success = reply::by_hand(b"0", &announcement.content, Digest::Sha256);
    let cases = [
        (
            "other content",
            with(b"other", &good.attributes),
            "EnvelopedData",
        ),
        ("no content", with(b"", &good.attributes), "EnvelopedData"),
        (
            "attributes of other content",
            Message {
                content: good.content.clone(),
                ..reply::by_hand(b"0", b"other", Digest::Sha256)
            },
            "messageDigest",
        ),
        (
            "the digest of another algorithm",
            reply::by_hand(b"3", b"", Digest::Sha512),
            "messageDigest",
        ),
        (
            "content of a PENDING",
            reply::by_hand(b"3", &good.content, Digest::Sha256),
            "has content",
        ),
        (
            "a FAILURE without failInfo",
            reply::by_hand(b"2", b"", Digest::Sha256),
            "is missing",
        ),
        ("an announcement of a CA", announcement, "is missing"),
        (
            "an announcement of a CA as a SUCCESS",
            next_as_success,
            "EnvelopedData",
        ),
        (
            "a TBSCertificate",
            with(&good.content, &installation.tbs().der()),
            "SET OF",
        ),
        ("a digest", with(b"", &[0x5a; 32]), "SET OF"),
        ("nothing", with(b"", b""), "SET OF"),
    ];
    for (what, message, reason) in cases {
        let refused = message.sign(&hsm, RaKeys::Pair, Digest::Sha256).await;
        let error = refused.unwrap_err();
        assert!(error.to_string().contains(reason), "{what}: {error}");
        assert!(error.is_permanent(), "{what}");
    }
    good.sign(&hsm, RaKeys::Pair, Digest::Sha256).await.unwrap();
    hsm.counted(KeyRole::RaSign, 1).await;
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

        let tbs = installation.tbs().der();
        let value = hsm.sign_certificate("r1", &tbs).await.unwrap();
        let certificate = X509::from_der(&der::signed(&tbs, signature, &value)).unwrap();
        assert!(certificate.verify(&ca_key).unwrap());

        let list = installation.list(1).der();
        let value = hsm.sign_crl("r2", &list).await.unwrap();
        let list = X509Crl::from_der(&der::signed(&list, signature, &value)).unwrap();
        assert!(list.verify(&ca_key).unwrap());
        hsm.shutdown().await;
    }
}

#[tokio::test]
async fn the_ca_key_signs_no_certificate_beyond_its_forms() {
    let installation = Installation::new().await;
    let hsm = installation.start().await;
    let with = |change: &dyn Fn(&mut der::Parts)| {
        let mut tbs = installation.tbs();
        change(&mut tbs);
        tbs.der()
    };
    let certificate = |index: usize| {
        let octets = installation.keys[index].certificate.as_ref().unwrap();
        X509::from_der(octets).unwrap()
    };
    let spki = |index: usize| certificate(index).public_key().unwrap();
    let spki = |index: usize| spki(index).public_key_to_der().unwrap();
    let serial = certificate(1).serial_number().to_bn().unwrap().to_vec();
    let good = installation.tbs().der();
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        (
            "another issuer",
            with(&|tbs| tbs.issuer = der::name("Other CA")),
            "issuer",
        ),
        (
            "another algorithm",
            with(&|tbs| {
                tbs.algorithm = der::signature_algorithm(KeyAlgorithm::Rsa(2048)).to_vec();
            }),
            "algorithm",
        ),
        (
            "CA:TRUE",
            with(&|tbs| *tbs.extension(der::BC) = der::ca_true()),
            "basicConstraints",
        ),
        (
            "keyCertSign",
            with(&|tbs| *tbs.extension(der::KU) = der::key_usage(0x04, 2)),
            "keyCertSign",
        ),
        (
            "a responder",
            with(&|tbs| *tbs.extension(der::EKU) = der::ocsp_signing()),
            "only a ceremony makes a responder",
        ),
        (
            "a name of another domain",
            with(&|tbs| {
                tbs.extension(der::SAN).value = der::sequence(&[&der::dns("device.example.net")]);
            }),
            "outside the subtrees",
        ),
        (
            "a year",
            with(&|tbs| tbs.not_after = der::time(der::now() + der::DAY * 365)),
            "lifetime_max",
        ),
        (
            "next week",
            with(&|tbs| tbs.not_before = der::time(der::now() + der::DAY * 7)),
            "ahead of the service's clock",
        ),
        (
            "the name of the CA",
            with(&|tbs| tbs.subject = der::name("TEST  ca")),
            "section 7.1",
        ),
        (
            "the key of the RA",
            with(&|tbs| tbs.set_key(&spki(2))),
            "the key is",
        ),
        (
            "the serial number of the RA's certificate",
            with(&|tbs| tbs.serial = der::tlv(2, &serial)),
            "serial number",
        ),
        (
            "trailing octets",
            [good.as_slice(), &[0]].concat(),
            "DER of a TBSCertificate",
        ),
        (
            "a request",
            der::request_info(&installation.ca_name, &spki(2)),
            "DER of a TBSCertificate",
        ),
        (
            "a list",
            installation.list(1).der(),
            "DER of a TBSCertificate",
        ),
        ("a digest", vec![0x5a; 32], "DER of a TBSCertificate"),
        ("nothing", vec![], "DER of a TBSCertificate"),
    ];
    for (what, tbs, reason) in cases {
        let error = hsm.sign_certificate("r1", &tbs).await.unwrap_err();
        assert!(error.to_string().contains(reason), "{what}: {error}");
        assert!(error.is_permanent(), "{what}");
    }
    hsm.sign_certificate("r2", &good).await.unwrap();
    hsm.counted(KeyRole::CaSign, 1).await;
    hsm.shutdown().await;
    let certificates = installation.config().export();
    let certificates = certificates
        .iter()
        .filter(|item| matches!(item.entry.event, assay_journal::Event::Certificate { .. }));
    assert_eq!(certificates.count(), 1);
}

#[tokio::test]
async fn without_a_form_no_certificate_is_signed() {
    let installation = Installation::new().await;
    let mut config = installation.config();
    config.forms = String::new();
    let hsm = config.start().await;
    let refused = hsm.sign_certificate("r1", &installation.tbs().der()).await;
    assert!(refused.unwrap_err().is_permanent());
    hsm.sign_crl("r2", &installation.list(1).der())
        .await
        .unwrap();
    hsm.counted(KeyRole::CaSign, 1).await;
    hsm.shutdown().await;
}

#[tokio::test]
async fn the_ca_key_signs_no_list_beyond_its_rules() {
    let installation = Installation::new().await;
    let hsm = installation.start().await;
    let with = |change: &dyn Fn(&mut der::List)| {
        let mut list = installation.list(1);
        change(&mut list);
        list.der()
    };
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        (
            "another issuer",
            with(&|list| list.issuer = der::name("Other CA")),
            "issuer",
        ),
        (
            "another algorithm",
            with(&|list| list.algorithm = der::signature_algorithm(KeyAlgorithm::P384).to_vec()),
            "algorithm",
        ),
        (
            "the key identifier of another CA",
            with(&|list| list.issuer_key = vec![7; 20]),
            "authorityKeyIdentifier",
        ),
        (
            "one of yesterday",
            with(&|list| list.this_update = der::now() - der::DAY),
            "thisUpdate",
        ),
        (
            "one for a year",
            with(&|list| list.next_update = der::now() + der::DAY * 365),
            "nextUpdate",
        ),
        (
            "removeFromCRL",
            with(&|list| list.entries = vec![(der::serial(), der::now(), 8)]),
            "reason",
        ),
        (
            "a certificate",
            installation.tbs().der(),
            "DER of a TBSCertList",
        ),
        ("nothing", vec![], "DER of a TBSCertList"),
    ];
    for (what, list, reason) in cases {
        let error = hsm.sign_crl("r1", &list).await.unwrap_err();
        assert!(error.to_string().contains(reason), "{what}: {error}");
        assert!(error.is_permanent(), "{what}");
    }
    hsm.sign_crl("r2", &with(&|_| {})).await.unwrap();
    hsm.counted(KeyRole::CaSign, 1).await;
    hsm.shutdown().await;
}

#[tokio::test]
async fn a_full_queue_is_busy_at_once_and_every_other_operation_is_answered() {
    let installation = Installation::new().await;
    let mut config = installation.config();
    config.queue = 4;
    let hsm = config.start().await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let keys = hsm.keys.clone();
        tasks.spawn(async move { reply::send(&keys).await });
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
