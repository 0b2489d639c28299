//! Whatever is accepted of a great many mutations means the same to OpenSSL as a structure of the configured form.

use std::collections::BTreeSet;

use assay_shape::{CertRep, Leaf, NextCa, Status};
use assay_types::{Digest, Timestamp};
use der::{Decode, Encode};
use openssl::asn1::Asn1Time;
use openssl::cms::CmsContentInfo;
use openssl::nid::Nid;
use openssl::ocsp::{OcspCertId, OcspCertStatus, OcspResponse};
use openssl::pkcs7::Pkcs7;
use openssl::pkey::PKey;
use openssl::stack::Stack;
use openssl::x509::store::X509StoreBuilder;
use openssl::x509::verify::X509VerifyParam;
use openssl::x509::{ReasonCode, X509, X509Crl, X509PurposeId, X509StoreContext};

use crate::mutator::mutants;
use crate::support::*;
use crate::{crl, ocsp, reply, tier};

fn size() -> usize {
    tier::size("mutations of a structure")
}

/// Values of attacks, to be put in place of others or beside them.
fn foreign() -> Vec<Vec<u8>> {
    let service = &*SERVICE;
    let ca = X509::from_der(&service.ca.certificate).unwrap();
    let spki = |key: &PKey<openssl::pkey::Private>| key.public_key_to_der().unwrap();
    vec![
        extension(BC, true, sequence(&[&[1, 1, 0xff]])).der(),
        extension(BC, true, sequence(&[&[1, 1, 0xff], &[2, 1, 0]])).der(),
        extension(KU, true, vec![3, 2, 1, 6]).der(),
        extension(KU, true, vec![3, 2, 7, 0x80]).der(),
        extension(EKU, false, sequence(&[&oid("1.3.6.1.5.5.7.3.9")])).der(),
        extension("2.16.840.1.113730.1.1", false, vec![3, 2, 2, 4]).der(),
        extension("1.3.6.1.5.5.7.1.14", true, sequence(&[])).der(),
        extension("2.5.29.27", true, vec![2, 1, 1]).der(),
        extension(crl::NUMBER, false, vec![2, 2, 0xff, 0xff]).der(),
        extension(crl::REASON, false, vec![10, 1, 8]).der(),
        oid("1.3.6.1.5.5.7.3.9"),
        oid("2.5.29.37.0"),
        ca.subject_name().to_der().unwrap(),
        name(&[(O, "EXAMPLE"), (CN, "strasse ca")]),
        name(&[(O, "Example"), (CN, "Next CA")]),
        spki(&service.ca.key),
        spki(&service.ra.key),
        tlv(0x18, b"99991231235959Z"),
        tlv(0x17, b"700101000000Z"),
        tlv(2, &[1]),
        vec![1, 1, 0xff],
        vec![1, 1, 0],
        vec![5, 0],
        vec![10, 1, 8],
        dns("www.example.org"),
        dns("mail.example.com"),
        tlv(0xa4, &name(&[(CN, "x")])),
        tlv(12, b"mail"),
        sequence(&[]),
        crl::entry(&[0x41; 17], now(), &[]),
        crl::entry(&[0x45; 17], now(), &[]),
    ]
}

/// Accepts and judges, and says how many were accepted.
fn judged<T>(
    mutants: &[Vec<u8>],
    check: impl Fn(&[u8]) -> Option<T>,
    judge: impl Fn(&[u8], T),
) -> usize {
    let mut accepted = 0;
    for mutant in mutants {
        if let Some(value) = check(mutant) {
            judge(mutant, value);
            accepted += 1;
        }
    }
    assert!(mutants.len() >= size());
    accepted
}

#[test]
fn whatever_leaf_is_accepted_is_a_leaf_of_the_form_to_openssl() {
    let service = &*SERVICE;
    let base = server().der();
    let wanted = extensions(&X509::from_der(&service.sign(&base)).unwrap());
    let mutants = mutants(&base, &foreign(), size());
    let accepted = judged(
        &mutants,
        |der| service.check(der).ok(),
        |der, leaf| judge_leaf(der, &leaf, &wanted),
    );
    // A subject, a serial number, a time or a name of the form with another letter is still one of the form.
    assert!(accepted > 0 && accepted < mutants.len() / 4, "{accepted}");
}

/// Names of the extensions with OpenSSL's text of their values.
fn extensions(certificate: &X509) -> BTreeSet<(String, String)> {
    let text = String::from_utf8(certificate.to_text().unwrap()).unwrap();
    let (_, list) = text.split_once("X509v3 extensions:\n").unwrap_or_default();
    let (list, _) = list.split_once("    Signature Algorithm").unwrap();
    let mut extensions = Vec::new();
    for line in list.lines() {
        let indent = line.len() - line.trim_start().len();
        if indent == 12 {
            extensions.push((line.trim().to_owned(), String::new()));
        } else if let Some((_, value)) = extensions.last_mut() {
            value.push_str(line.trim());
        }
    }
    let count = extensions.len();
    let extensions: BTreeSet<_> = extensions.into_iter().collect();
    assert_eq!(extensions.len(), count, "{text}");
    extensions
}

fn judge_leaf(der: &[u8], leaf: &Leaf, wanted: &BTreeSet<(String, String)>) {
    let service = &*SERVICE;
    let again = x509_cert::TbsCertificate::from_der(der).unwrap();
    assert_eq!(again.to_der().unwrap(), der);
    let certificate = X509::from_der(&service.sign(der)).unwrap();
    assert_eq!(certificate.version(), 2);
    let serial = certificate.serial_number().to_bn().unwrap();
    assert!(!serial.is_negative() && (64..=159).contains(&serial.num_bits()));
    let ca = X509::from_der(&service.ca.certificate).unwrap();
    let same = |a: &openssl::x509::X509NameRef, b: &openssl::x509::X509NameRef| {
        a.try_cmp(b).unwrap() == std::cmp::Ordering::Equal
    };
    assert!(same(certificate.issuer_name(), ca.subject_name()));
    let key = certificate.public_key().unwrap();
    for own in [&service.ca, &service.next, &service.ra, &service.responder] {
        let own = X509::from_der(&own.certificate).unwrap();
        assert!(!same(certificate.subject_name(), own.subject_name()));
        assert!(!own.public_key().unwrap().public_eq(&key));
    }
    let unix = |at: Timestamp| Asn1Time::from_unix(at.seconds()).unwrap();
    assert!(*certificate.not_before() == unix(leaf.not_before));
    assert!(*certificate.not_after() == unix(leaf.not_after));
    assert!(*certificate.not_after() <= unix(now() + DAY * 90 + assay_shape::CLOCK_TOLERANCE));
    assert!(key.ec_key().is_ok_and(|key| key.check_key().is_ok()) || key.rsa().is_ok());
    // Names, key identifier and whether names are critical may differ; basicConstraints may be absent.
    for (name, value) in &extensions(&certificate) {
        if name.contains("Subject Alternative Name") {
            for name in value.split(", ") {
                // A DNS name with a letter in another case is the same name (RFC 1034 section 3.1).
                let host = name.strip_prefix("DNS:").map(str::to_ascii_lowercase);
                let is_within = host
                    .is_some_and(|host| host == "example.com" || host.ends_with(".example.com"));
                assert!(is_within || name.starts_with("IP Address:"), "{name}");
            }
        } else if name.contains("Subject Key Identifier") {
            let bits = again
                .subject_public_key_info()
                .subject_public_key
                .raw_bytes();
            let id = certificate.subject_key_id().unwrap();
            assert_eq!(id.as_slice(), openssl::sha::sha1(bits));
        } else {
            assert!(
                wanted.contains(&(name.clone(), value.clone())),
                "{name} {value}"
            );
        }
    }
    assert!(verifies(&certificate, X509PurposeId::SSL_SERVER));
    for other in [
        X509PurposeId::SSL_CLIENT,
        X509PurposeId::SMIME_SIGN,
        X509PurposeId::CRL_SIGN,
    ] {
        assert!(!verifies(&certificate, other));
    }
}

/// Whether OpenSSL finds a path from the CA for this purpose.
fn verifies(certificate: &X509, purpose: X509PurposeId) -> bool {
    let mut store = X509StoreBuilder::new().unwrap();
    let ca = X509::from_der(&SERVICE.ca.certificate).unwrap();
    store.add_cert(ca).unwrap();
    store.set_purpose(purpose).unwrap();
    let mut parameters = X509VerifyParam::new().unwrap();
    parameters.set_time(now().seconds() + 300);
    store.set_param(&parameters).unwrap();
    let mut context = X509StoreContext::new().unwrap();
    let none = Stack::new().unwrap();
    let verify = |context: &mut openssl::x509::X509StoreContextRef| context.verify_cert();
    context
        .init(&store.build(), certificate, &none, verify)
        .unwrap()
}

#[test]
fn whatever_crl_is_accepted_is_the_same_list_to_openssl() {
    let mutants = mutants(&crl::list().der(), &foreign(), size());
    let accepted = judged(
        &mutants,
        |der| crl::check(der).ok(),
        |der, crl| {
            let again =
                x509_cert::crl::TbsCertList::<x509_cert::certificate::Rfc5280>::from_der(der);
            assert_eq!(again.unwrap().to_der().unwrap(), der);
            let list = X509Crl::from_der(&SERVICE.sign(der)).unwrap();
            let ca = X509::from_der(&SERVICE.ca.certificate).unwrap();
            assert!(list.verify(&ca.public_key().unwrap()).unwrap());
            let cmp = list.issuer_name().try_cmp(ca.subject_name()).unwrap();
            assert_eq!(cmp, std::cmp::Ordering::Equal);
            let unix = |at: Timestamp| Asn1Time::from_unix(at.seconds()).unwrap();
            assert!(*list.last_update() == unix(crl.this_update));
            assert!(*list.next_update().unwrap() == unix(crl.next_update));
            assert!(crl.this_update.abs_diff(now()) <= assay_shape::CLOCK_TOLERANCE);
            let revoked: Vec<_> = list.get_revoked().into_iter().flatten().collect();
            assert_eq!(revoked.len(), crl.entries.len());
            for (theirs, ours) in revoked.iter().zip(&crl.entries) {
                let serial = theirs.serial_number().to_bn().unwrap().to_vec();
                let zeros = ours
                    .serial
                    .as_bytes()
                    .iter()
                    .take_while(|octet| **octet == 0);
                assert_eq!(serial, ours.serial.as_bytes()[zeros.count()..]);
                assert!(*theirs.revocation_date() == unix(ours.revoked_at));
                let reason = theirs.extension::<ReasonCode>().unwrap();
                let code = reason.map_or(0, |(critical, code)| {
                    assert!(!critical);
                    code.get_i64().unwrap()
                });
                assert_eq!(code, i64::from(ours.reason.code()));
                assert_ne!(code, 8);
            }
        },
    );
    assert!(accepted > 0 && accepted < mutants.len() / 4, "{accepted}");
}

#[test]
fn whatever_status_is_accepted_is_the_same_status_to_openssl() {
    let responder = ocsp::responder();
    let service = &*SERVICE;
    let mut data = ocsp::data();
    data.status = assay_ocsp::Status::Revoked {
        at: now(),
        reason: Some(assay_ocsp::CrlReason::KeyCompromise),
    };
    let mut accepted = 0;
    for base in [ocsp::data(), data] {
        let mutants = mutants(&base.to_der().unwrap(), &foreign(), size() / 2);
        accepted += judged_by(&mutants, |der| {
            let Ok(response) = responder.check(der, now()) else {
                return false;
            };
            let signature = {
                let key = &service.responder.key;
                let digest = openssl::hash::MessageDigest::sha256();
                let mut signer = openssl::sign::Signer::new(digest, key).unwrap();
                signer.sign_oneshot_to_vec(der).unwrap()
            };
            let basic = sequence(&[der, ALGORITHM, &tlv(3, &[&[0], &signature[..]].concat())]);
            let bytes = sequence(&[&oid("1.3.6.1.5.5.7.48.1.1"), &tlv(4, &basic)]);
            let whole = sequence(&[&[10, 1, 0], &tlv(0xa0, &bytes)]);
            let basic = OcspResponse::from_der(&whole).unwrap().basic().unwrap();
            // A certificate of that serial number, of which OpenSSL makes the CertID.
            let mut parts = server();
            parts.serial = tlv(2, response.serial.as_bytes());
            let subject = X509::from_der(&service.sign(&parts.der())).unwrap();
            let ca = X509::from_der(&service.ca.certificate).unwrap();
            let id = OcspCertId::from_cert(openssl::hash::MessageDigest::sha1(), &subject, &ca);
            let found = id.unwrap();
            let found = basic.find_status(&found).unwrap();
            let is_good = found.status == OcspCertStatus::GOOD;
            assert_eq!(is_good, response.status == Status::Good);
            if let Status::Revoked { reason, .. } = response.status {
                assert_eq!(found.status, OcspCertStatus::REVOKED);
                let code = found.reason.as_raw().max(0);
                assert_eq!(code, i32::from(reason.code()));
            }
            true
        });
    }
    assert!(accepted > 0, "{accepted}");
}

fn judged_by(mutants: &[Vec<u8>], judge: impl Fn(&[u8]) -> bool) -> usize {
    mutants.iter().filter(|mutant| judge(mutant)).count()
}

#[tokio::test]
async fn whatever_reply_is_accepted_verifies_with_openssl_over_an_envelope() {
    let (content, attributes) = reply::sent(&reply::success(), Digest::Sha256).await;
    let scep = vec![
        oid(reply::PKI_STATUS),
        oid(reply::MESSAGE_TYPE),
        tlv(0x13, b"2"),
        tlv(0x13, b"19"),
        tlv(4, &[1; 16]),
        sequence(&[&oid("1.2.840.113549.1.9.5"), &tlv(0x31, &time(now()))]),
    ];
    let accepted = judged(
        &mutants(&attributes, &scep, size()),
        |der| CertRep::check(&content, der, Digest::Sha256).ok(),
        |der, reply| {
            assert_eq!(reply.signed_attributes, der);
            assert_eq!(verified(der, &content), content);
        },
    );
    assert!(accepted > 0, "{accepted}");
    // The content, under attributes that are made for it.
    let accepted = judged(
        &mutants(&content, &foreign(), size()),
        |mutant| {
            let attributes = digested(&attributes, &content, mutant);
            let reply = CertRep::check(mutant, &attributes, Digest::Sha256).ok();
            reply.map(|_| attributes)
        },
        |mutant, attributes| {
            // Nobody can open an envelope with a broken recipient, but nothing else than an envelope is accepted.
            if let Ok(info) = Pkcs7::from_der(mutant) {
                assert_eq!(info.type_().unwrap().nid(), Nid::PKCS7_ENVELOPED);
            }
            assert!(X509::from_der(mutant).is_err() && X509Crl::from_der(mutant).is_err());
            assert_eq!(verified(&attributes, mutant), mutant);
        },
    );
    assert!(accepted > 0, "{accepted}");
}

/// The attributes with the digest of another content: of one length, so that the order may change with it.
fn digested(attributes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let (from, to) = (openssl::sha::sha256(from), openssl::sha::sha256(to));
    let at = attributes
        .windows(32)
        .position(|window| window == from)
        .unwrap();
    [&attributes[..at], &to, &attributes[at + 32..]].concat()
}

/// The content that OpenSSL finds to be signed in a SignedData with these attributes.
fn verified(attributes: &[u8], content: &[u8]) -> Vec<u8> {
    let service = &*SERVICE;
    let ra = X509::from_der(&service.ra.certificate).unwrap();
    let mut signer =
        openssl::sign::Signer::new(openssl::hash::MessageDigest::sha256(), &service.ra.key)
            .unwrap();
    let signature = signer.sign_oneshot_to_vec(attributes).unwrap();
    let sha256 = sequence(&[&oid("2.16.840.1.101.3.4.2.1")]);
    let serial = tlv(2, &{
        let serial = ra.serial_number().to_bn().unwrap().to_vec();
        let sign: &[u8] = if serial[0] >= 0x80 { &[0] } else { &[] };
        [sign, &serial].concat()
    });
    let mut implicit = attributes.to_vec();
    implicit[0] = 0xa0;
    let issuer = ra.issuer_name().to_der().unwrap();
    let info = sequence(&[
        &[2, 1, 1],
        &sequence(&[&issuer, &serial]),
        &sha256,
        &implicit,
        ALGORITHM,
        &tlv(4, &signature),
    ]);
    let data = oid("1.2.840.113549.1.7.1");
    let encapsulated = sequence(&[&data, &tlv(0xa0, &tlv(4, content))]);
    let signed = sequence(&[
        &[2, 1, 1],
        &tlv(0x31, &sha256),
        &encapsulated,
        &tlv(0xa0, &service.ra.certificate),
        &tlv(0x31, &info),
    ]);
    let message = sequence(&[&oid("1.2.840.113549.1.7.2"), &tlv(0xa0, &signed)]);
    let mut message = CmsContentInfo::from_der(&message).unwrap();
    let mut output = Vec::new();
    let flags = openssl::cms::CMSOptions::NO_SIGNER_CERT_VERIFY | openssl::cms::CMSOptions::BINARY;
    message
        .verify(None, None, None, Some(&mut output), flags)
        .unwrap();
    output
}

#[test]
fn no_mutation_of_an_announcement_is_accepted() {
    let list = vec![SERVICE.next.certificate.clone()];
    let next = NextCa::new(std::slice::from_ref(&list)).unwrap();
    let data = oid("1.2.840.113549.1.7.1");
    let certificates = tlv(0xa0, &list.concat());
    let signed = sequence(&[
        &[2, 1, 1],
        &[0x31, 0],
        &sequence(&[&data]),
        &certificates,
        &[0x31, 0],
    ]);
    let content = sequence(&[&oid("1.2.840.113549.1.7.2"), &tlv(0xa0, &signed)]);
    let attributes = |content: &[u8]| {
        let digest = tlv(4, &openssl::sha::sha256(content));
        let kind = sequence(&[&oid("1.2.840.113549.1.9.3"), &tlv(0x31, &data)]);
        let digest = sequence(&[&oid("1.2.840.113549.1.9.4"), &tlv(0x31, &digest)]);
        tlv(0x31, &[kind, digest].concat())
    };
    assert!(next.check(&content, &attributes(&content)).is_ok());
    let of_content = mutants(&content, &foreign(), size());
    let of_attributes = mutants(&attributes(&content), &foreign(), size());
    let accepted = judged_by(&of_content, |mutant| {
        next.check(mutant, &attributes(mutant)).is_ok()
    });
    assert_eq!(accepted, 0);
    let accepted = judged_by(&of_attributes, |mutant| {
        next.check(&content, mutant).is_ok()
    });
    assert_eq!(accepted, 0);
}
