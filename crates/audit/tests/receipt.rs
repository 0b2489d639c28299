//! A receipt proves its own certificate, and each member of it counts.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "helpers of tests may panic as tests may"
)]

use assay_audit::note::{Algorithm, Note, Signature, VerifierKey};
use assay_audit::tree::{Frontier, Nodes, inclusion_proof};
use assay_audit::{
    Checkpoint, Context, Draft, Event, Issuance, Moment, Receipt, ReceiptError, Record, Request,
    Text,
};
use assay_types::{CanonicalError, Hash, TimestampMillis};
use openssl::pkey::PKey;
use openssl::sign::Signer;

const CERTIFICATE: &[u8] = b"the certificate's DER";
const SIZE: u64 = 11;

struct Leaves(Vec<Hash>);

impl Nodes for Leaves {
    type Error = std::convert::Infallible;

    fn node(&mut self, level: u32, index: u64) -> Result<Hash, Self::Error> {
        let mut tree = Frontier::new();
        let begin = usize::try_from(index << level).unwrap();
        for leaf in &self.0[begin..begin + (1 << level)] {
            tree.append(*leaf);
        }
        Ok(tree.root())
    }
}

fn record(sequence: u64, event: Event) -> Record {
    let draft = Draft {
        context: Context {
            boot_id: Text::from("b"),
            binary: Text::from("1"),
            config_hash: Hash::of(b"config"),
            policy_hash: None,
        },
        moment: Moment {
            wall_ms: TimestampMillis::from_millis(1),
            monotonic_ms: 1,
        },
        event,
        attachment: None,
    };
    draft.at(sequence)
}

fn issued() -> Event {
    Event::RequestIssued {
        request: Request {
            peer: Text::from("assay://frontend/one"),
            peer_certificate_sha256: None,
            request_id: None,
            request_digest: Hash::of(b"request"),
            transaction_id: Some(Text::from("t")),
            message_type: Some(Text::from("19")),
            profile: Some(Text::from("devices")),
            challenge_id: None,
            quirks: Vec::new(),
            reply_envelope: None,
        },
        issuance: Issuance {
            serial: Text::from("0a"),
            tbs_digest: Hash::of(b"tbs"),
            key_id: Text::from("01"),
            token_serial: Text::from("s"),
        },
        certificate_sha256: Hash::of(CERTIFICATE),
        renewal_of: None,
        recovered: false,
    }
}

/// A log of eleven records, the seventh of them of interest.
fn receipt(event: &Event) -> (Receipt, VerifierKey) {
    let records: Vec<Record> = (1..=SIZE)
        .map(|n| {
            record(
                n,
                if n == 7 {
                    event.clone()
                } else {
                    Event::ClockStep {
                        delta_ms: n.cast_signed(),
                    }
                },
            )
        })
        .collect();
    let mut leaves = Leaves(
        records
            .iter()
            .map(|record| Hash::of_leaf(&record.to_canonical().unwrap()))
            .collect(),
    );
    let mut tree = Frontier::new();
    leaves.0.iter().for_each(|leaf| tree.append(*leaf));
    let private = PKey::generate_ed25519().unwrap();
    let key = VerifierKey::ed25519(
        "log.example.org",
        Algorithm::Ed25519,
        &private.raw_public_key().unwrap(),
    )
    .unwrap();
    let text = Checkpoint {
        origin: "log.example.org".to_owned(),
        size: SIZE,
        root: tree.root(),
        extensions: Vec::new(),
    }
    .to_string();
    let mut signer = Signer::new_without_digest(&private).unwrap();
    let octets = signer.sign_oneshot_to_vec(text.as_bytes()).unwrap();
    let note = Note::new(&text, vec![Signature::new(&key, octets)]).unwrap();
    let proof = inclusion_proof(&mut leaves, 6, SIZE).unwrap();
    (Receipt::new(&note, records[6].clone(), proof), key)
}

#[test]
fn a_receipt_survives_its_file_and_proves_its_certificate() {
    let (receipt, key) = receipt(&issued());
    let text = receipt.to_canonical().unwrap();
    for text in [text.clone(), format!("{text}\n")] {
        let again: Receipt = text.parse().unwrap();
        assert_eq!(again, receipt);
        assert_eq!(again.verify(&key, CERTIFICATE).unwrap().size, SIZE);
    }
    assert!(matches!(
        receipt.verify(&key, b"another"),
        Err(ReceiptError::Certificate { .. })
    ));
    assert!(matches!(
        text.replace("\":", "\": ").parse::<Receipt>(),
        Err(ReceiptError::Form(CanonicalError::NotCanonical))
    ));
}

#[test]
fn no_octet_of_a_receipt_can_be_changed() {
    let (receipt, key) = receipt(&issued());
    let text = receipt.to_canonical().unwrap();
    for at in 0..text.len() {
        let mut bytes = text.clone().into_bytes();
        bytes[at] ^= 0x01;
        let Ok(changed) = String::from_utf8(bytes) else {
            continue;
        };
        let verdict = changed
            .parse::<Receipt>()
            .and_then(|receipt| receipt.verify(&key, CERTIFICATE));
        assert!(verdict.is_err(), "octet {at}: {changed}");
    }
}

#[test]
fn only_an_issued_certificate_has_a_receipt() {
    let (receipt, key) = receipt(&Event::ClockStep { delta_ms: 1 });
    assert!(matches!(
        receipt.verify(&key, CERTIFICATE),
        Err(ReceiptError::Kind("clock.step"))
    ));
}
