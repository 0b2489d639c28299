use std::time::Duration;

use assay_ocsp::{CertId, CrlReason, Issuer, ResponseData};
use assay_shape::{OcspRefusal, Reason, Responder, ResponderError, Status, StatusResponse};
use assay_types::CertIdHash;
use der::Decode;
use openssl::sha::{sha1, sha256};
use x509_cert::Certificate;

use crate::support::*;

pub(crate) fn responder() -> Responder {
    let service = &*SERVICE;
    Responder::new(
        &service.ca.certificate,
        &service.responder.certificate,
        DAY * 7,
    )
    .unwrap()
}

fn issuer(identity: &Identity, hash: CertIdHash) -> Issuer {
    let ca = Certificate::from_der(&identity.certificate).unwrap();
    let digest = |octets: &[u8]| match hash {
        CertIdHash::Sha1 => sha1(octets).to_vec(),
        CertIdHash::Sha256 => sha256(octets).to_vec(),
    };
    Issuer::of(&ca, hash, digest).unwrap()
}

pub(crate) fn data() -> ResponseData {
    let certificate = Certificate::from_der(&SERVICE.responder.certificate).unwrap();
    let key = certificate.tbs_certificate().subject_public_key_info();
    ResponseData {
        responder: sha1(key.subject_public_key.raw_bytes()).to_vec(),
        produced_at: now(),
        cert_id: CertId {
            issuer: issuer(&SERVICE.ca, CertIdHash::Sha1),
            serial: vec![0x5a; 17],
        },
        status: assay_ocsp::Status::Good,
        this_update: now(),
        next_update: now() + DAY,
    }
}

fn verdict(change: impl FnOnce(&mut ResponseData)) -> Result<StatusResponse, OcspRefusal> {
    let mut data = data();
    change(&mut data);
    responder().check(&data.to_der().unwrap(), now())
}

#[test]
fn a_status_of_the_ca_is_accepted_by_either_hash() {
    let response = verdict(|_| {}).unwrap();
    assert_eq!(response.serial.as_bytes(), [0x5a; 17]);
    assert_eq!(response.status, Status::Good);
    assert_eq!(
        (response.this_update, response.next_update),
        (now(), now() + DAY)
    );
    let sha256 = verdict(|data| data.cert_id.issuer = issuer(&SERVICE.ca, CertIdHash::Sha256));
    assert!(sha256.is_ok());
    let revoked = |reason| {
        let status = assay_ocsp::Status::Revoked { at: now(), reason };
        verdict(|data| data.status = status).map(|response| response.status)
    };
    let at = now();
    let reason = Reason::CertificateHold;
    assert_eq!(
        revoked(Some(CrlReason::CertificateHold)),
        Ok(Status::Revoked { at, reason })
    );
    let reason = Reason::Unspecified;
    assert_eq!(revoked(None), Ok(Status::Revoked { at, reason }));
    assert_eq!(
        revoked(Some(CrlReason::RemoveFromCRL)),
        Err(OcspRefusal::Reason)
    );
}

#[test]
fn each_rule_of_a_status_refuses() {
    let late = Duration::from_secs(301);
    let cases: [(OcspRefusal, Change<ResponseData>); 11] = [
        (OcspRefusal::WrongResponder, |data| {
            data.responder = vec![0; 20];
        }),
        (OcspRefusal::WrongIssuer, |data| {
            data.cert_id.issuer = issuer(&SERVICE.next, CertIdHash::Sha1);
        }),
        (OcspRefusal::Serial, |data| {
            data.cert_id.serial = vec![1; 21];
        }),
        (OcspRefusal::WrongTime, |data| {
            data.this_update = now() - Duration::from_secs(301);
        }),
        (OcspRefusal::WrongTime, |data| {
            data.produced_at = now() + Duration::from_secs(301);
        }),
        (OcspRefusal::TimeOrder, |data| {
            data.this_update = now() + Duration::from_secs(1);
        }),
        (OcspRefusal::TimeOrder, |data| {
            data.next_update = data.produced_at;
        }),
        (OcspRefusal::TooLong(DAY * 7), |data| {
            data.next_update = now() + DAY * 7 + Duration::from_secs(1);
        }),
        (OcspRefusal::RevokedInFuture, |data| {
            data.status = assay_ocsp::Status::Revoked {
                at: now() + Duration::from_secs(301),
                reason: None,
            };
        }),
        // Dated ahead as a whole.
        (OcspRefusal::WrongTime, |data| {
            data.this_update = now() + DAY;
            data.produced_at = now() + DAY;
            data.next_update = now() + DAY * 2;
        }),
        (OcspRefusal::WrongTime, |data| {
            data.this_update = now() - DAY;
            data.produced_at = now() - DAY;
        }),
    ];
    for (wanted, change) in cases {
        assert_eq!(verdict(change), Err(wanted));
    }
    // The responder's own certificate ends.
    let end = now() + DAY * 3_650;
    let mut last = data();
    last.this_update = end - late;
    last.produced_at = last.this_update;
    last.next_update = end + Duration::from_secs(1);
    let verdict = responder().check(&last.to_der().unwrap(), last.this_update);
    assert_eq!(verdict, Err(OcspRefusal::OutlivesResponder));
    let der = data().to_der().unwrap();
    let longer = [&der[..], &[0]].concat();
    assert_eq!(
        responder().check(&longer, now()),
        Err(OcspRefusal::Malformed)
    );
}

/// The ResponseData of [`data`], by hand.
fn written(parameters: &[u8], status: &[u8]) -> Vec<u8> {
    let data = data();
    let time = |text: &[u8]| tlv(0x18, text);
    let (now, next) = (time(b"20261122000000Z"), time(b"20261123000000Z"));
    let issuer = data.cert_id.issuer;
    let id = sequence(&[
        &sequence(&[&oid("1.3.14.3.2.26"), parameters]),
        &tlv(4, &issuer.name_hash),
        &tlv(4, &issuer.key_hash),
        &tlv(2, &data.cert_id.serial),
    ]);
    let single = sequence(&[&id, status, &now, &tlv(0xa0, &next)]);
    let responder = tlv(0xa2, &tlv(4, &data.responder));
    sequence(&[&responder, &now, &sequence(&[&single])])
}

#[test]
fn a_status_has_one_encoding() {
    let (null, good) = ([5, 0], [0x80, 0]);
    assert_eq!(written(&null, &good), data().to_der().unwrap());
    let revoked = |reason: &[u8]| {
        let reason = tlv(0xa0, reason);
        tlv(0xa1, &[tlv(0x18, b"20261122000000Z"), reason].concat())
    };
    assert!(
        responder()
            .check(&written(&null, &revoked(&[10, 1, 1])), now())
            .is_ok()
    );
    for der in [
        // NULL with content, no parameters, `unspecified` written out, `unknown`.
        written(&[5, 1, 0], &good),
        written(&[], &good),
        written(&null, &revoked(&[10, 1, 0])),
        written(&null, &[0x82, 0]),
    ] {
        assert_eq!(responder().check(&der, now()), Err(OcspRefusal::Malformed));
    }
}

#[test]
fn only_a_delegation_by_the_ca_is_a_responder() {
    let service = &*SERVICE;
    let new = |ca: &Identity, responder: &Identity| {
        Responder::new(&ca.certificate, &responder.certificate, DAY).map(|_| ())
    };
    assert_eq!(
        new(&service.next, &service.responder),
        Err(ResponderError::NotIssued)
    );
    assert_eq!(new(&service.ca, &service.ra), Err(ResponderError::Purpose));
    assert_eq!(new(&service.ca, &service.ca), Err(ResponderError::Purpose));
    let garbage = Responder::new(&service.ca.certificate, &[0x30, 0], DAY);
    assert_eq!(garbage.map(|_| ()), Err(ResponderError::Unreadable));
    // A certificate of the CA with parts of a delegation, by its extensions.
    let delegated = |usage: &[u8], basic: &[u8], no_check: bool| {
        let mut parts = server();
        parts.extension(EKU).value = sequence(&[&oid("1.3.6.1.5.5.7.3.9")]);
        parts.extension(KU).value = usage.to_vec();
        parts.extension(BC).value = basic.to_vec();
        if no_check {
            let value = vec![5, 0];
            parts
                .extensions
                .push(extension("1.3.6.1.5.5.7.48.1.5", false, value));
        }
        let certificate = service.sign(&parts.der());
        Responder::new(&service.ca.certificate, &certificate, DAY).map(|_| ())
    };
    let (signs, leaf) = ([3, 2, 7, 0x80], [0x30, 0]);
    assert_eq!(delegated(&signs, &leaf, true), Ok(()));
    assert_eq!(
        delegated(&[3, 2, 5, 0x20], &leaf, true),
        Err(ResponderError::Usage)
    );
    let ca = sequence(&[&[1, 1, 0xff]]);
    assert_eq!(delegated(&signs, &ca, true), Err(ResponderError::Ca));
    assert_eq!(
        delegated(&signs, &leaf, false),
        Err(ResponderError::NoCheck)
    );
}
