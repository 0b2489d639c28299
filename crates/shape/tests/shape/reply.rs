use std::convert::Infallible;
use std::sync::{LazyLock, Mutex};

use assay_scep::client::PkiMessageBuilder;
use assay_scep::{
    Cipher, FailInfo, Limits, MessageSigner, Outcome, ReplyContext, Request, cert_rep,
    next_ca_certificates,
};
use assay_shape::{
    CertRep, MAX_CONTENT, MAX_SIGNED_ATTRIBUTES, NextCa, NextCaError, PkiStatus, ReplyRefusal,
};
use assay_types::Digest;
use const_oid::ObjectIdentifier;
use der::{Reader, SliceReader};
use openssl::hash::{MessageDigest, hash};
use openssl::sign::Signer;

use crate::support::*;

const TRANSACTION: &str = "5b1f9c6e7a0d4c33";
pub(crate) const MESSAGE_TYPE: &str = "2.16.840.1.113733.1.9.2";
pub(crate) const PKI_STATUS: &str = "2.16.840.1.113733.1.9.3";
const FAIL_INFO: &str = "2.16.840.1.113733.1.9.4";
const SENDER_NONCE: &str = "2.16.840.1.113733.1.9.5";
const RECIPIENT_NONCE: &str = "2.16.840.1.113733.1.9.6";
const TRANSACTION_ID: &str = "2.16.840.1.113733.1.9.7";
const FAIL_INFO_TEXT: &str = "1.3.6.1.5.5.7.24.1";
const CONTENT_TYPE: &str = "1.2.840.113549.1.9.3";
const MESSAGE_DIGEST: &str = "1.2.840.113549.1.9.4";
const SIGNING_TIME: &str = "1.2.840.113549.1.9.5";

/// Signs, and keeps what it signed.
struct Recorder<'a> {
    identity: &'a Identity,
    attributes: Mutex<Vec<u8>>,
}

impl MessageSigner for Recorder<'_> {
    type Error = Infallible;

    async fn sign(
        &self,
        digest: Digest,
        _content: &[u8],
        signed_attributes: &[u8],
    ) -> Result<Vec<u8>, Infallible> {
        *self.attributes.lock().unwrap() = signed_attributes.to_vec();
        let mut signer = Signer::new(digest.into(), &self.identity.key).unwrap();
        Ok(signer.sign_oneshot_to_vec(signed_attributes).unwrap())
    }
}

fn recorder(identity: &Identity) -> Recorder<'_> {
    Recorder {
        identity,
        attributes: Mutex::default(),
    }
}

/// The content of the element at a path of indices.
fn at<'a>(mut der: &'a [u8], path: &[usize]) -> &'a [u8] {
    for index in path {
        let mut outer = SliceReader::new(der).unwrap();
        let header = <der::Header as der::Decode>::decode(&mut outer).unwrap();
        let content = outer.read_slice(header.length()).unwrap();
        let mut inner = SliceReader::new(content).unwrap();
        for _ in 0..*index {
            inner.tlv_bytes().unwrap();
        }
        der = inner.tlv_bytes().unwrap();
    }
    let mut reader = SliceReader::new(der).unwrap();
    let header = <der::Header as der::Decode>::decode(&mut reader).unwrap();
    reader.read_slice(header.length()).unwrap()
}

/// eContent of a SignedData in a ContentInfo.
fn content(message: &[u8]) -> &[u8] {
    at(message, &[1, 0, 2, 1, 0])
}

/// A reply as Assay sends it: content and signed attributes.
pub(crate) async fn sent(outcome: &Outcome, digest: Digest) -> (Vec<u8>, Vec<u8>) {
    static IDENTITIES: LazyLock<[Identity; 2]> =
        LazyLock::new(|| ["device-1", "RA"].map(|name| with_key(rsa_key(), name, Role::Ra, None)));
    let [device, ra] = &*IDENTITIES;
    let nonce = [7; 16];
    let builder = PkiMessageBuilder::new(&device.certificate, &ra.certificate, TRANSACTION, &nonce);
    let message = builder.build(b"a CSR", &recorder(device)).await.unwrap();
    let request = Request::parse(&message, &Limits::default()).unwrap();
    let signer = recorder(ra);
    let context = ReplyContext {
        request: &request,
        ra_certificate: &ra.certificate,
        digest,
        cipher: Cipher::Aes256Cbc,
        password: None,
    };
    let reply = cert_rep(&context, outcome, &signer).await.unwrap();
    let attributes = signer.attributes.lock().unwrap().clone();
    (content(&reply).to_vec(), attributes)
}

pub(crate) fn success() -> Outcome {
    Outcome::Success {
        certificates: vec![SERVICE.ra.certificate.clone()],
    }
}

#[tokio::test]
async fn every_reply_that_assay_sends_is_accepted() {
    let failure = |text: Option<&str>| Outcome::Failure {
        fail_info: FailInfo::BadRequest,
        text: text.map(str::to_owned),
    };
    for (outcome, status) in [
        (success(), PkiStatus::Success),
        (Outcome::Crl { crl: sequence(&[]) }, PkiStatus::Success),
        (failure(None), PkiStatus::Failure),
        (failure(Some("SUB-02 größer")), PkiStatus::Failure),
        (Outcome::Pending, PkiStatus::Pending),
    ] {
        for digest in Digest::ALL {
            let (content, attributes) = sent(&outcome, digest).await;
            let reply = CertRep::check(&content, &attributes, digest).unwrap();
            assert_eq!(reply.status, status);
            assert_eq!(reply.transaction_id, TRANSACTION);
            assert_eq!(reply.signed_attributes, attributes);
        }
    }
}

#[tokio::test]
async fn the_announcement_that_assay_sends_is_accepted_for_the_configured_ca_alone() {
    let service = &*SERVICE;
    let list = vec![
        service.responder.certificate.clone(),
        service.next.certificate.clone(),
    ];
    let signer = recorder(&service.ra);
    let body = next_ca_certificates(&list, &service.ra.certificate, &signer)
        .await
        .unwrap();
    let attributes = signer.attributes.lock().unwrap().clone();
    let next = NextCa::new(std::slice::from_ref(&list)).unwrap();
    assert_eq!(next.check(content(&body), &attributes), Ok(()));
    let both = NextCa::new(&[vec![list[1].clone()], list.clone()]).unwrap();
    assert!(both.check(content(&body), &attributes).is_ok());

    // A foreign root, one more, one less, and another order.
    let foreign = vec![identity("Foreign root", Role::Ca, None).certificate];
    let more = [list.clone(), foreign.clone()].concat();
    let swapped = vec![list[1].clone(), list[0].clone()];
    for other in [foreign, more, list[1..].to_vec(), swapped] {
        let next = NextCa::new(&[other]).unwrap();
        let refusal = next.check(content(&body), &attributes);
        assert_eq!(refusal, Err(ReplyRefusal::NotNextCa));
    }
    assert_eq!(NextCa::new(&[]).unwrap_err(), NextCaError::Count);
    assert_eq!(NextCa::new(&[Vec::new()]).unwrap_err(), NextCaError::Count);
    let garbage = NextCa::new(&[vec![vec![0x30, 0]]]).unwrap_err();
    assert_eq!(garbage, NextCaError::Certificate);

    // It is not a CertRep, and with the attributes of a CertRep it is not an announcement.
    let as_reply = CertRep::check(content(&body), &attributes, Digest::Sha256);
    let status = ObjectIdentifier::new_unwrap(PKI_STATUS);
    assert_eq!(as_reply, Err(ReplyRefusal::Missing(status)));
    let mut parts = reply(b"0", content(&body));
    let as_reply = CertRep::check(content(&body), &set(&parts), Digest::Sha256);
    assert_eq!(as_reply, Err(ReplyRefusal::NotEnveloped));
    let refusal = next.check(content(&body), &set(&parts));
    assert!(matches!(refusal, Err(ReplyRefusal::Unlisted(_))));
    parts.retain(|(kind, _)| [CONTENT_TYPE, MESSAGE_DIGEST].contains(kind));
    assert!(next.check(content(&body), &set(&parts)).is_ok());
    parts.push((SIGNING_TIME, time(now())));
    let refusal = next.check(content(&body), &set(&parts));
    assert!(matches!(refusal, Err(ReplyRefusal::Unlisted(_))));
    parts.truncate(1);
    let refusal = next.check(content(&body), &set(&parts));
    assert!(matches!(refusal, Err(ReplyRefusal::Missing(_))));
    let other = reply(b"0", b"other content");
    let other: Parts = other
        .into_iter()
        .filter(|(kind, _)| [CONTENT_TYPE, MESSAGE_DIGEST].contains(kind))
        .collect();
    let refusal = next.check(content(&body), &set(&other));
    assert_eq!(refusal, Err(ReplyRefusal::MessageDigest));
}

type Parts = Vec<(&'static str, Vec<u8>)>;

/// Types and values of the attributes of a CertRep.
fn reply(status: &[u8], content: &[u8]) -> Parts {
    let digest = hash(MessageDigest::sha256(), content).unwrap();
    let mut parts = vec![
        (CONTENT_TYPE, oid("1.2.840.113549.1.7.1")),
        (MESSAGE_DIGEST, tlv(4, &digest)),
        (TRANSACTION_ID, tlv(0x13, TRANSACTION.as_bytes())),
        (MESSAGE_TYPE, tlv(0x13, b"3")),
        (PKI_STATUS, tlv(0x13, status)),
        (RECIPIENT_NONCE, tlv(4, &[7; 16])),
        (SENDER_NONCE, tlv(4, &[8; 16])),
    ];
    if status == b"2" {
        parts.push((FAIL_INFO, tlv(0x13, b"2")));
        parts.push((FAIL_INFO_TEXT, tlv(12, "größer".as_bytes())));
    }
    parts
}

fn set(parts: &Parts) -> Vec<u8> {
    let attribute = |(kind, value): &(&str, Vec<u8>)| sequence(&[&oid(kind), &tlv(0x31, value)]);
    let mut attributes: Vec<Vec<u8>> = parts.iter().map(attribute).collect();
    attributes.sort();
    tlv(0x31, &attributes.concat())
}

#[test]
fn a_reply_has_exactly_the_attributes_of_a_cert_rep() {
    let failed = |change: &dyn Fn(&mut Parts)| {
        let mut parts = reply(b"2", b"");
        change(&mut parts);
        CertRep::check(b"", &set(&parts), Digest::Sha256)
    };
    assert!(failed(&|_| {}).is_ok());
    assert!(failed(&|parts| parts.truncate(8)).is_ok(), "without a text");
    let kind = |text: &str| ObjectIdentifier::new_unwrap(text);
    for index in 0..8 {
        let missing = reply(b"2", b"")[index].0;
        let refusal = failed(&|parts| {
            parts.remove(index);
        });
        assert_eq!(refusal, Err(ReplyRefusal::Missing(kind(missing))));
        let twice = failed(&|parts| {
            let (kind, mut value) = parts[index].clone();
            *value.last_mut().unwrap() ^= 1;
            parts.push((kind, value));
        });
        assert_eq!(twice, Err(ReplyRefusal::Repeated(kind(missing))));
        // A value of another type.
        let refusal = failed(&|parts| parts[index].1 = tlv(0x0a, &[1]));
        assert_eq!(refusal, Err(ReplyRefusal::Value(kind(missing))));
        // Two values.
        let refusal = failed(&|parts| parts[index].1.extend([0x0a, 1, 1]));
        assert_eq!(refusal, Err(ReplyRefusal::Malformed));
    }
    for (index, value) in [
        (0, oid("1.2.840.113549.1.7.2")),
        (2, tlv(0x13, b"")),
        (2, tlv(0x13, &[b'1'; 256])),
        (2, tlv(0x13, b"a\nb")),
        (3, tlv(0x13, b"19")),
        (3, tlv(0x13, b"03")),
        (4, tlv(0x13, b"1")),
        (5, tlv(4, b"")),
        (6, tlv(4, &[8; 65])),
        (7, tlv(0x13, b"5")),
        (7, tlv(0x13, b"22")),
        (8, tlv(12, b"\xff")),
    ] {
        let refused = reply(b"2", b"")[index].0;
        let refusal = failed(&|parts| parts[index].1.clone_from(&value));
        assert_eq!(
            refusal,
            Err(ReplyRefusal::Value(kind(refused))),
            "{value:02x?}"
        );
    }
    for unlisted in [SIGNING_TIME, "1.2.840.113549.1.9.16.2.47"] {
        let refusal = failed(&|parts| parts.push((unlisted, tlv(4, b"x"))));
        assert!(
            matches!(refusal, Err(ReplyRefusal::Unlisted(_))),
            "{refusal:?}"
        );
    }
    let refusal = failed(&|parts| parts[1].1 = tlv(4, &[0; 32]));
    assert_eq!(refusal, Err(ReplyRefusal::MessageDigest));
    // failInfo belongs to FAILURE.
    for status in [&b"0"[..], b"3"] {
        let mut parts = reply(status, b"");
        parts.push((FAIL_INFO, tlv(0x13, b"2")));
        let refusal = CertRep::check(b"", &set(&parts), Digest::Sha256);
        assert_eq!(refusal, Err(ReplyRefusal::Unlisted(kind(FAIL_INFO))));
    }
    let other_digest = CertRep::check(b"", &set(&reply(b"3", b"")), Digest::Sha512);
    assert_eq!(other_digest, Err(ReplyRefusal::MessageDigest));
    // Not sorted.
    let good = set(&reply(b"3", b""));
    let first = 2 + usize::from(good[1] >= 0x80) * usize::from(good[1] & 0x7f);
    let length = 2 + usize::from(good[first + 1]);
    let turned = [
        &good[..first],
        &good[first + length..],
        &good[first..first + length],
    ]
    .concat();
    let refusal = CertRep::check(b"", &turned, Digest::Sha256);
    assert_eq!(refusal, Err(ReplyRefusal::Malformed));
    let long = vec![0x31; MAX_SIGNED_ATTRIBUTES + 1];
    let refusal = CertRep::check(b"", &long, Digest::Sha256);
    assert_eq!(refusal, Err(ReplyRefusal::TooLong));
}

#[test]
fn a_failure_has_no_content_and_a_success_an_envelope() {
    for status in [&b"2"[..], b"3"] {
        let refusal = CertRep::check(b"x", &set(&reply(status, b"x")), Digest::Sha256);
        assert_eq!(refusal, Err(ReplyRefusal::NotEmpty));
    }
    let succeeded = |content: &[u8]| {
        CertRep::check(content, &set(&reply(b"0", content)), Digest::Sha256).map(|_| ())
    };
    // EnvelopedData as RFC 5652 section 6.1 has it.
    let recipient = sequence(&[&[2, 1, 0], &tlv(4, b"key")]);
    let cipher = sequence(&[&oid("2.16.840.1.101.3.4.1.42"), &tlv(4, &[1; 16])]);
    let data = oid("1.2.840.113549.1.7.1");
    let encrypted = sequence(&[&data, &cipher, &tlv(0x80, &[2; 32])]);
    let enveloped = oid("1.2.840.113549.1.7.3");
    let info = |kind: &[u8], version: u8, recipients: &[&[u8]], encrypted: &[u8]| {
        let recipients = tlv(0x31, &recipients.concat());
        let content = sequence(&[&[2, 1, version], &recipients, encrypted]);
        sequence(&[kind, &tlv(0xa0, &content)])
    };
    let password = tlv(0xa3, &[2, 1, 0]);
    let good = info(&enveloped, 0, &[&recipient], &encrypted);
    assert_eq!(succeeded(&good), Ok(()));
    assert_eq!(
        succeeded(&info(&enveloped, 2, &[&recipient], &encrypted)),
        Ok(())
    );
    assert_eq!(
        succeeded(&info(&enveloped, 3, &[&password], &encrypted)),
        Ok(())
    );
    let list = sequence(&[&oid("1.2.840.113549.1.7.2"), &tlv(0xa0, &sequence(&[]))]);
    let rc2 = sequence(&[&oid("1.2.840.113549.3.2"), &tlv(4, &[1; 8])]);
    let weak = sequence(&[&data, &rc2, &tlv(0x80, &[2; 32])]);
    let signed = sequence(&[&oid("1.2.840.113549.1.7.2"), &cipher, &tlv(0x80, &[2; 32])]);
    for content in [
        Vec::new(),
        SERVICE.ca.certificate.clone(),
        list,
        info(&oid("1.2.840.113549.1.7.2"), 0, &[&recipient], &encrypted),
        info(&enveloped, 0, &[], &encrypted),
        info(&enveloped, 0, &[&recipient, &password], &encrypted),
        info(&enveloped, 0, &[&password], &encrypted),
        info(&enveloped, 3, &[&recipient], &encrypted),
        info(&enveloped, 1, &[&recipient], &encrypted),
        info(&enveloped, 0, &[&recipient], &weak),
        info(&enveloped, 0, &[&recipient], &signed),
        [&good[..], &[0]].concat(),
    ] {
        assert_eq!(
            succeeded(&content),
            Err(ReplyRefusal::NotEnveloped),
            "{content:02x?}"
        );
    }
    assert_eq!(
        succeeded(&vec![0; MAX_CONTENT + 1]),
        Err(ReplyRefusal::TooLong)
    );
}
