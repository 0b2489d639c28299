//! Every lint holds on a sound TBSCertificate and fails on one that was changed against it.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "test code"
)]

mod writer;

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use assay_lint::{Expectation, IssuerCertificate, LINTS, check};
use const_oid::ObjectIdentifier;
use const_oid::db::rfc5280 as oids;
use writer::{Extension, Parts, algorithm, name, rdn, sequence, tlv};

/// 2026-11-22T00:00:00Z.
const NOW: Duration = Duration::from_secs(1_795_305_600);
const ISSUER_KEY_IDENTIFIER: [u8; 20] = [7; 20];
const KEY_USAGE: u16 = 0x05;

/// A sound certificate: `O=Example, CN=device-1`, `dns:a.example.com`, RSA 2048.
fn sound() -> Parts {
    let spki = rsa_spki(&[0xc1; 256], &[1, 0, 1]);
    Parts {
        version: tlv(0xa0, &tlv(0x02, &[2])),
        serial: vec![0x5a; 17],
        signature: algorithm(),
        issuer: name(&[rdn(0x0c, "2.5.4.3", b"Example CA")]),
        not_before: tlv(0x17, b"261121230000Z"),
        not_after: tlv(0x17, b"270220000000Z"),
        subject: name(&[
            rdn(0x0c, "2.5.4.10", b"Example"),
            rdn(0x0c, "2.5.4.3", b"device-1"),
        ]),
        extra: vec![],
        extensions: vec![
            Extension::new(oids::ID_CE_BASIC_CONSTRAINTS, true, vec![0x30, 0]),
            Extension::new(oids::ID_CE_KEY_USAGE, true, vec![0x03, 2, 5, 0xa0]),
            Extension::new(
                oids::ID_CE_EXT_KEY_USAGE,
                false,
                purposes(&[oids::ID_KP_CLIENT_AUTH]),
            ),
            Extension::new(
                oids::ID_CE_SUBJECT_KEY_IDENTIFIER,
                false,
                key_identifier(&spki),
            ),
            Extension::new(
                oids::ID_CE_AUTHORITY_KEY_IDENTIFIER,
                false,
                sequence(&[tlv(0x80, &ISSUER_KEY_IDENTIFIER)]),
            ),
            Extension::new(
                oids::ID_CE_SUBJECT_ALT_NAME,
                false,
                san(&[(0x82, b"a.example.com")]),
            ),
        ],
        spki,
    }
}

fn rsa_spki(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    let modulus = [&[0], modulus].concat();
    let key = sequence(&[tlv(0x02, &modulus), tlv(0x02, exponent)]);
    let algorithm = sequence(&[writer::oid("1.2.840.113549.1.1.1"), vec![5, 0]]);
    sequence(&[algorithm, tlv(0x03, &[&[0][..], &key].concat())])
}

/// A point of 64 times the same octet is on no curve.
fn ec_spki(point: &[u8]) -> Vec<u8> {
    let algorithm = sequence(&[
        writer::oid("1.2.840.10045.2.1"),
        writer::oid("1.2.840.10045.3.1.7"),
    ]);
    sequence(&[algorithm, tlv(0x03, &[&[0][..], point].concat())])
}

/// The generator of P-256, SEC 2 section 2.4.2.
fn generator() -> Vec<u8> {
    hex::decode(
        "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296\
         4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5",
    )
    .unwrap()
}

fn key_identifier(spki: &[u8]) -> Vec<u8> {
    // The key is the tail of the SPKI: the digest is taken over what follows the BIT STRING's unused-bits octet.
    let key = openssl::pkey::PKey::public_key_from_der(spki)
        .ok()
        .and_then(|key| key.rsa().ok())
        .map(|rsa| rsa.public_key_to_der_pkcs1().unwrap());
    let key = key.unwrap_or_else(|| spki[spki.len() - 65..].to_vec());
    tlv(0x04, &openssl::sha::sha1(&key))
}

fn purposes(oids: &[ObjectIdentifier]) -> Vec<u8> {
    sequence(
        &oids
            .iter()
            .map(|oid| writer::oid(&oid.to_string()))
            .collect::<Vec<_>>(),
    )
}

fn san(names: &[(u8, &[u8])]) -> Vec<u8> {
    sequence(
        &names
            .iter()
            .map(|(tag, value)| tlv(*tag, value))
            .collect::<Vec<_>>(),
    )
}

/// Changes an extension of the sound certificate.
fn extension(parts: &mut Parts, oid: ObjectIdentifier) -> &mut Extension {
    parts
        .extensions
        .iter_mut()
        .find(|extension| extension.oid == oid)
        .unwrap()
}

fn set_san(parts: &mut Parts, names: &[(u8, &[u8])]) {
    extension(parts, oids::ID_CE_SUBJECT_ALT_NAME).value = san(names);
}

fn issuer() -> IssuerCertificate {
    let ca = Parts {
        subject: name(&[rdn(0x0c, "2.5.4.3", b"Example CA")]),
        not_before: tlv(0x17, b"260101000000Z"),
        not_after: tlv(0x17, b"360101000000Z"),
        extensions: vec![Extension::new(
            oids::ID_CE_SUBJECT_KEY_IDENTIFIER,
            false,
            tlv(0x04, &ISSUER_KEY_IDENTIFIER),
        )],
        ..sound()
    };
    let certificate = sequence(&[ca.to_der(), algorithm(), tlv(0x03, &[0, 0])]);
    IssuerCertificate::from_der(&certificate).unwrap()
}

/// Ids of the lints that fail on `parts` where `like` is what was expected.
fn failing(parts: &Parts, like: &Parts) -> BTreeSet<String> {
    let issuer = issuer();
    let extensions: Vec<(ObjectIdentifier, bool)> = sound()
        .extensions
        .iter()
        .map(|extension| (extension.oid, extension.critical))
        .collect();
    let sound_san = san(&[(0x82, b"a.example.com")]);
    let expectation = Expectation {
        issuer: &issuer,
        signature_algorithm_der: &algorithm(),
        subject_der: &sound().subject,
        spki_der: &like.spki,
        san_der: Some(&sound_san),
        extensions: &extensions,
        key_usage: KEY_USAGE,
        extended_key_usage: &[oids::ID_KP_CLIENT_AUTH],
        max_validity: Duration::from_secs(91 * 86_400),
        now: SystemTime::UNIX_EPOCH + NOW,
    };
    match check(&parts.to_der(), &expectation) {
        Ok(report) => {
            assert_eq!(report.passed.len(), LINTS.len() + 1);
            assert_eq!(report.digest, openssl::sha::sha256(&parts.to_der()));
            BTreeSet::new()
        }
        Err(findings) => findings
            .iter()
            .map(|finding| finding.id.to_string())
            .collect(),
    }
}

type Mutation = fn(&mut Parts);

/// A lint, and a change that it alone, or with others, must find.
const CASES: &[(&str, Mutation)] = &[
    ("der", |p| p.serial = vec![]),
    ("version", |p| p.version = vec![]),
    ("version", |p| p.version = tlv(0xa0, &tlv(0x02, &[1]))),
    ("serial-positive", |p| p.serial[0] = 0x80),
    ("serial-positive", |p| {
        p.serial = [&[0][..], &[0x5a; 17]].concat();
    }),
    ("serial-length", |p| p.serial = vec![0x5a; 21]),
    ("serial-entropy", |p| p.serial = vec![0x5a; 8]),
    ("signature-algorithm", |p| {
        p.signature = sequence(&[writer::oid("1.2.840.113549.1.1.5"), vec![5, 0]]);
    }),
    ("issuer-name", |p| {
        p.issuer = name(&[rdn(0x13, "2.5.4.3", b"Example CA")]);
    }),
    ("validity-encoding", |p| {
        p.not_after = tlv(0x18, b"20270220000000Z");
    }),
    ("validity-encoding", |p| {
        p.not_after = tlv(0x17, b"2702200000Z");
    }),
    ("validity-encoding", |p| {
        p.not_after = tlv(0x17, b"270220000000+0000");
    }),
    ("validity-order", |p| p.not_after = p.not_before.clone()),
    ("validity-now", |p| {
        p.not_before = tlv(0x17, b"261122000001Z");
    }),
    ("validity-now", |p| {
        p.not_after = tlv(0x17, b"261122000000Z");
    }),
    ("validity-nested", |p| {
        p.not_before = tlv(0x17, b"251231235959Z");
    }),
    ("validity-nested", |p| {
        p.not_after = tlv(0x17, b"360101000001Z");
    }),
    ("validity-length", |p| {
        p.not_after = tlv(0x17, b"270221000000Z");
    }),
    ("subject-expected", |p| {
        p.subject = name(&[rdn(0x0c, "2.5.4.3", b"device-1")]);
    }),
    ("subject-present", |p| p.subject = name(&[])),
    ("subject-strings", |p| {
        p.subject = name(&[rdn(0x14, "2.5.4.3", b"device-1")]);
    }),
    ("subject-strings", |p| {
        p.subject = name(&[rdn(0x0c, "2.5.4.3", b"device-1\0")]);
    }),
    ("subject-strings", |p| {
        p.subject = name(&[rdn(0x13, "2.5.4.3", b"device_1")]);
    }),
    ("subject-strings", |p| {
        p.subject = name(&[rdn(0x0c, "2.5.4.6", b"DE")]);
    }),
    ("subject-duplicates", |p| {
        p.subject = name(&[rdn(0x0c, "2.5.4.3", b"a"), rdn(0x0c, "2.5.4.3", b"a")]);
    }),
    ("key-expected", |p| {
        p.spki = rsa_spki(&[0xc3; 256], &[1, 0, 1]);
    }),
    ("key-strength", |p| {
        p.spki = rsa_spki(&[0xc1; 255], &[1, 0, 1]);
    }),
    ("key-strength", |p| p.spki = rsa_spki(&[0xc1; 256], &[3])),
    ("key-strength", |p| {
        p.spki = rsa_spki(&[0xc1; 256], &[0, 0xff, 0xff]);
    }),
    ("key-strength", |p| {
        p.spki = rsa_spki(&[0xc0; 256], &[1, 0, 1]);
    }),
    ("key-strength", |p| p.spki = ec_spki(&[4; 65])),
    ("unique-identifiers", |p| p.extra = tlv(0x81, &[0, 1])),
    ("extension-duplicates", |p| {
        let again = p.extensions[1].clone();
        p.extensions.push(again);
    }),
    ("extension-set", |p| {
        p.extensions.pop();
    }),
    ("extension-set", |p| {
        p.extensions.push(Extension::new(
            oids::ID_CE_CERTIFICATE_POLICIES,
            false,
            vec![0x30, 0],
        ));
    }),
    ("extension-criticality", |p| {
        extension(p, oids::ID_CE_KEY_USAGE).critical = false;
    }),
    ("extension-criticality", |p| {
        extension(p, oids::ID_CE_SUBJECT_KEY_IDENTIFIER).critical = true;
    }),
    ("extension-criticality", |p| {
        extension(p, oids::ID_CE_SUBJECT_ALT_NAME).critical = true;
    }),
    ("basic-constraints", |p| {
        extension(p, oids::ID_CE_BASIC_CONSTRAINTS).value = sequence(&[vec![1, 1, 0xff]]);
    }),
    ("key-usage", |p| {
        extension(p, oids::ID_CE_KEY_USAGE).value = vec![0x03, 2, 5, 0x80];
    }),
    ("key-usage", |p| {
        extension(p, oids::ID_CE_KEY_USAGE).value = vec![0x03, 2, 2, 0xa4];
    }),
    ("extended-key-usage", |p| {
        extension(p, oids::ID_CE_EXT_KEY_USAGE).value = purposes(&[oids::ID_KP_SERVER_AUTH]);
    }),
    ("extended-key-usage", |p| {
        extension(p, oids::ID_CE_EXT_KEY_USAGE).value = purposes(&[oids::ANY_EXTENDED_KEY_USAGE]);
    }),
    ("usage-consistency", |p| {
        extension(p, oids::ID_CE_KEY_USAGE).value = vec![0x03, 2, 3, 0x88];
    }),
    ("usage-consistency", |p| {
        extension(p, oids::ID_CE_KEY_USAGE).value = vec![0x03, 2, 5, 0x20];
    }),
    ("usage-consistency", |p| p.spki = ec_spki(&generator())),
    ("subject-key-identifier", |p| {
        extension(p, oids::ID_CE_SUBJECT_KEY_IDENTIFIER).value = tlv(0x04, &[7; 20]);
    }),
    ("authority-key-identifier", |p| {
        extension(p, oids::ID_CE_AUTHORITY_KEY_IDENTIFIER).value = sequence(&[tlv(0x80, &[8; 20])]);
    }),
    ("authority-key-identifier", |p| {
        let fields = [tlv(0x80, &ISSUER_KEY_IDENTIFIER), tlv(0x82, &[1])];
        extension(p, oids::ID_CE_AUTHORITY_KEY_IDENTIFIER).value = sequence(&fields);
    }),
    ("san-expected", |p| set_san(p, &[(0x82, b"b.example.com")])),
    ("san-forms", |p| set_san(p, &[])),
    ("san-forms", |p| set_san(p, &[(0x82, b"A.example.com")])),
    ("san-forms", |p| set_san(p, &[(0x82, b"a.example.com.")])),
    ("san-forms", |p| set_san(p, &[(0x82, b"a..example.com")])),
    ("san-forms", |p| set_san(p, &[(0x81, b"nobody")])),
    ("san-forms", |p| set_san(p, &[(0x86, b"no-scheme")])),
    ("san-forms", |p| set_san(p, &[(0x87, &[192, 0, 2])])),
    ("san-forms", |p| set_san(p, &[(0xa4, &[0x30, 0])])),
    ("san-duplicates", |p| {
        set_san(p, &[(0x82, b"a.example.com"), (0x82, b"a.example.com")]);
    }),
];

#[test]
fn a_sound_certificate_passes_every_lint() {
    assert_eq!(failing(&sound(), &sound()), BTreeSet::new());
}

#[test]
fn each_lint_finds_what_was_changed_against_it() {
    for (index, (lint, mutate)) in CASES.iter().enumerate() {
        let mut parts = sound();
        mutate(&mut parts);
        // A changed key is expected by the profile unless the case is about that.
        let like = if *lint == "key-expected" {
            sound()
        } else {
            Parts {
                spki: parts.spki.clone(),
                ..sound()
            }
        };
        let found = failing(&parts, &like);
        assert!(
            found.contains(*lint),
            "case {index}: {lint} is not among {found:?}"
        );
    }
}

#[test]
fn every_lint_has_a_case_that_it_finds() {
    let ids: BTreeSet<&str> = LINTS
        .iter()
        .map(|lint| lint.id.as_str())
        .chain(["der"])
        .collect();
    assert_eq!(ids.len(), LINTS.len() + 1, "an id occurs twice");
    assert_eq!(ids, CASES.iter().map(|(lint, _)| *lint).collect());
}

#[test]
fn no_prefix_and_no_extension_of_the_bytes_passes() {
    let issuer = issuer();
    let der = sound().to_der();
    let subject = sound().subject;
    let spki = sound().spki;
    let expectation = Expectation {
        issuer: &issuer,
        signature_algorithm_der: &algorithm(),
        subject_der: &subject,
        spki_der: &spki,
        san_der: None,
        extensions: &[],
        key_usage: KEY_USAGE,
        extended_key_usage: &[],
        max_validity: Duration::ZERO,
        now: SystemTime::UNIX_EPOCH,
    };
    for end in 0..der.len() {
        let findings = check(&der[..end], &expectation).unwrap_err();
        assert_eq!(findings[0].id.as_str(), "der", "prefix of {end} octets");
    }
    let longer = [der, vec![0]].concat();
    assert_eq!(
        check(&longer, &expectation).unwrap_err()[0].id.as_str(),
        "der"
    );
}
