//! The log key signs checkpoints of its one log, and each connection accounts for the CA key.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests may panic as tests may"
)]

mod support;

use assay_hsm::{CaKeys, KeyAlgorithm, KeyRole, OperationError, Run, SignedCheckpoint, Token};
use assay_journal::{Counter, Event, Frontier, Head};
use assay_pkcs11::KeyUri;
use assay_types::Hash;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::Verifier;
use support::{Config, Installation, key, reply};

const ORIGIN: &str = "log.example.org/assay/test";
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

/// The log as a signer has it.
#[derive(Clone, Default)]
struct Log(Frontier);

impl Log {
    /// The hashes of further records, which the log has from now on.
    fn append(&mut self, records: &[&str]) -> Vec<Hash> {
        let leaves: Vec<Hash> = records.iter().map(|r| Hash::of(r.as_bytes())).collect();
        for leaf in &leaves {
            self.0.push(*leaf);
        }
        leaves
    }

    async fn sign(
        &self,
        hsm: &CaKeys,
        leaves: &[Hash],
    ) -> Result<SignedCheckpoint, OperationError> {
        hsm.sign_checkpoint(self.0.size(), self.0.root(), leaves)
            .await
    }

    /// The text that the service signed.
    fn text(&self, signed: &SignedCheckpoint) -> String {
        let root = openssl::base64::encode_block(self.0.root().as_bytes());
        let mut text = format!("{ORIGIN}\n{}\n{root}\n", self.0.size());
        for line in &signed.extensions {
            text += &format!("{line}\n");
        }
        text
    }
}

#[tokio::test]
async fn a_checkpoint_verifies_under_the_log_key_of_either_kind_and_states_the_journal() {
    for algorithm in [KeyAlgorithm::Ed25519, KeyAlgorithm::P256] {
        let installation = Installation::with_log(algorithm).await;
        let config = config(&installation);
        let hsm = config.start().await;
        let log_key = hsm.log_key().unwrap().clone();
        assert_eq!(log_key.algorithm, algorithm);
        let key = PKey::public_key_from_der(&log_key.spki_der).unwrap();
        hsm.sign_certificate("r1", &installation.tbs().der())
            .await
            .unwrap();
        let mut log = Log::default();
        let leaves = log.append(&["a", "b", "c"]);
        let signed = log.sign(&hsm, &leaves).await.unwrap();
        let mut verifier = if algorithm == KeyAlgorithm::Ed25519 {
            assert_eq!(signed.signature.len(), 64);
            Verifier::new_without_digest(&key).unwrap()
        } else {
            Verifier::new(MessageDigest::sha256(), &key).unwrap()
        };
        let text = log.text(&signed);
        let verified = verifier.verify_oneshot(&signed.signature, text.as_bytes());
        assert!(verified.unwrap(), "{text}");

        // Its head covers the certificate and the checkpoint itself.
        let [line] = signed.extensions.as_slice() else {
            panic!("{:?}", signed.extensions);
        };
        let head: Head = line.parse().unwrap();
        let exported = config.export();
        let place = |is: &dyn Fn(&Event) -> bool| {
            let item = exported.iter().find(|item| is(&item.entry.event));
            item.unwrap().number
        };
        let stated = exported.iter().find(|item| item.head == head).unwrap();
        let certificate = place(&|event| matches!(event, Event::Certificate { .. }));
        let checkpoint = place(
            &|event| matches!(event, Event::Checkpoint { root, .. } if *root == log.0.root()),
        );
        assert!(certificate < checkpoint && checkpoint <= stated.number);
        hsm.shutdown().await;
    }
}

#[tokio::test]
async fn the_log_key_signs_nothing_but_what_continues_its_log() {
    let installation = Installation::with_log(KeyAlgorithm::Ed25519).await;
    let config = config(&installation);
    let hsm = config.start().await;
    let empty = Log::default();
    let mut log = empty.clone();
    let first = log.append(&["a", "b", "c"]);
    log.sign(&hsm, &first).await.unwrap();
    let before = log.clone();
    let second = log.append(&["d", "e"]);
    let (mut other, mut rewritten, mut gap) = (before.clone(), empty.clone(), before.clone());
    let others = other.append(&["d", "x"]);
    let from_scratch = rewritten.append(&["a", "x", "c", "d", "e"]);
    gap.append(&["d"]);
    let after_gap = gap.append(&["e", "f"]);
    let mut smaller = empty.clone();
    let fewer = smaller.append(&["a", "b"]);
    let of = |log: &Log| (log.0.size(), log.0.root());
    let octets = Hash::of(b"another root");
    for (what, (size, root), leaves, reason) in [
        ("another root", (5, octets), &second, "root"),
        ("the root of before", (5, before.0.root()), &second, "root"),
        ("other leaves", of(&log), &others, "root"),
        ("the leaves of another tree", of(&other), &second, "root"),
        (
            "a tree from scratch",
            of(&rewritten),
            &from_scratch,
            "continue",
        ),
        ("a rewritten record", of(&rewritten), &second, "root"),
        ("a gap", of(&gap), &after_gap, "continue"),
        ("a smaller tree", of(&smaller), &fewer, "continue"),
        (
            "a smaller tree without leaves",
            of(&smaller),
            &Vec::new(),
            "continue",
        ),
        ("no tree", of(&empty), &Vec::new(), "continue"),
        (
            "a larger tree without leaves",
            of(&log),
            &Vec::new(),
            "continue",
        ),
        (
            "the same size with another root",
            (3, octets),
            &Vec::new(),
            "root",
        ),
    ] {
        let error = hsm.sign_checkpoint(size, root, leaves).await.unwrap_err();
        assert!(error.is_permanent(), "{what}");
        assert!(error.to_string().contains(reason), "{what}: {error}");
    }
    hsm.counted(KeyRole::LogSign, 1).await;
    // The last one may be asked for again, with its leaves or without; and then the log continues, also after a crash.
    before.sign(&hsm, &first).await.unwrap();
    before.sign(&hsm, &[]).await.unwrap();
    hsm.kill().await;
    log.sign(&hsm, &second).await.unwrap();
    let behind = before.sign(&hsm, &[]).await.unwrap_err();
    assert!(behind.is_permanent(), "{behind}");
    hsm.counted(KeyRole::LogSign, 1).await;
    let welcome = config.connect().await;
    let journal = &welcome.welcome().journal;
    assert_eq!(
        (journal.log_size, journal.log_root),
        (5, *log.0.root().as_bytes())
    );
    welcome.shutdown().await;
    hsm.shutdown().await;
}

/// CertReps have no ceiling, so what is counted of them needs new leaves, which have one.
#[tokio::test]
async fn a_checkpoint_that_is_asked_for_again_adds_nothing_to_the_journal() {
    let installation = Installation::with_log(KeyAlgorithm::Ed25519).await;
    let config = config(&installation);
    let hsm = config.start().await;
    let mut log = Log::default();
    let leaves = log.append(&["a"]);
    log.sign(&hsm, &leaves).await.unwrap();
    let before = config.export().len();
    for _ in 0..3 {
        reply::send(&hsm).await.unwrap();
        log.sign(&hsm, &[]).await.unwrap();
        assert_eq!(config.export().len(), before);
    }
    let leaves = log.append(&["b"]);
    log.sign(&hsm, &leaves).await.unwrap();
    let items = config.export();
    let counted = items[before..].iter().find_map(|item| {
        if let Event::Counted { what, count } = item.entry.event {
            Some((what, count))
        } else {
            None
        }
    });
    assert_eq!(counted, Some((Counter::CertReps, 3)));
    assert_eq!(items.len(), before + 2);
    hsm.shutdown().await;
}

#[tokio::test]
async fn without_a_log_no_checkpoint_is_signed() {
    let installation = Installation::new().await;
    let hsm = installation.start().await;
    assert_eq!(hsm.log_key(), None);
    let mut log = Log::default();
    let leaves = log.append(&["a"]);
    let error = log.sign(&hsm, &leaves).await.unwrap_err();
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
    let certificate = installation.tbs().der();
    hsm.sign_certificate("r1", &certificate).await.unwrap();
    let list = installation.list(1).der();
    hsm.sign_crl("r2", &list).await.unwrap();
    // Neither is a signature of the CA key: a checkpoint, a stored signature, a refusal.
    let mut log = Log::default();
    let leaves = log.append(&["a"]);
    log.sign(&hsm, &leaves).await.unwrap();
    hsm.sign_certificate("r3", &certificate).await.unwrap();
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

    hsm.kill().await;
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
