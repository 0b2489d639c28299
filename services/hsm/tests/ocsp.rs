//! The statuses that the responder's key signs and refuses, and that it gives way to everything else.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests may panic as tests may"
)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use assay_hsm::{
    CaKeys, KeyAlgorithm, KeyRole, OperationError, Priority, SignatureAlgorithm, Token,
};
use assay_ocsp::{CertId, CrlReason, Issuer, ResponseData, Status};
use assay_types::CertIdHash;
use openssl::hash::MessageDigest;
use openssl::sha::{sha1, sha256};
use openssl::sign::Verifier;
use openssl::x509::X509;
use support::{Installation, der, reply};
use x509_cert::Certificate;
use x509_cert::der::Decode;

const HOLD: u8 = 6;

fn delegation() -> Vec<der::Extension> {
    vec![
        der::key_usage(0x80, 7),
        der::ocsp_signing(),
        der::no_check(),
    ]
}

async fn installation() -> Installation {
    Installation::with_responder(KeyAlgorithm::P256, &delegation()).await
}

fn responder(installation: &Installation) -> &[u8] {
    let key = installation.keys.last().unwrap();
    assert_eq!(key.role, KeyRole::OcspSign);
    key.certificate.as_ref().unwrap()
}

fn issuer(certificate: &[u8], hash: CertIdHash) -> Issuer {
    let certificate = Certificate::from_der(certificate).unwrap();
    let digest = |octets: &[u8]| match hash {
        CertIdHash::Sha1 => sha1(octets).to_vec(),
        CertIdHash::Sha256 => sha256(octets).to_vec(),
    };
    Issuer::of(&certificate, hash, digest).unwrap()
}

/// A `good` for a serial number, as an INTEGER of at most 127 octets.
fn data(installation: &Installation, serial: &[u8]) -> ResponseData {
    let certificate = Certificate::from_der(responder(installation)).unwrap();
    let key = certificate.tbs_certificate().subject_public_key_info();
    let now = der::now();
    ResponseData {
        responder: sha1(key.subject_public_key.raw_bytes()).to_vec(),
        produced_at: now,
        cert_id: CertId {
            issuer: issuer(&installation.ca.to_der().unwrap(), CertIdHash::Sha1),
            serial: serial[2..].to_vec(),
        },
        status: Status::Good,
        this_update: now,
        next_update: now + der::DAY,
    }
}

async fn sign(hsm: &CaKeys, data: &[u8]) -> Result<Vec<u8>, OperationError> {
    hsm.sign_ocsp("r1", Priority::Background, data).await
}

/// Has a certificate signed; its serial number.
async fn issue(installation: &Installation, hsm: &CaKeys) -> Vec<u8> {
    let tbs = installation.tbs();
    hsm.sign_certificate("r1", &tbs.der()).await.unwrap();
    tbs.serial
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
        let key = X509::from_der(responder(&installation)).unwrap();
        let key = key.public_key().unwrap();
        let serial = issue(&installation, &hsm).await;
        let good = data(&installation, &serial);
        let mut by_sha256 = good.clone();
        let ca = installation.ca.to_der().unwrap();
        by_sha256.cert_id.issuer = issuer(&ca, CertIdHash::Sha256);
        for data in [good, by_sha256] {
            let data = data.to_der().unwrap();
            for priority in [Priority::Normal, Priority::Background] {
                let signature = hsm.sign_ocsp("r1", priority, &data).await.unwrap();
                let mut verifier = Verifier::new(MessageDigest::sha256(), &key).unwrap();
                assert!(verifier.verify_oneshot(&signature, &data).unwrap());
            }
        }
        hsm.counted(KeyRole::OcspSign, 4).await;
        hsm.shutdown().await;
    }
}

#[tokio::test]
async fn the_key_signs_nothing_but_one_status_of_this_ca() {
    let installation = installation().await;
    let hsm = installation.start().await;
    let serial = issue(&installation, &hsm).await;
    let good = data(&installation, &serial);
    let with = |change: &dyn Fn(&mut ResponseData)| {
        let mut data = good.clone();
        change(&mut data);
        data.to_der().unwrap()
    };
    let trailing = [good.to_der().unwrap().as_slice(), &[0]].concat();
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        (
            "another responder",
            with(&|data| data.responder = vec![0; 20]),
            "responderID",
        ),
        (
            "another CA",
            with(&|data| {
                data.cert_id.issuer = issuer(responder(&installation), CertIdHash::Sha1);
            }),
            "certID",
        ),
        (
            "one of tomorrow",
            with(&|data| {
                data.this_update = data.this_update + der::DAY;
                data.produced_at = data.this_update;
                data.next_update = data.this_update + der::DAY;
            }),
            "from the service's clock",
        ),
        (
            "one for a year",
            with(&|data| data.next_update = data.this_update + der::DAY * 365),
            "nextUpdate",
        ),
        ("trailing octets", trailing, "DER"),
        ("a certificate", installation.tbs().der(), "DER"),
        ("a digest", vec![0x5a; 32], "DER"),
        ("nothing", vec![], "DER"),
    ];
    for (what, octets, reason) in cases {
        let error = sign(&hsm, &octets).await.unwrap_err();
        assert!(error.to_string().contains(reason), "{what}: {error}");
        assert!(error.is_permanent(), "{what}");
    }
    sign(&hsm, &good.to_der().unwrap()).await.unwrap();
    hsm.counted(KeyRole::OcspSign, 1).await;
    hsm.shutdown().await;
}

#[tokio::test]
async fn a_status_is_what_the_journal_and_the_last_crl_say() {
    let installation = installation().await;
    let hsm = installation.start().await;
    let good = issue(&installation, &hsm).await;
    let revoked = issue(&installation, &hsm).await;
    let held = issue(&installation, &hsm).await;
    let mut tbs = installation.tbs();
    tbs.not_before = der::time(der::now() - Duration::from_secs(1_800));
    tbs.not_after = der::time(der::now() - Duration::from_secs(60));
    hsm.sign_certificate("r1", &tbs.der()).await.unwrap();
    let expired = tbs.serial;
    let mut list = installation.list(1);
    let at = list.this_update;
    list.entries = vec![(revoked.clone(), at, 1), (held.clone(), at, HOLD)];
    hsm.sign_crl("r1", &list.der()).await.unwrap();

    let of = |serial: &[u8], status| {
        let mut data = data(&installation, serial);
        data.status = status;
        data.to_der().unwrap()
    };
    let as_revoked = |at, reason| Status::Revoked {
        at,
        reason: Some(reason),
    };
    let ceremony = installation.keys[1].certificate.as_ref().unwrap();
    let ceremony = X509::from_der(ceremony).unwrap();
    let ceremony = ceremony.serial_number().to_bn().unwrap().to_vec();
    let ceremony = der::tlv(2, &ceremony);
    let accepted = [
        of(&good, Status::Good),
        of(&ceremony, Status::Good),
        of(&revoked, as_revoked(at, CrlReason::KeyCompromise)),
        of(&held, as_revoked(at, CrlReason::CertificateHold)),
    ];
    let earlier = at - der::DAY;
    let unknown = der::serial();
    // Nothing lists them, and nothing did.
    let ahead = [
        (
            of(&good, as_revoked(at, CrlReason::KeyCompromise)),
            "does not list it",
        ),
        (
            of(&ceremony, as_revoked(at, CrlReason::KeyCompromise)),
            "does not list it",
        ),
        (
            of(&held, as_revoked(at, CrlReason::KeyCompromise)),
            "on hold",
        ),
        (of(&held, Status::Good), "on hold"),
    ];
    let refused = [
        (of(&unknown, Status::Good), "never issued"),
        (
            of(&unknown, as_revoked(at, CrlReason::KeyCompromise)),
            "never issued",
        ),
        (of(&expired, Status::Good), "expired"),
        (of(&revoked, Status::Good), "it is revoked"),
        (
            of(&revoked, as_revoked(at, CrlReason::Superseded)),
            "another reason or date",
        ),
        (
            of(&revoked, as_revoked(earlier, CrlReason::KeyCompromise)),
            "another reason or date",
        ),
    ];
    for _ in 0..2 {
        for (data, reason) in &refused {
            let error = sign(&hsm, data).await.unwrap_err();
            assert!(error.to_string().contains(reason), "{reason}: {error}");
            assert!(error.is_permanent(), "{error}");
        }
        for (data, reason) in &ahead {
            let error = sign(&hsm, data).await.unwrap_err();
            let is_not_now = matches!(error, OperationError::NotNow { .. });
            assert!(is_not_now && error.to_string().contains(reason), "{error}");
        }
        for data in &accepted {
            sign(&hsm, data).await.unwrap();
        }
        hsm.counted(KeyRole::OcspSign, accepted.len() as u64).await;
        // The journal says the same after a restart.
        hsm.kill().await;
    }
    hsm.shutdown().await;
}

#[tokio::test]
async fn a_certificate_that_is_no_delegation_starts_no_service() {
    let [usage, purpose, no_check] = <[der::Extension; 3]>::try_from(delegation()).ok().unwrap();
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
async fn without_the_key_there_is_no_responder() {
    let with = installation().await;
    let mut config = with.config();
    config.keys.pop();
    let hsm = config.start().await;
    assert_eq!(hsm.ocsp_signature_algorithm(), None);
    let serial = issue(&with, &hsm).await;
    let refused = sign(&hsm, &data(&with, &serial).to_der().unwrap()).await;
    let refused = refused.unwrap_err();
    assert!(refused.to_string().contains("ocsp-sign"), "{refused}");
    hsm.shutdown().await;
}

#[tokio::test]
async fn what_a_device_waits_for_does_not_queue_behind_responses() {
    const RESPONSES: usize = 60;
    let installation = Installation::with_responder(KeyAlgorithm::Rsa(2048), &delegation()).await;
    let hsm = installation.start().await;
    let serial = issue(&installation, &hsm).await;
    let octets = Arc::new(data(&installation, &serial).to_der().unwrap());
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
        reply::send(&hsm).await.unwrap();
        let before = signed.load(Ordering::Relaxed);
        assert!(before < RESPONSES / 2, "{before} responses went first");
        tasks.join_all().await;
        assert_eq!(signed.load(Ordering::Relaxed), RESPONSES);
    }
    hsm.shutdown().await;
}
