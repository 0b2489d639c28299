//! A history that was written anew, with records, tree and numbers that fit each other, is not signed any more once the service
//! has signed the one before: not at its size, nor at a smaller or a larger one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests may panic as tests may"
)]

mod support;

use std::time::Duration;

use assay_audit::{Context, Draft, Event, Issuance, Moment, Request, Text};
use assay_hsm::{CaKeys, KeyAlgorithm, KeyRole, OperationError, SignedCheckpoint, Token};
use assay_journal::Frontier;
use assay_types::{Hash, RevokedCertificates, Serial, Timestamp, TimestampMillis};
use support::{Config, Installation, Service, der};

const ORIGIN: &str = "log.example.org/assay/test";
const DAY: Duration = Duration::from_secs(86_400);
const OPERATOR: &str = "assay://operator/olga";
const KEY_COMPROMISE: u8 = 1;
const HOLD: u8 = 6;

fn config(installation: &Installation) -> Config {
    Config {
        log_origin: Some(ORIGIN.to_owned()),
        ..installation.config()
    }
}

/// The events of a log, of which the numbers and times follow.
type History = Vec<Event>;

/// The leaf hashes of the records.
fn leaves(history: &[Event]) -> Vec<Hash> {
    let records = (1..).zip(history).map(|(sequence, event)| {
        let draft = Draft {
            context: Context {
                boot_id: "00000001".into(),
                binary: "0.1.0".into(),
                config_hash: Hash::of(b"signer.toml"),
                policy_hash: None,
            },
            moment: Moment {
                wall_ms: TimestampMillis::from_millis(1_795_305_600_123),
                monotonic_ms: sequence,
            },
            event: event.clone(),
            attachment: None,
        };
        draft.at(sequence).to_canonical().unwrap()
    });
    records.map(|record| Hash::of_leaf(&record)).collect()
}

fn tree(leaves: &[Hash]) -> Frontier {
    let mut tree = Frontier::default();
    leaves.iter().for_each(|leaf| tree.push(*leaf));
    tree
}

async fn sign(
    hsm: &CaKeys,
    all: &[Hash],
    sent: &[Hash],
) -> Result<SignedCheckpoint, OperationError> {
    let tree = tree(all);
    hsm.sign_checkpoint(tree.size(), tree.root(), sent).await
}

fn request(name: &str) -> Request {
    Request {
        peer: "assay://frontend/dmz1".into(),
        peer_certificate_sha256: None,
        request_id: Some(name.into()),
        request_digest: Hash::of(name.as_bytes()),
        transaction_id: Some(name.into()),
        message_type: Some("19".into()),
        profile: Some("devices".into()),
        challenge_id: None,
        reply_envelope: None,
        quirks: vec![],
    }
}

fn challenge(id: &str) -> Event {
    Event::ChallengeIssued {
        actor: OPERATOR.into(),
        challenge_id: id.into(),
        challenge_kind: "one-time".into(),
        profile: "devices".into(),
        subject: Some("CN=device-1".into()),
        expires_at: Some(Timestamp::from_seconds(1_795_309_200)),
        claims_sha256: Some(Hash::of(id.as_bytes())),
    }
}

/// Another record, after all.
fn further(number: u64) -> Event {
    Event::RequestDeferred {
        request: request(&format!("further-{number}")),
        detail: "the token has no room".into(),
    }
}

fn version(number: u64) -> Event {
    Event::PolicyActivated {
        actor: "assay://approver/ada".into(),
        number,
        file_hash: Hash::of(&number.to_be_bytes()),
        model_hash: Hash::of(&number.to_le_bytes()),
        profiles: 1,
        proposal_sha256: None,
        author: Some("ada".into()),
        approvers: vec!["ben".into(), "cyd".into()],
        resumed: vec![],
    }
}

/// Plays the signer, and has the service make its signatures.
struct Signer<'a> {
    installation: &'a Installation,
    hsm: &'a Service,
    history: History,
    entries: Vec<(Vec<u8>, Timestamp, u8)>,
    crls: u64,
}

impl Signer<'_> {
    /// A challenge, an intent and a certificate; its serial number.
    async fn issue(&mut self, name: &str) -> Vec<u8> {
        let parts = self.installation.tbs();
        let tbs = parts.der();
        self.hsm.sign_certificate(name, &tbs).await.unwrap();
        let issuance = Issuance {
            serial: hex::encode(&parts.serial[2..]).as_str().into(),
            tbs_digest: Hash::of(&tbs),
            key_id: "01".into(),
            token_serial: "7a6f".into(),
        };
        self.history.push(challenge(name));
        self.history.push(Event::IntentOpened {
            request: request(name),
            issuance: issuance.clone(),
            evidence: Some(Hash::of(name.as_bytes())),
        });
        self.history.push(Event::RequestIssued {
            request: request(name),
            issuance,
            certificate_sha256: Hash::of(&tbs),
            renewal_of: None,
            recovered: false,
        });
        parts.serial
    }

    async fn crl(&mut self) {
        self.crls += 1;
        let mut list = self.installation.list(self.crls);
        list.entries = self.entries.clone();
        let tbs = list.der();
        self.hsm.sign_crl("crl", &tbs).await.unwrap();
        let event = self.listed(&tbs, &self.entries);
        self.history.push(event);
    }

    fn listed(&self, tbs: &[u8], entries: &[(Vec<u8>, Timestamp, u8)]) -> Event {
        let mut digest = RevokedCertificates::default();
        for (serial, at, reason) in entries {
            let serial: Serial = hex::encode(&serial[2..]).parse().unwrap();
            digest.push(&serial, *at, *reason);
        }
        Event::CrlIssued {
            number: self.crls,
            crl_sha256: Hash::of(tbs),
            tbs_digest: Hash::of(tbs),
            this_update: der::now(),
            next_update: der::now() + DAY,
            entries: entries.len() as u64,
            entries_sha256: digest.digest(),
            covers: self.history.len() as u64,
            key_id: "01".into(),
            token_serial: "7a6f".into(),
        }
    }

    fn revoke(&mut self, serial: &[u8], reason: u8) {
        let text: Text = hex::encode(&serial[2..]).as_str().into();
        self.entries.push((serial.to_vec(), der::now(), reason));
        self.entries.sort();
        let actor = OPERATOR.into();
        self.history.push(match reason {
            HOLD => Event::CertificateHeld {
                actor,
                serial: text,
                successor_of: None,
            },
            _ => Event::CertificateRevoked {
                actor,
                serial: text,
                reason: "key-compromise".into(),
                successor_of: None,
            },
        });
    }

    /// The service signs what was recorded since the checkpoint of `before` records.
    async fn checkpoint(&self, before: usize) -> usize {
        let all = leaves(&self.history);
        sign(self.hsm, &all, &all[before..]).await.unwrap();
        all.len()
    }
}

fn place(history: &[Event], kind: &str) -> usize {
    // The last of its kind: the newest version, the challenge that was not used.
    history.iter().rposition(|it| it.kind() == kind).unwrap()
}

fn without(history: &History, kind: &str) -> History {
    let mut rest = history.clone();
    rest.remove(place(history, kind));
    rest
}

/// The CRL says that it has one entry less.
fn with_fewer_entries(mut history: History) -> History {
    let at = place(&history, "crl.issued");
    if let Event::CrlIssued {
        entries,
        entries_sha256,
        ..
    } = &mut history[at]
    {
        *entries -= 1;
        *entries_sha256 = Hash::of(b"fewer");
    }
    history
}

/// The record has another actor, or another number where it has none.
fn altered(mut history: History, kind: &str) -> History {
    let at = place(&history, kind);
    let other: Text = "assay://operator/otto".into();
    if let Event::CertificateRevoked { actor, .. }
    | Event::CertificateHeld { actor, .. }
    | Event::ProfileStopped { actor, .. }
    | Event::ChallengeIssued { actor, .. }
    | Event::PolicyActivated { actor, .. } = &mut history[at]
    {
        *actor = other;
    } else if let Event::RequestIssued { recovered, .. } = &mut history[at] {
        *recovered = true;
    } else if let Event::HsmCounted { ca_signatures, .. } = &mut history[at] {
        *ca_signatures -= 1;
    } else {
        panic!("{kind}")
    }
    history
}

/// Nothing is left of the second certificate, and the count of the signatures is that of the rest.
fn without_an_issuance(history: &History) -> History {
    let mut rest = with_fewer_entries(history.clone());
    let issued = place(&rest, "request.issued");
    assert_eq!(rest[issued - 2].kind(), "challenge.issued");
    rest.drain(issued - 2..=issued);
    let rest = without(&rest, "certificate.held");
    altered(rest, "hsm.counted")
}

fn rewritten(history: &History) -> Vec<(String, History)> {
    let kinds = [
        "certificate.revoked",
        "certificate.held",
        "profile.stopped",
        "challenge.issued",
        "policy.activated",
        "request.issued",
    ];
    let mut all = Vec::new();
    for kind in kinds {
        all.push((format!("without {kind}"), without(history, kind)));
        all.push((format!("another {kind}"), altered(history.clone(), kind)));
    }
    for kind in ["certificate.revoked", "certificate.held"] {
        let rest = with_fewer_entries(without(history, kind));
        all.push((format!("without {kind}, nor its entry"), rest));
    }
    let fewer = with_fewer_entries(history.clone());
    all.push(("fewer entries in crl.issued".to_owned(), fewer));
    let counted = altered(history.clone(), "hsm.counted");
    all.push(("fewer ca_signatures".to_owned(), counted));
    let without_it = without_an_issuance(history);
    all.push((
        "without an issuance, with fewer ca_signatures".to_owned(),
        without_it,
    ));
    all
}

/// The same history with as many records.
fn of_size(history: &History, size: usize) -> History {
    let mut history = history.clone();
    history.truncate(size);
    let missing = (history.len()..size).map(|number| further(number as u64));
    history.extend(missing);
    history
}

#[tokio::test]
async fn no_history_that_was_written_anew_is_signed() {
    let installation = Installation::with_log(KeyAlgorithm::Ed25519).await;
    let config = config(&installation);
    let hsm = config.start().await;
    let mut signer = Signer {
        installation: &installation,
        hsm: &hsm,
        history: vec![
            Event::ServiceStarted {
                schema: 3,
                kernel_boot: None,
                booted_ms: None,
            },
            version(1),
        ],
        entries: Vec::new(),
        crls: 0,
    };
    let revoked = signer.issue("r1").await;
    let signed = signer.checkpoint(0).await;
    let held = signer.issue("r2").await;
    signer.crl().await;
    signer.revoke(&revoked, KEY_COMPROMISE);
    signer.revoke(&held, HOLD);
    signer.crl().await;
    let signed = signer.checkpoint(signed).await;
    signer.history.extend([
        Event::ProfileStopped {
            actor: OPERATOR.into(),
            profile: "devices".into(),
            reason: "a key was found".into(),
        },
        challenge("unused"),
        Event::HsmCounted {
            run: 0,
            pid: 4_711,
            ca_signatures: 4,
            last: false,
        },
        version(2),
    ]);
    let size = signer.checkpoint(signed).await;
    let history = signer.history;
    let mut asked = 3;
    hsm.counted(KeyRole::LogSign, asked).await;

    let all = rewritten(&history);
    let mut refused = 0;
    for is_restarted in [false, true] {
        for (what, other) in &all {
            for (how, other) in [
                ("as it is", other.clone()),
                ("smaller", of_size(other, other.len() - 1)),
                ("as large", of_size(other, size)),
                ("larger", of_size(other, size + 3)),
            ] {
                let leaves = leaves(&other);
                let own = self::leaves(&history);
                let common = leaves.iter().zip(&own).take_while(|(a, b)| a == b).count();
                let after = leaves.get(size..).unwrap_or_default();
                // Everything, what differs, what is beyond the last checkpoint, and nothing.
                for sent in [&leaves[..], &leaves[common..], after, &[]] {
                    let error = sign(&hsm, &leaves, sent).await.err();
                    let error = error.unwrap_or_else(|| panic!("{what}, {how}: signed"));
                    assert!(error.is_permanent(), "{what}, {how}: {error}");
                    refused += 1;
                }
            }
        }
        hsm.counted(KeyRole::LogSign, asked).await;
        // The one that was signed is signed again, and continues below.
        let own = leaves(&of_size(&history, size));
        sign(&hsm, &own, &[]).await.unwrap();
        asked += 1;
        if !is_restarted {
            hsm.kill().await;
            asked = 0;
        }
    }
    let own = leaves(&of_size(&history, size + 3));
    sign(&hsm, &own, &own[size..]).await.unwrap();
    println!("{} histories, {refused} requests refused", all.len());
    hsm.shutdown().await;
}

/// The requests of the test above are refused for the history before and for nothing else: a service that has signed none signs
/// such histories.
#[tokio::test]
async fn a_service_without_a_history_signs_any() {
    let installation = Installation::with_log(KeyAlgorithm::Ed25519).await;
    let history = vec![
        version(1),
        challenge("r1"),
        Event::CertificateRevoked {
            actor: OPERATOR.into(),
            serial: "4a01".into(),
            reason: "key-compromise".into(),
            successor_of: None,
        },
        further(1),
    ];
    for rest in [
        history.clone(),
        without(&history, "certificate.revoked"),
        altered(history.clone(), "certificate.revoked"),
        without(&history, "challenge.issued"),
    ] {
        let config = config(&installation);
        let hsm = config.start().await;
        let all = leaves(&rest);
        sign(&hsm, &all, &all).await.unwrap();
        hsm.shutdown().await;
        std::fs::remove_dir_all(config.directory.join("state/journal")).unwrap();
    }
}
