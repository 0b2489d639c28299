//! The log key signs checkpoints of its one log, and each connection accounts for the CA key.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests may panic as tests may"
)]

mod support;

use assay_hsm::{KeyAlgorithm, KeyRole, OperationError, Run, Token};
use assay_pkcs11::KeyUri;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::Verifier;
use rustix::process::{Pid, Signal, kill_process};
use support::{Config, Installation, der, key, until};

const ORIGIN: &str = "log.example.org/assay/test";
const CHECKPOINT: &str =
    "log.example.org/assay/test\n42\n3q2+796tvu/erb7v3q2+796tvu/erb7v3q2+796tvu8=\n";

fn config(installation: &Installation) -> Config {
    Config {
        log_origin: Some(ORIGIN.to_owned()),
        ..installation.config()
    }
}

fn with_log_key(installation: &Installation, uri: &KeyUri) -> Config {
    let mut config = config(installation);
    for key in &mut config.keys {
        if key.role == KeyRole::LogSign {
            key.uri = uri.clone();
        }
    }
    config
}

#[tokio::test]
async fn a_checkpoint_verifies_under_the_log_key_of_either_kind() {
    for algorithm in [KeyAlgorithm::Ed25519, KeyAlgorithm::P256] {
        let installation = Installation::with_log(algorithm).await;
        let hsm = config(&installation).start().await;
        let log_key = hsm.log_key().unwrap().clone();
        assert_eq!(log_key.algorithm, algorithm);
        let key = PKey::public_key_from_der(&log_key.spki_der).unwrap();
        let signature = hsm.sign_checkpoint(CHECKPOINT, &[]).await.unwrap();
        let mut verifier = if algorithm == KeyAlgorithm::Ed25519 {
            assert_eq!(signature.len(), 64);
            Verifier::new_without_digest(&key).unwrap()
        } else {
            Verifier::new(MessageDigest::sha256(), &key).unwrap()
        };
        let verified = verifier.verify_oneshot(&signature, CHECKPOINT.as_bytes());
        assert!(verified.unwrap());
        hsm.shutdown().await;
    }
}

#[tokio::test]
async fn the_log_key_signs_nothing_but_a_checkpoint_of_its_log() {
    let installation = Installation::with_log(KeyAlgorithm::Ed25519).await;
    let hsm = config(&installation).start().await;
    for (text, reason) in [
        (CHECKPOINT.replace("test", "other"), "origin"),
        (CHECKPOINT.replace("42", "042"), "size"),
        (CHECKPOINT.replace("3q2+", "3q2"), "root hash"),
        (format!("{CHECKPOINT}extension\n"), "three lines"),
        (CHECKPOINT.trim_end().to_owned(), "three lines"),
        (
            format!("cosignature/v1\ntime 1\n{CHECKPOINT}"),
            "three lines",
        ),
        ("0".repeat(32), "three lines"),
        (String::new(), "three lines"),
    ] {
        let error = hsm.sign_checkpoint(&text, &[]).await.unwrap_err();
        assert!(error.is_permanent(), "{text}");
        assert!(error.to_string().contains(reason), "{text}: {error}");
    }
    hsm.sign_checkpoint(CHECKPOINT, &[]).await.unwrap();
    let counted = until(&mut hsm.health(), |health| {
        health.operations.get("log-sign") > Some(&0)
    })
    .await;
    // The refused ones never reached the key.
    assert_eq!(counted.operations["log-sign"], 1);
    hsm.shutdown().await;
}

#[tokio::test]
async fn without_a_log_no_checkpoint_is_signed() {
    let installation = Installation::new().await;
    let hsm = installation.start().await;
    assert_eq!(hsm.log_key(), None);
    let error = hsm.sign_checkpoint(CHECKPOINT, &[]).await.unwrap_err();
    assert!(matches!(error, OperationError::Refused { .. }));
    assert!(error.to_string().contains("no log"), "{error}");
    hsm.shutdown().await;
}

#[tokio::test]
async fn an_origin_that_names_no_key_is_refused() {
    let installation = Installation::with_log(KeyAlgorithm::Ed25519).await;
    for origin in ["", "a b", "a+b", "a\nb", &"a".repeat(201)] {
        let mut config = config(&installation);
        config.log_origin = Some(origin.to_owned());
        let error = config.refusal();
        assert!(error.contains("log.origin"), "{error}");
    }
}

#[tokio::test]
async fn a_log_key_that_is_another_roles_key_is_refused() {
    let installation = Installation::with_log(KeyAlgorithm::P256).await;
    for role in [KeyRole::CaSign, KeyRole::Probe] {
        let shared = installation.keys.iter().find(|key| key.role == role);
        let text = with_log_key(&installation, &shared.unwrap().uri).refusal();
        assert!(text.contains("is the key of"), "{text}");
        assert!(text.contains("log-sign"), "{text}");
        assert!(text.contains(role.as_str()), "{text}");
    }
}

#[tokio::test]
async fn a_log_key_of_a_kind_that_no_signed_note_knows_is_refused() {
    let installation = Installation::with_log(KeyAlgorithm::Ed25519).await;
    let foreign = key(KeyRole::RootSign, 9, KeyAlgorithm::P384);
    let (uri, _) = installation.token.keys().generate(&foreign);
    let error = with_log_key(&installation, &uri).refusal();
    assert!(error.contains("Ed25519 or P-256 is needed"), "{error}");
}

#[tokio::test]
async fn each_connection_accounts_for_its_ca_signatures_until_it_is_forgotten() {
    let installation = Installation::with_log(KeyAlgorithm::Ed25519).await;
    let config = config(&installation);
    let hsm = config.start().await;
    let signature = hsm.ca_signature_algorithm().to_der();
    let list = der::tbs_cert_list(&installation.ca_name, signature);
    let certificate = installation.tbs().to_der();
    hsm.sign_certificate("r1", &certificate).await.unwrap();
    hsm.sign_crl("r2", &list).await.unwrap();
    // Neither is a signature of the CA key.
    hsm.sign_checkpoint(CHECKPOINT, &[]).await.unwrap();
    hsm.sign_certificate("r3", b"no certificate")
        .await
        .unwrap_err();
    // What another client has signed does not count here.
    let other = config.connect().await;
    let others = config.ca(&other);
    others.sign_crl("r4", &list).await.unwrap();
    let pid = hsm.health().borrow().pid.unwrap();
    let expected = Run {
        id: 0,
        pid,
        ca_signatures: 2,
        ended: false,
    };
    assert_eq!(hsm.runs(), [expected]);
    assert_eq!(others.runs()[0].ca_signatures, 1);
    other.shutdown().await;
    // A run that is on stays.
    hsm.forget_runs(&[expected.id]);
    assert_eq!(hsm.runs(), [expected]);

    let process = Pid::from_raw(pid.try_into().unwrap()).unwrap();
    kill_process(process, Signal::KILL).unwrap();
    until(&mut hsm.health(), |health| {
        health.reconnections == 1 && health.ready
    })
    .await;
    hsm.sign_crl("r5", &list).await.unwrap();
    let runs = hsm.runs();
    let ended = Run {
        ended: true,
        ..expected
    };
    assert_eq!(runs.len(), 2);
    assert_eq!(runs[0], ended);
    let second = (runs[1].id, runs[1].ca_signatures, runs[1].ended);
    assert_eq!(second, (1, 1, false));
    assert_ne!(runs[1].pid, pid);

    hsm.forget_runs(&[expected.id]);
    let keys = hsm.keys.clone();
    hsm.shutdown().await;
    let last = keys.runs();
    assert_eq!(last.len(), 1);
    assert_eq!((last[0].ca_signatures, last[0].ended), (1, true));
}
