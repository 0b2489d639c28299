//! A great many mutations of each structure: every value absent, doubled, altered or encoded in another way, and random ones.

use std::time::{Duration, Instant};

use assay_hsm::wire::{self, Answer, Operation, Outcome, Request};
use assay_hsm::{Digest, RaKeys};
use assay_ocsp::Status;
use assay_types::Hash;
use openssl::sha::sha256;
use openssl::x509::X509;

use crate::attacker::{Attacker, HONEST, Raw};
use crate::mutator::{Numbers, mutants};
use crate::rollbacks::{History, SUPERSEDED};
use crate::scene::{Scene, Structure};
use crate::support::PATIENCE;
use crate::support::der::{self, BC, CN, DAY, EKU, KU, dns, extension, oid, sequence, time, tlv};
use crate::support::reply::{self, Message};
use crate::support::shape::{AIA, rdn};
use crate::tier;

const DEVICE: &str = "mutated TBSCertificate of one form";
const SERVER: &str = "mutated TBSCertificate of another form";
const LIST: &str = "mutated TBSCertList";
const STATUS: &str = "mutated ResponseData";
const ATTRIBUTES: &str = "mutated attributes of a CertRep";
const CONTENT: &str = "mutated content of a CertRep";
const NEXT_ATTRIBUTES: &str = "mutated attributes of an announcement";
const NEXT_CONTENT: &str = "mutated content of an announcement";
const CHECKPOINT: &str = "mutated request for a checkpoint";
const FRAME: &str = "mutated frame";

pub(crate) const KINDS: [&str; 10] = [
    DEVICE,
    SERVER,
    LIST,
    STATUS,
    ATTRIBUTES,
    CONTENT,
    NEXT_ATTRIBUTES,
    NEXT_CONTENT,
    CHECKPOINT,
    FRAME,
];

/// How far the numbers of CRLs rise at most with one mutant: with a mutant that is signed, and two honest lists after it.
const RISE: usize = 1_002;

fn size() -> usize {
    tier::size("mutations of a structure")
}

pub(crate) async fn attack(attacker: &mut Attacker, history: &mut History) {
    certificates(attacker, history).await;
    lists(attacker, history).await;
    statuses(attacker, history).await;
    replies(attacker, history).await;
    announcements(attacker, history).await;
    checkpoints(attacker, history).await;
    frames(attacker, history);
}

/// Values of attacks, to be put in place of others or beside them.
fn foreign(scene: &Scene, history: &History) -> Vec<Vec<u8>> {
    let key = |certificate: &[u8]| {
        let certificate = X509::from_der(certificate).unwrap();
        certificate
            .public_key()
            .unwrap()
            .public_key_to_der()
            .unwrap()
    };
    let entry = |serial: &[u8], reason: u8| {
        let reason = extension("2.5.29.21", false, vec![10, 1, reason]).der();
        sequence(&[serial, &time(der::now()), &sequence(&[&reason])])
    };
    vec![
        extension(BC, true, b"\x30\x03\x01\x01\xff".to_vec()).der(),
        extension(BC, true, b"\x30\x06\x01\x01\xff\x02\x01\x00".to_vec()).der(),
        der::key_usage(0x06, 1).der(),
        der::key_usage(0x80, 7).der(),
        der::key_usage(0x88, 3).der(),
        der::ocsp_signing().der(),
        der::no_check().der(),
        extension(EKU, false, sequence(&[&oid("2.5.29.37.0")])).der(),
        extension(EKU, false, sequence(&[&oid("1.3.6.1.5.5.7.3.1")])).der(),
        extension("2.16.840.1.113730.1.1", false, vec![3, 2, 2, 4]).der(),
        extension("1.3.6.1.5.5.7.1.14", true, sequence(&[])).der(),
        extension("2.5.29.27", true, vec![2, 1, 1]).der(),
        extension("2.5.29.28", true, sequence(&[&[0x84, 1, 0xff]])).der(),
        extension("2.5.29.29", true, sequence(&[&tlv(0xa4, &scene.ca_name())])).der(),
        extension("2.5.29.20", false, vec![2, 2, 0x7f, 0xff]).der(),
        extension("2.5.29.21", false, vec![10, 1, 8]).der(),
        extension(KU, true, vec![3, 2, 0, 0xff]).der(),
        extension(AIA, false, sequence(&[])).der(),
        oid("1.3.6.1.5.5.7.3.1"),
        oid("1.3.6.1.5.5.7.3.9"),
        oid("2.5.29.37.0"),
        scene.ca_name(),
        der::name("TEST  ca"),
        der::name("Next CA"),
        tlv(0x30, &rdn(CN, 0x1e, b"\0T\0e\0s\0t\0 \0C\0A")),
        key(&scene.ca),
        key(&scene.ra_sign),
        time(der::now() + DAY * 36_500),
        tlv(0x18, b"99991231235959Z"),
        tlv(0x17, b"700101000000Z"),
        tlv(2, &[1]),
        history.revoked.clone(),
        vec![1, 1, 0xff],
        vec![1, 1, 0],
        vec![5, 0],
        vec![10, 1, 8],
        vec![0x80, 0],
        dns("www.example.net"),
        dns("www.example.com"),
        tlv(0xa4, &scene.ca_name()),
        sequence(&[]),
        entry(&history.revoked, 8),
        entry(&der::serial(), 6),
        entry(&der::serial(), 8),
    ]
}

/// Puts `to` in place of `from` where it still is.
fn replace(der: &mut [u8], from: &[u8], to: &[u8]) {
    assert_eq!(from.len(), to.len());
    let at = der.windows(from.len()).position(|window| window == from);
    if let Some(at) = at {
        der[at..at + to.len()].copy_from_slice(to);
    }
}

/// Each mutant with a serial number and a name of its own, so that none is refused for those of another.
async fn certificates(attacker: &mut Attacker, history: &History) {
    let scene = attacker.scene.clone();
    let foreign = foreign(&scene, history);
    for (kind, base) in [(DEVICE, scene.device()), (SERVER, scene.server())] {
        let (serial, name) = (&base.serial, hex::encode(&base.serial[2..]));
        for mut mutant in mutants(&base.der(), &foreign, size()) {
            let own = der::serial();
            replace(&mut mutant, serial, &own);
            replace(
                &mut mutant,
                name.as_bytes(),
                hex::encode(&own[2..]).as_bytes(),
            );
            attacker.certificate(kind, &mutant).await;
        }
    }
}

/// Each mutant with the next number and the present time, so that none is refused for another that was signed.
async fn lists(attacker: &mut Attacker, history: &mut History) {
    let scene = attacker.scene.clone();
    let foreign = foreign(&scene, history);
    history.reason = SUPERSEDED;
    // To the numbers of one more byte, with steps as large as they may be.
    let first = if size() * RISE < 0x7f_0000 {
        0x8000
    } else {
        0x80_0000
    };
    while history.number < first {
        history.number += 1_000;
        assert!(attacker.crl(HONEST, &history.list(&scene).der()).await);
    }
    history.number += 1;
    let base = history.list(&scene);
    let mutants = mutants(&base.der(), &foreign, size());
    let last = history.number + (mutants.len() * RISE) as u64;
    assert_eq!(
        integer(last).len(),
        integer(base.number).len(),
        "numbers run out"
    );
    for mut mutant in mutants {
        replace(&mut mutant, &integer(base.number), &integer(history.number));
        let now = history.list(&scene).this_update;
        replace(&mut mutant, &time(base.this_update), &time(now));
        if !attacker.crl(LIST, &mutant).await {
            continue;
        }
        // The honest list continues from there, with the number that the mutant may have raised: at once, or where the mutant was
        // later, a moment later.
        let patience = Instant::now() + PATIENCE;
        history.number = number_of(&mutant, integer(base.number).len()) + 1;
        while !attacker.crl(LIST, &history.list(&scene).der()).await {
            assert!(
                Instant::now() < patience,
                "a mutant ended the CRLs: {}",
                hex::encode(&mutant)
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        history.number += 1;
    }
    history.number -= 1;
}

/// A CRL number as INTEGER.
fn integer(number: u64) -> Vec<u8> {
    let bytes = [&[0][..], &number.to_be_bytes()].concat();
    let is_needed = |pair: &[u8]| pair[0] != 0 || pair[1] > 0x7f;
    let from = bytes.windows(2).position(is_needed);
    tlv(2, &bytes[from.unwrap_or(bytes.len() - 1)..])
}

/// The cRLNumber of a list that was signed, an INTEGER of this length.
fn number_of(list: &[u8], length: usize) -> u64 {
    let before = [
        &oid("2.5.29.20")[..],
        &[4, length as u8, 2, length as u8 - 2],
    ]
    .concat();
    let mut windows = list.windows(before.len() + length - 2);
    let found = windows.find(|window| window.starts_with(&before)).unwrap();
    let number = &found[before.len()..];
    number
        .iter()
        .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

async fn statuses(attacker: &mut Attacker, history: &History) {
    let scene = attacker.scene.clone();
    let foreign = foreign(&scene, history);
    let good = history.status(&scene, &attacker.loot.in_force[0].clone(), Status::Good);
    for base in [good, history.revoked_status(&scene)] {
        for mutant in mutants(&base.to_der().unwrap(), &foreign, size() / 2) {
            attacker.status(STATUS, &mutant).await;
        }
    }
    // Each byte that the serial number of a certificate in force can become.
    let revoked = history
        .status(&scene, &history.revoked, Status::Good)
        .to_der()
        .unwrap();
    for mutant in mutants(&revoked, &foreign, size() / 4) {
        attacker.status(STATUS, &mutant).await;
    }
}

async fn replies(attacker: &mut Attacker, history: &History) {
    let scene = attacker.scene.clone();
    let base = reply::success(Digest::Sha256).await;
    let mut foreign = foreign(&scene, history);
    foreign.extend([
        oid("2.16.840.1.113733.1.9.3"),
        oid("2.16.840.1.113733.1.9.2"),
        tlv(0x13, b"2"),
        tlv(0x13, b"19"),
        oid("1.2.840.113549.1.7.1"),
        oid("1.2.840.113549.1.7.2"),
        scene.ca.clone(),
    ]);
    for attributes in mutants(&base.attributes, &foreign, size()) {
        let content = base.content.clone();
        attacker
            .cert_rep(
                ATTRIBUTES,
                &Message {
                    content,
                    attributes,
                },
            )
            .await;
    }
    for content in mutants(&base.content, &foreign, size()) {
        let message = reply::by_hand(b"0", &content, Digest::Sha256);
        attacker.cert_rep(CONTENT, &message).await;
    }
}

async fn announcements(attacker: &mut Attacker, history: &History) {
    let scene = attacker.scene.clone();
    let base = reply::next_ca(&scene.next).await;
    let mut foreign = foreign(&scene, history);
    foreign.push(scene.ca.clone());
    for attributes in mutants(&base.attributes, &foreign, size()) {
        let content = base.content.clone();
        attacker
            .next_ca(
                NEXT_ATTRIBUTES,
                &Message {
                    content,
                    attributes,
                },
            )
            .await;
    }
    let digest = sha256(&base.content);
    for content in mutants(&base.content, &foreign, size()) {
        let mut attributes = base.attributes.clone();
        replace(&mut attributes, &digest, &sha256(&content));
        attacker
            .next_ca(
                NEXT_CONTENT,
                &Message {
                    content,
                    attributes,
                },
            )
            .await;
    }
}

/// Size, root and leaf hashes with bits flipped, hashes dropped, doubled, swapped or of another tree.
async fn checkpoints(attacker: &mut Attacker, history: &History) {
    let leaves: Vec<Hash> = ["d", "e", "f", "g"]
        .map(|record| Hash::of(record.as_bytes()))
        .to_vec();
    let mut tree = history.log.clone();
    for leaf in &leaves {
        tree.push(*leaf);
    }
    let mut numbers = Numbers::new(leaves.len() as u64);
    let flip = |hash: Hash, numbers: &mut Numbers| {
        let mut bytes = *hash.as_bytes();
        bytes[numbers.below(32)] ^= 1 << numbers.below(8);
        Hash::from(bytes)
    };
    for _ in 0..size() {
        let (mut size, mut root, mut leaves) = (tree.size(), tree.root(), leaves.clone());
        for _ in 0..=numbers.below(2) {
            let place = numbers.below(leaves.len().max(1));
            match numbers.below(8) {
                0 => size ^= 1 << numbers.below(64),
                1 => root = flip(root, &mut numbers),
                2 if !leaves.is_empty() => leaves[place] = flip(leaves[place], &mut numbers),
                3 if !leaves.is_empty() => drop(leaves.remove(place)),
                4 if !leaves.is_empty() => leaves.insert(place, leaves[place]),
                5 if !leaves.is_empty() => leaves.swap(0, place),
                6 => root = history.log.root(),
                _ => leaves.insert(place, flip(root, &mut numbers)),
            }
        }
        let is_as_it_was = (size, root) == (tree.size(), tree.root());
        let is_honest =
            is_as_it_was && leaves == ["d", "e", "f", "g"].map(|r| Hash::of(r.as_bytes()));
        if !is_honest {
            attacker.checkpoint(CHECKPOINT, size, root, &leaves).await;
        }
    }
}

/// Whole requests, each byte of which is another one in turn, on connections that the service may end.
fn frames(attacker: &mut Attacker, history: &History) {
    let scene = attacker.scene.clone();
    let ca = sha256(&scene.ca);
    let tbs = scene.device().der();
    let status = history
        .status(&scene, &history.revoked, Status::Good)
        .to_der()
        .unwrap();
    let operations = [
        Operation::SignCertificate {
            ca,
            tbs: wire::Octets(&tbs),
        },
        Operation::SignOcsp {
            ca,
            response_data: wire::Octets(&status),
        },
        Operation::SignCheckpoint {
            size: history.log.size(),
            root: *history.log.root().as_bytes(),
            leaves: wire::Octets(&[]),
        },
        Operation::SignNextCa {
            ca,
            ra: RaKeys::Pair,
            content: wire::Octets(&scene.ca),
            signed_attributes: wire::Octets(&tbs),
        },
    ];
    let mut raw = Raw::connect(&scene);
    let mut numbers = Numbers::new(1);
    for operation in operations {
        let request = Request {
            request_id: "hostile",
            operation,
        };
        let request = request.encode().unwrap().concat();
        for id in 0..size() / 4 {
            let mut frame = request.clone();
            // Names, discriminants and lengths are in front.
            let at = match numbers.below(2) {
                0 => numbers.below(frame.len().min(64)),
                _ => numbers.below(frame.len()),
            };
            match numbers.below(4) {
                0 => frame.truncate(at),
                1 => frame.insert(at, numbers.below(256) as u8),
                _ => frame[at] ^= 1 << numbers.below(8),
            }
            let Some(answer) = raw.ask(id as u64, &frame) else {
                raw = Raw::connect(&scene);
                attacker.refused(FRAME);
                continue;
            };
            let framed = [&[0; 8][..], &frame].concat();
            let asked = match wire::read_message(&framed) {
                Ok((_, wire::Message::Request(asked))) => Ok(asked.operation),
                other => Err(other),
            };
            match (wire::decode::<Answer<'_>>(&answer).unwrap().outcome, asked) {
                (Outcome::Signature(signature), Ok(Operation::SignCertificate { tbs, .. })) => {
                    let signature = Ok(signature.0.to_vec());
                    attacker.keep(FRAME, Structure::Certificate, tbs.0, &[], signature);
                }
                // The last checkpoint once more.
                (Outcome::Checkpoint { .. }, Ok(Operation::SignCheckpoint { size, root, .. }))
                    if (size, root) == (history.log.size(), *history.log.root().as_bytes()) =>
                {
                    attacker.refused(FRAME);
                }
                // The first bytes can name another operation; the probe answers with counts, a decryption with a content key.
                (Outcome::Refused(_) | Outcome::Probed(_) | Outcome::Key(_), _) => {
                    attacker.refused(FRAME);
                }
                (outcome, asked) => panic!("{outcome:?} for {asked:?}"),
            }
        }
    }
}
