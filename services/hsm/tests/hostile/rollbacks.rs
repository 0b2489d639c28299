//! Structures that would take back a revocation, a record of the log or an announcement, and signatures over other things.

use std::time::Duration;

use assay_hsm::wire::{self, Answer, Operation, Outcome, Request};
use assay_hsm::{Digest, KeyTransport, RaKeys, Token};
use assay_journal::Frontier;
use assay_ocsp::{CertId, CrlReason, Issuer, ResponseData, Status};
use assay_types::{CertIdHash, Hash, Timestamp};
use openssl::sha::sha1;
use openssl::x509::X509;
use x509_cert::Certificate;
use x509_cert::der::Decode;

use crate::attacker::{Attacker, HONEST, Raw};
use crate::scene::{Scene, Structure};
use crate::support::der::{self, DAY, List, extension, oid, sequence, tlv};
use crate::support::reply::{self, Message};
use crate::support::shape::{Role, identity};

const NUMBER: &str = "CRL number that does not rise, or leaps";
const DROPPED: &str = "final entry dropped";
const ALTERED: &str = "final entry altered";
const REMOVED: &str = "removeFromCRL";
const UNISSUED: &str = "entry for a serial number that was never issued";
const PARTIAL: &str = "CRL with a delta, a scope or an indirect issuer";
const CRL_TIMES: &str = "times of a CRL";
const CRL_ISSUER: &str = "CRL of another issuer";
const GOOD_REVOKED: &str = "good for a revoked certificate";
const GOOD_UNKNOWN: &str = "good for a serial number that was never issued";
const GOOD_EXPIRED: &str = "good for an expired certificate";
const STATUS: &str = "status that the CRL does not have";
const STATUS_TIMES: &str = "times of a status";
const RESPONDER: &str = "status of another responder or issuer";
const SMALLER: &str = "smaller checkpoint";
const FORKED: &str = "forked checkpoint";
const REWRITTEN: &str = "rewritten checkpoint";
const OTHER_SIZE: &str = "checkpoint of another size";
const ANNOUNCED: &str = "announcement of the next CA as a CertRep";
const FOREIGN_ROOT: &str = "announcement of a foreign root";
const NO_ENVELOPE: &str = "CertRep over something else than an envelope";
const ARBITRARY: &str = "signature over arbitrary bytes";
const DECRYPTED: &str = "signature by way of a decryption";

pub(crate) const KINDS: [&str; 23] = [
    NUMBER,
    DROPPED,
    ALTERED,
    REMOVED,
    UNISSUED,
    PARTIAL,
    CRL_TIMES,
    CRL_ISSUER,
    GOOD_REVOKED,
    GOOD_UNKNOWN,
    GOOD_EXPIRED,
    STATUS,
    STATUS_TIMES,
    RESPONDER,
    SMALLER,
    FORKED,
    REWRITTEN,
    OTHER_SIZE,
    ANNOUNCED,
    FOREIGN_ROOT,
    NO_ENVELOPE,
    ARBITRARY,
    DECRYPTED,
];

const KEY_COMPROMISE: u8 = 1;
const HOLD: u8 = 6;
const REMOVE: u8 = 8;
pub(crate) const SUPERSEDED: u8 = 4;

/// The work of an honest signer before, which must stay.
pub(crate) struct History {
    /// INTEGERs of serial numbers.
    pub(crate) revoked: Vec<u8>,
    held: Vec<u8>,
    /// Reason of the second entry: a hold, until the mutations, of which each hold that became final would end the next.
    pub(crate) reason: u8,
    in_force: Vec<Vec<u8>>,
    expired: Vec<u8>,
    expires: Timestamp,
    /// When the entries came about.
    at: Timestamp,
    /// Of the last CRL.
    pub(crate) number: u64,
    pub(crate) log: Frontier,
}

fn minute() -> Duration {
    Duration::from_secs(60)
}

impl History {
    pub(crate) async fn make(attacker: &mut Attacker) -> Self {
        let scene = attacker.scene.clone();
        let mut serials = Vec::new();
        // Over as soon as the attacks on certificates are.
        let expires = der::now() + Duration::from_secs(2);
        for number in 0..5 {
            let mut parts = match number {
                4 => scene.server(),
                _ => scene.device(),
            };
            if number == 3 {
                parts.not_before = der::time(der::now() - minute());
                parts.not_after = der::time(expires);
            }
            assert!(attacker.certificate(HONEST, &parts.der()).await);
            serials.push(parts.serial);
        }
        let mut rsa = scene.device();
        rsa.set_key(&scene.rsa_key().public_key_to_der().unwrap());
        assert!(attacker.certificate(HONEST, &rsa.der()).await);
        let mut history = Self {
            revoked: serials[0].clone(),
            held: serials[1].clone(),
            reason: HOLD,
            in_force: vec![serials[2].clone(), serials[4].clone(), rsa.serial],
            expired: serials[3].clone(),
            expires,
            at: der::now(),
            // Two bytes in each number that follows.
            number: 0xff,
            log: Frontier::default(),
        };
        attacker.loot.revoked = vec![history.revoked.clone(), history.held.clone()];
        attacker.loot.in_force.clone_from(&history.in_force);
        attacker.loot.expired.clone_from(&history.expired);
        history.honest(attacker).await;
        history
    }

    /// Everything that an honest signer asks for, once more.
    async fn honest(&mut self, attacker: &mut Attacker) {
        self.number += 1;
        let list = self.list(&attacker.scene);
        assert!(attacker.crl(HONEST, &list.der()).await);
        for serial in self.in_force.clone() {
            let good = self.status(&attacker.scene, &serial, Status::Good);
            assert!(attacker.status(HONEST, &good.to_der().unwrap()).await);
        }
        let revoked = self.revoked_status(&attacker.scene);
        assert!(attacker.status(HONEST, &revoked.to_der().unwrap()).await);
        let leaves = ["a", "b", "c"].map(|record| Hash::of(record.as_bytes()));
        for leaf in leaves {
            self.log.push(leaf);
        }
        let (size, root) = (self.log.size(), self.log.root());
        assert!(attacker.checkpoint(HONEST, size, root, &leaves).await);
        assert!(
            attacker
                .cert_rep(HONEST, &reply::success(Digest::Sha256).await)
                .await
        );
        let pending = reply::by_hand(b"3", b"", Digest::Sha256);
        assert!(attacker.cert_rep(HONEST, &pending).await);
        let next = reply::next_ca(&attacker.scene.next.clone()).await;
        assert!(attacker.next_ca(HONEST, &next).await);
    }

    /// The honest requests after all attacks.
    pub(crate) async fn stays_unchanged(mut self, attacker: &mut Attacker) {
        self.honest(attacker).await;
    }

    pub(crate) fn serials(&self) -> impl Iterator<Item = &Vec<u8>> {
        [&self.revoked, &self.held, &self.expired]
            .into_iter()
            .chain(&self.in_force)
    }

    /// The CRL of `number`. Its times are as far ahead as they may be, so that none that is altered to be later is signed, after
    /// which this one would come too late.
    pub(crate) fn list(&self, scene: &Scene) -> List {
        List {
            algorithm: Scene::algorithm().to_vec(),
            issuer: scene.ca_name(),
            issuer_key: scene.ca_key_id(),
            number: self.number,
            this_update: der::now() + Duration::from_secs(298),
            next_update: der::now() + DAY,
            entries: vec![
                (self.revoked.clone(), self.at, KEY_COMPROMISE),
                (self.held.clone(), self.at, self.reason),
            ],
            further: Vec::new(),
        }
    }

    pub(crate) fn status(&self, scene: &Scene, serial: &[u8], status: Status) -> ResponseData {
        let certificate = Certificate::from_der(&scene.responder).unwrap();
        let key = certificate.tbs_certificate().subject_public_key_info();
        let now = der::now();
        ResponseData {
            responder: sha1(key.subject_public_key.raw_bytes()).to_vec(),
            produced_at: now,
            cert_id: CertId {
                issuer: issuer(&scene.ca),
                serial: serial[2..].to_vec(),
            },
            status,
            this_update: now,
            next_update: now + DAY,
        }
    }

    pub(crate) fn revoked_status(&self, scene: &Scene) -> ResponseData {
        let status = Status::Revoked {
            at: self.at,
            reason: Some(CrlReason::KeyCompromise),
        };
        self.status(scene, &self.revoked, status)
    }
}

fn issuer(certificate: &[u8]) -> Issuer {
    let certificate = Certificate::from_der(certificate).unwrap();
    Issuer::of(&certificate, CertIdHash::Sha1, |bytes| sha1(bytes).to_vec()).unwrap()
}

pub(crate) async fn attack(attacker: &mut Attacker, history: &mut History) {
    crls(attacker, history).await;
    statuses(attacker, history).await;
    checkpoints(attacker, history).await;
    replies(attacker).await;
    arbitrary(attacker, history).await;
    decryptions(attacker).await;
}

async fn crls(attacker: &mut Attacker, history: &History) {
    let scene = attacker.scene.clone();
    let base = || {
        let mut list = history.list(&scene);
        list.number += 1;
        list
    };
    let mut attacks: Vec<(&str, List)> = Vec::new();
    let mut add = |kind, change: &dyn Fn(&mut List)| {
        let mut list = base();
        change(&mut list);
        attacks.push((kind, list));
    };
    let last = history.number;
    for number in [
        0,
        last.saturating_sub(1),
        last,
        last + 1_001,
        1 << 40,
        u64::MAX,
    ] {
        add(NUMBER, &|list| list.number = number);
    }
    add(DROPPED, &|list| list.entries.clear());
    add(DROPPED, &|list| drop(list.entries.remove(0)));
    add(DROPPED, &|list| {
        list.entries.clear();
        list.number += 999;
    });
    for reason in [0, 2, 3, 4, 5, HOLD, 9, 10] {
        add(ALTERED, &|list| list.entries[0].2 = reason);
    }
    for seconds in [1, 60, 86_400] {
        add(ALTERED, &|list| {
            list.entries[0].1 = list.entries[0].1 - Duration::from_secs(seconds);
        });
    }
    add(ALTERED, &|list| {
        list.entries[0].1 = list.entries[0].1 + Duration::from_secs(1);
    });
    add(ALTERED, &|list| list.entries.push(list.entries[0].clone()));
    add(ALTERED, &|list| {
        let mut again = list.entries[0].clone();
        again.2 = HOLD;
        list.entries.push(again);
    });
    for place in [0, 1] {
        add(REMOVED, &|list| list.entries[place].2 = REMOVE);
    }
    add(REMOVED, &|list| {
        list.entries
            .push((history.in_force[0].clone(), list.this_update, REMOVE));
    });
    for serial in [der::serial(), tlv(2, &[1]), tlv(2, &[0x41; 16])] {
        add(UNISSUED, &|list| {
            list.entries
                .push((serial.clone(), history.at, KEY_COMPROMISE));
        });
        add(UNISSUED, &|list| {
            list.entries.push((serial.clone(), history.at, HOLD));
        });
    }
    // A delta, scopes, indirect, freshestCRL, issuerAltName, expiredCertsOnCRL, and one that nobody knows.
    for (oid, value) in [
        ("2.5.29.27", vec![2, 1, 1]),
        ("2.5.29.28", sequence(&[&[0x84, 1, 0xff]])),
        ("2.5.29.28", sequence(&[&[0x81, 1, 0xff]])),
        ("2.5.29.28", sequence(&[&[0x82, 1, 0xff]])),
        ("2.5.29.28", sequence(&[&[0x83, 2, 6, 0x40]])),
        ("2.5.29.28", sequence(&[])),
        ("2.5.29.46", sequence(&[])),
        ("2.5.29.18", sequence(&[&tlv(0xa4, &scene.ca_name())])),
        ("2.5.29.60", tlv(0x18, b"20260101000000Z")),
        ("2.5.29.20", vec![2, 1, 99]),
        ("1.2.3.4", vec![5, 0]),
    ] {
        for critical in [false, true] {
            add(PARTIAL, &|list| {
                list.further.push(extension(oid, critical, value.clone()));
            });
        }
    }
    let now = der::now();
    for this_update in [
        now + minute() * 6,
        now + DAY,
        now + DAY * 3_650,
        now - minute() * 6,
        now - DAY,
        now,
    ] {
        add(CRL_TIMES, &|list| list.this_update = this_update);
    }
    for next_update in [now + DAY * 36, now + DAY * 36_500, now, now - DAY] {
        add(CRL_TIMES, &|list| list.next_update = next_update);
    }
    add(CRL_TIMES, &|list| {
        list.entries
            .push((history.in_force[0].clone(), now + DAY, HOLD));
    });
    for name in ["Next CA", "test ca", "Somebody"] {
        add(CRL_ISSUER, &|list| list.issuer = der::name(name));
    }
    add(CRL_ISSUER, &|list| list.issuer_key = vec![7; 20]);
    add(CRL_ISSUER, &|list| {
        let next = scene.next_ca();
        list.issuer = next.subject_name().to_der().unwrap();
        list.issuer_key = next.subject_key_id().unwrap().as_slice().to_vec();
    });
    for (kind, list) in attacks {
        attacker.crl(kind, &list.der()).await;
    }
}

async fn statuses(attacker: &mut Attacker, history: &History) {
    let scene = attacker.scene.clone();
    while der::now() <= history.expires {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let of = |serial: &[u8], status| history.status(&scene, serial, status);
    let mut attacks = vec![
        (GOOD_REVOKED, of(&history.revoked, Status::Good)),
        (GOOD_REVOKED, of(&history.held, Status::Good)),
        (GOOD_EXPIRED, of(&history.expired, Status::Good)),
        (GOOD_UNKNOWN, of(&der::serial(), Status::Good)),
        (GOOD_UNKNOWN, of(&tlv(2, &[1]), Status::Good)),
        (GOOD_UNKNOWN, of(&tlv(2, &[0x41; 16]), Status::Good)),
    ];
    // The same number with a zero in front, and as a negative one.
    for front in [0, 0xff] {
        let serial = tlv(2, &[&[front], &history.revoked[2..]].concat());
        attacks.push((GOOD_REVOKED, of(&serial, Status::Good)));
    }
    for (at, reason) in [
        (history.at - DAY, Some(CrlReason::KeyCompromise)),
        (
            history.at + Duration::from_secs(1),
            Some(CrlReason::KeyCompromise),
        ),
        (history.at, Some(CrlReason::CertificateHold)),
        (history.at, Some(CrlReason::Superseded)),
        (history.at, None),
        (history.at, Some(CrlReason::RemoveFromCRL)),
    ] {
        attacks.push((STATUS, of(&history.revoked, Status::Revoked { at, reason })));
    }
    for serial in &history.in_force {
        for reason in [None, Some(CrlReason::KeyCompromise)] {
            let at = der::now();
            attacks.push((STATUS, of(serial, Status::Revoked { at, reason })));
        }
    }
    let good = of(&history.in_force[0], Status::Good);
    let mut add = |kind, change: &dyn Fn(&mut ResponseData)| {
        let mut data = good.clone();
        change(&mut data);
        attacks.push((kind, data));
    };
    for time in [der::now() + minute() * 6, der::now() + DAY * 3_650] {
        add(STATUS_TIMES, &|data| {
            data.produced_at = time;
            data.this_update = time;
            data.next_update = time + DAY;
        });
        add(STATUS_TIMES, &|data| data.this_update = time);
        add(STATUS_TIMES, &|data| data.produced_at = time);
    }
    add(STATUS_TIMES, &|data| {
        data.this_update = data.this_update - DAY;
    });
    add(STATUS_TIMES, &|data| {
        data.next_update = data.next_update + DAY * 3_650;
    });
    add(STATUS_TIMES, &|data| {
        data.next_update = data.this_update - DAY;
    });
    add(RESPONDER, &|data| data.responder = vec![7; 20]);
    let key_id = |der: &[u8]| {
        let certificate = Certificate::from_der(der).unwrap();
        let key = certificate.tbs_certificate().subject_public_key_info();
        sha1(key.subject_public_key.raw_bytes()).to_vec()
    };
    for other in [&scene.ca, &scene.next[2]] {
        add(RESPONDER, &|data| data.responder = key_id(other));
    }
    add(RESPONDER, &|data| {
        data.cert_id.issuer = issuer(&scene.next[2]);
    });
    add(RESPONDER, &|data| {
        data.cert_id.issuer = issuer(&scene.ra_sign);
    });
    for (kind, data) in attacks {
        match data.to_der() {
            Ok(data) => drop(attacker.status(kind, &data).await),
            // The reason cannot be written by this builder; the mutations write it.
            Err(_) => attacker.refused(kind),
        }
    }
}

async fn checkpoints(attacker: &mut Attacker, history: &mut History) {
    let hashes = |records: &[&str]| -> Vec<Hash> {
        records
            .iter()
            .map(|record| Hash::of(record.as_bytes()))
            .collect()
    };
    let grown = |from: &Frontier, leaves: &[Hash]| {
        let mut log = from.clone();
        for leaf in leaves {
            log.push(*leaf);
        }
        log
    };
    let empty = Frontier::default();
    let (known, further) = (hashes(&["a", "b", "c"]), hashes(&["d", "e"]));
    let next = grown(&history.log, &further);
    for leaves in [&known[..0], &known[..1], &known[..2]] {
        let smaller = grown(&empty, leaves);
        attacker
            .checkpoint(SMALLER, smaller.size(), smaller.root(), leaves)
            .await;
        attacker
            .checkpoint(SMALLER, smaller.size(), smaller.root(), &[])
            .await;
    }
    let forked = grown(&empty, &hashes(&["a", "b", "x"]));
    attacker.checkpoint(FORKED, 3, forked.root(), &[]).await;
    attacker
        .checkpoint(FORKED, 3, forked.root(), &hashes(&["a", "b", "x"]))
        .await;
    let branch = grown(&forked, &further);
    attacker
        .checkpoint(FORKED, branch.size(), branch.root(), &further)
        .await;
    attacker
        .checkpoint(FORKED, 5, next.root(), &hashes(&["d", "x"]))
        .await;
    for records in [
        ["x", "b", "c", "d", "e"],
        ["a", "b", "x", "d", "e"],
        ["b", "a", "c", "d", "e"],
    ] {
        let all = hashes(&records);
        let rewritten = grown(&empty, &all);
        attacker
            .checkpoint(REWRITTEN, 5, rewritten.root(), &all)
            .await;
        attacker
            .checkpoint(REWRITTEN, 5, rewritten.root(), &all[3..])
            .await;
        attacker
            .checkpoint(REWRITTEN, 5, rewritten.root(), &[])
            .await;
    }
    for size in [0, 2, 4, 6, 8, u64::MAX] {
        attacker
            .checkpoint(OTHER_SIZE, size, next.root(), &further)
            .await;
        attacker
            .checkpoint(OTHER_SIZE, size, history.log.root(), &[])
            .await;
    }
    attacker
        .checkpoint(OTHER_SIZE, 5, next.root(), &further[..1])
        .await;
    attacker.checkpoint(OTHER_SIZE, 5, next.root(), &[]).await;
}

async fn replies(attacker: &mut Attacker) {
    let scene = attacker.scene.clone();
    let foreign = identity("Foreign CA", Role::Ca, None);
    let list = reply::next_ca(&scene.next).await;
    let root = reply::next_ca(std::slice::from_ref(&foreign.certificate)).await;
    let with_foreign = [scene.next.clone(), vec![foreign.certificate]].concat();
    let beside = reply::next_ca(&with_foreign).await;
    let envelope = reply::success(Digest::Sha256).await;
    for content in [&list.content, &root.content, &beside.content] {
        for status in [&b"0"[..], b"2", b"3"] {
            attacker
                .cert_rep(ANNOUNCED, &reply::by_hand(status, content, Digest::Sha256))
                .await;
        }
    }
    for message in [&list, &root, &beside] {
        attacker.cert_rep(ANNOUNCED, message).await;
    }
    for message in [&root, &beside] {
        attacker.next_ca(FOREIGN_ROOT, message).await;
    }
    let mixed = Message {
        content: root.content.clone(),
        attributes: list.attributes.clone(),
    };
    attacker.next_ca(FOREIGN_ROOT, &mixed).await;
    attacker.next_ca(FOREIGN_ROOT, &envelope).await;
    attacker
        .next_ca(
            FOREIGN_ROOT,
            &reply::by_hand(b"0", &list.content, Digest::Sha256),
        )
        .await;
    let mut reversed = scene.next.clone();
    reversed.reverse();
    for certificates in [
        &reversed[..],
        &scene.next[..2],
        &scene.next[2..],
        std::slice::from_ref(&scene.ca),
    ] {
        attacker
            .next_ca(FOREIGN_ROOT, &reply::next_ca(certificates).await)
            .await;
    }
    let certificate = scene.device().der();
    let data = sequence(&[&oid("1.2.840.113549.1.7.1"), &tlv(0xa0, &tlv(4, b"data"))]);
    for content in [
        &certificate[..],
        &scene.ca,
        &data,
        b"text",
        &envelope.attributes,
        &sequence(&[]),
        &[&envelope.content[..], &[0]].concat(),
    ] {
        attacker
            .cert_rep(NO_ENVELOPE, &reply::by_hand(b"0", content, Digest::Sha256))
            .await;
    }
    // The right kind of content under another status, none, and the content of another message.
    for status in [&b"2"[..], b"3"] {
        let message = reply::by_hand(status, &envelope.content, Digest::Sha256);
        attacker.cert_rep(NO_ENVELOPE, &message).await;
    }
    attacker
        .cert_rep(NO_ENVELOPE, &reply::by_hand(b"0", b"", Digest::Sha256))
        .await;
    let other = Message {
        content: data,
        attributes: envelope.attributes.clone(),
    };
    attacker.cert_rep(NO_ENVELOPE, &other).await;
}

/// Each structure where each other one is asked for, and bytes that are none.
async fn arbitrary(attacker: &mut Attacker, history: &History) {
    let scene = attacker.scene.clone();
    let mut list = history.list(&scene);
    list.number += 1;
    let request = der::request_info(&scene.ca_name(), &scene.key().public_key_to_der().unwrap());
    let status = history.status(&scene, &history.in_force[0], Status::Good);
    let reply = reply::by_hand(b"3", b"", Digest::Sha256);
    let whole = [
        scene.device().der(),
        list.der(),
        status.to_der().unwrap(),
        reply.attributes,
        request,
        b"log.example.org/assay/hostile\n9\nAAAA\n".to_vec(),
        sha1(b"a digest").to_vec(),
        openssl::sha::sha256(b"a digest").to_vec(),
        sequence(&[
            &sequence(&[&oid("2.16.840.1.101.3.4.2.1"), &[5, 0]]),
            &tlv(4, &[7; 32]),
        ]),
        Vec::new(),
        vec![0],
        vec![0x30; 60_000],
    ];
    for (place, bytes) in whole.iter().enumerate() {
        if place != 0 {
            attacker.certificate(ARBITRARY, bytes).await;
        }
        if place != 1 {
            attacker.crl(ARBITRARY, bytes).await;
        }
        if place != 2 {
            attacker.status(ARBITRARY, bytes).await;
        }
        for content in [&[][..], bytes] {
            let message = Message {
                content: content.to_vec(),
                attributes: bytes.clone(),
            };
            if place != 3 || !content.is_empty() {
                attacker.cert_rep(ARBITRARY, &message).await;
            }
            attacker.next_ca(ARBITRARY, &message).await;
        }
    }
    // Operations that no client has.
    let mut raw = Raw::connect(&scene);
    let known = Request {
        request_id: "hostile",
        operation: Operation::Probe,
    };
    let known = known.encode().unwrap().concat();
    let at = known.len() - 1;
    for number in 0..=255 {
        let mut request = known[..at].to_vec();
        request.extend([number, 1]);
        request.extend([0x30; 64]);
        let answer = raw.ask(number.into(), &request);
        match answer
            .as_deref()
            .map(|answer| wire::decode::<Answer<'_>>(answer).unwrap().outcome)
        {
            Some(Outcome::Signature(_) | Outcome::Checkpoint { .. } | Outcome::Key(_)) => {
                panic!("operation {number} has an answer");
            }
            Some(_) => {}
            None => raw = Raw::connect(&scene),
        }
        attacker.refused(ARBITRARY);
    }
}

/// A raw decryption with the padding of a signature would be one: the answer must stay a content key.
async fn decryptions(attacker: &mut Attacker) {
    let scene = attacker.scene.clone();
    for message in [b"one".as_slice(), &scene.device().der()] {
        let info = sequence(&[
            &sequence(&[&oid("2.16.840.1.101.3.4.2.1"), &[5, 0]]),
            &tlv(4, &openssl::sha::sha256(message)),
        ]);
        let padding = vec![0xff; 256 - 3 - info.len()];
        let block = [&[0, 1][..], &padding, &[0], &info].concat();
        let key = X509::from_der(&scene.ra_decrypt)
            .unwrap()
            .public_key()
            .unwrap();
        let key = key.rsa().unwrap();
        for length in [16, 24, 32] {
            let answer = attacker
                .keys
                .unwrap_key(
                    "hostile",
                    RaKeys::Pair,
                    KeyTransport::Pkcs1v15,
                    length,
                    &block,
                )
                .await;
            let bytes = answer.unwrap().into_inner();
            assert_eq!(bytes.len(), usize::from(length));
            // As a signature it would be padded to the key's length.
            let mut padded = vec![0; 256 - bytes.len()];
            padded.extend_from_slice(&bytes);
            let mut opened = vec![0; 256];
            let count = key.public_decrypt(&padded, &mut opened, openssl::rsa::Padding::NONE);
            let is_signature = count.is_ok() && opened == block;
            attacker.keep(
                DECRYPTED,
                Structure::CertRep,
                message,
                &[],
                if is_signature {
                    Ok(bytes.to_vec())
                } else {
                    Err(assay_hsm::OperationError::Refused {
                        reason: "a content key".to_owned(),
                    })
                },
            );
        }
    }
}
