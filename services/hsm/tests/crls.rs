//! CRLs that are longer than a frame are signed as any other, and a client gains nothing by beginning one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests may panic as tests may"
)]

mod support;
#[path = "../../../tests/shared/tier.rs"]
mod tier;

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use assay_hsm::Token;
use assay_hsm::wire::{
    self, Answer, FrameBuffer, Greeting, Hello, MAX_CRL_PART, Message, Octets, Operation, Outcome,
    PROTOCOL, Request,
};
use assay_types::MAX_TBS_CERT_LIST;
use openssl::hash::MessageDigest;
use openssl::sign::Verifier;
use support::{Config, Installation, PATIENCE, Service, der};

const SUPERSEDED: u8 = 4;

/// Entries of a list, from a serial number on.
fn entries(
    list: &der::List,
    from: u32,
    count: usize,
) -> Vec<(Vec<u8>, assay_types::Timestamp, u8)> {
    let serial = |number: u32| {
        let mut octets = [0x41; 17];
        octets[13..].copy_from_slice(&number.to_be_bytes());
        [&[2, 17][..], &octets].concat()
    };
    let at = list.this_update;
    (from..)
        .take(count)
        .map(|number| (serial(number), at, SUPERSEDED))
        .collect()
}

/// A service whose CA had a list of this many entries before its journal began.
async fn used(installation: &Installation, count: usize) -> (Config, Service, der::List) {
    let config = installation.config();
    let mut list = installation.list(7);
    list.entries = entries(&list, 1, count);
    let tbs = list.der();
    let key = &installation.keys[0].uri;
    let signature = installation.token.keys().sign(key, &tbs);
    let last = config.directory.join("last.crl");
    fs::write(&last, der::signed(&tbs, &list.algorithm, &signature)).unwrap();
    config.done(&["journal", "create", "--last-crl", last.to_str().unwrap()]);
    let service = config.start().await;
    (config, service, list)
}

fn verify(installation: &Installation, tbs: &[u8], signature: &[u8]) -> bool {
    let key = installation.ca.public_key().unwrap();
    let mut verifier = Verifier::new(MessageDigest::sha256(), &key).unwrap();
    verifier.verify_oneshot(signature, tbs).unwrap()
}

#[tokio::test]
async fn a_list_of_many_frames_is_signed_and_each_entry_is_checked() {
    let installation = Installation::new().await;
    let count = tier::size("entries of a CRL");
    let (config, service, mut list) = used(&installation, count).await;
    list.number = 8;
    let tbs = list.der();
    assert!(tbs.len() > MAX_CRL_PART);
    let before = Instant::now();
    let signature = service.sign_crl("r1", &tbs).await.unwrap();
    eprintln!(
        "{count} entries, {} bytes: {:?}",
        tbs.len(),
        before.elapsed()
    );
    assert!(verify(&installation, &tbs, &signature));

    // One entry is of a certificate that the journal does not know; the first one is gone; one is there twice.
    type Change = fn(&mut der::List);
    let cases: [(&str, Change); 3] = [
        ("is not in the journal", |list| {
            let strange = entries(list, 1 << 30, 1);
            list.entries.pop();
            list.entries.extend(strange);
        }),
        ("for good", |list| {
            list.entries.remove(0);
        }),
        ("twice", |list| {
            let again = list.entries[0].clone();
            list.entries.pop();
            list.entries.push(again);
        }),
    ];
    for (reason, change) in cases {
        let mut list = list.clone();
        list.number = 9;
        change(&mut list);
        let refused = service.sign_crl("r2", &list.der()).await.unwrap_err();
        assert!(refused.is_permanent(), "{refused}");
        let error = refused.to_string();
        assert!(error.contains(reason), "{reason}: {error}");
    }
    if let Ok(status) =
        fs::read_to_string(format!("/proc/{}/status", service.pid().as_raw_nonzero()))
    {
        let peak = status.lines().find(|line| line.starts_with("VmHWM"));
        eprintln!("the service: {}", peak.unwrap_or_default());
    }
    service.shutdown().await;
    config.done(&["journal", "verify"]);
}

/// A client that writes whatever it likes.
struct Raw {
    stream: UnixStream,
    input: FrameBuffer,
}

impl Raw {
    fn welcome(config: &Config) -> Self {
        let stream = UnixStream::connect(config.socket()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let input = FrameBuffer::default();
        let mut raw = Self { stream, input };
        let mut hello = Vec::new();
        let first = Hello {
            protocol: PROTOCOL,
            program: "raw".to_owned(),
        };
        wire::encode(&first, &mut hello).unwrap();
        raw.stream.write_all(&hello).unwrap();
        let greeting: Greeting = wire::decode(&raw.frame().unwrap()).unwrap();
        assert!(matches!(greeting, Greeting::Welcome(_)));
        raw
    }

    /// Sends a message; an error once the service has cut it off.
    fn send(&mut self, id: u64, message: &Message<'_>) -> io::Result<()> {
        let message = message.encode().unwrap();
        let header = wire::frame_header(id, &message);
        self.stream.write_all(&[&header[..], &message].concat())
    }

    fn part(&mut self, id: u64, octets: &[u8]) -> io::Result<()> {
        self.send(id, &Message::CrlPart(Octets(octets)))
    }

    fn sign(&mut self, id: u64, ca: wire::Fingerprint, tbs: &[u8]) -> io::Result<()> {
        let tbs = Octets(tbs);
        self.ask(id, Operation::SignCrl { ca, tbs })
    }

    fn ask(&mut self, id: u64, operation: Operation<'_>) -> io::Result<()> {
        let request_id = "raw";
        self.send(
            id,
            &Message::Request(Request {
                request_id,
                operation,
            }),
        )
    }

    /// The next frame; `None` once the service has closed the connection.
    fn frame(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(frame) = self.input.next_frame().unwrap() {
                return Some(frame.to_vec());
            }
            match self.stream.read(self.input.room()) {
                Ok(0) => return None,
                Ok(count) => self.input.filled(count),
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// The next answer, which is the answer to this request.
    fn answered(&mut self, id: u64, check: impl FnOnce(Outcome<'_>)) {
        let frame = self.frame().unwrap();
        let answer: Answer<'_> = wire::decode(&frame).unwrap();
        assert_eq!(answer.id, id);
        check(answer.outcome);
    }
}

/// The service has written this to its log, and serves others.
async fn cut_off(service: &Service, reason: &str) {
    let said = async {
        while !service.log().contains(reason) {
            tokio::task::yield_now().await;
        }
    };
    let said = tokio::time::timeout(PATIENCE, said).await;
    said.unwrap_or_else(|_| panic!("{reason:?} is not in {}", service.log()));
    support::reply::send(service).await.unwrap();
}

#[tokio::test]
async fn a_list_in_parts_that_breaks_the_protocol_ends_its_connection_alone() {
    let installation = Installation::new().await;
    let config = installation.config();
    let service = config.start().await;
    let ca = installation.fingerprint();
    type Attack = fn(&mut Raw, wire::Fingerprint) -> io::Result<()>;
    let attacks: [(&str, Attack); 4] = [
        ("second CRL", |raw, _| {
            raw.part(1, &[0x30])?;
            raw.part(2, &[0x30])
        }),
        ("a second CRL before the end", |raw, ca| {
            raw.part(1, &[0x30])?;
            raw.sign(2, ca, &[0x30])
        }),
        ("an empty part", |raw, _| raw.part(1, &[])),
        ("a CRL of more than", |raw, _| {
            let part = vec![0x30; MAX_CRL_PART];
            for _ in 0..=MAX_TBS_CERT_LIST / MAX_CRL_PART {
                raw.part(1, &part)?;
            }
            Ok(())
        }),
    ];
    for (reason, attack) in attacks {
        let mut raw = Raw::welcome(&config);
        // It may be cut off while it writes.
        let _ = attack(&mut raw, ca);
        assert_eq!(raw.frame(), None, "{reason}");
        cut_off(&service, reason).await;
    }
    assert_eq!(service.health().borrow().reconnections, 0);
    service.shutdown().await;
}

#[tokio::test]
async fn other_operations_lie_between_the_parts_of_a_list_and_its_end_alone_is_answered() {
    let installation = Installation::new().await;
    let config = installation.config();
    let service = config.start().await;
    let ca = installation.fingerprint();
    let tbs = installation.list(1).der();
    let (first, last) = tbs.split_at(20);
    let mut raw = Raw::welcome(&config);
    raw.part(7, first).unwrap();
    raw.ask(1, Operation::Probe).unwrap();
    raw.answered(1, |outcome| assert!(matches!(outcome, Outcome::Probed(_))));
    raw.sign(7, ca, last).unwrap();
    raw.answered(7, |outcome| {
        let Outcome::Signature(signature) = outcome else {
            panic!("{outcome:?}");
        };
        assert!(verify(&installation, &tbs, signature.0));
    });
    // The last part first is a list of its own, and no list; so is the first one without the rest.
    raw.sign(8, ca, last).unwrap();
    raw.answered(8, |outcome| assert!(matches!(outcome, Outcome::Refused(_))));
    raw.part(8, last).unwrap();
    raw.sign(8, ca, first).unwrap();
    raw.answered(8, |outcome| assert!(matches!(outcome, Outcome::Refused(_))));
    service.shutdown().await;
}

#[tokio::test]
async fn lists_that_are_begun_and_not_finished_leave_no_place_and_keep_nobody_waiting() {
    let installation = Installation::new().await;
    let config = installation.config();
    let service = config.start().await;
    let ca = installation.fingerprint();
    let tbs = installation.list(1).der();
    let (first, last) = tbs.split_at(20);
    let mut begun = Vec::new();
    for _ in 0..2 {
        let mut raw = Raw::welcome(&config);
        raw.part(1, first).unwrap();
        // The rest is answered after the part was read.
        raw.ask(2, Operation::Probe).unwrap();
        raw.answered(2, |outcome| assert!(matches!(outcome, Outcome::Probed(_))));
        begun.push(raw);
    }
    let mut late = Raw::welcome(&config);
    let mut ask = |id: u64| {
        late.part(id, first).unwrap();
        late.sign(id, ca, last).unwrap();
        let mut has_place = false;
        late.answered(id, |outcome| {
            if let Outcome::NotNow(reason) = outcome {
                assert!(reason.contains("under way"), "{reason}");
            } else {
                assert!(matches!(outcome, Outcome::Signature(_)), "{outcome:?}");
                has_place = true;
            }
        });
        has_place
    };
    assert!(!ask(1));
    // One that fits into a frame needs no place.
    service.sign_crl("r1", &tbs).await.unwrap();
    begun.clear();
    let signed = async {
        let mut id = 2;
        while !ask(id) {
            id += 1;
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, signed).await.unwrap();
    service.shutdown().await;
}
