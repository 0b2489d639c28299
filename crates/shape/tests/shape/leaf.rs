use std::time::Duration;

use assay_shape::{KeyFault, LeafRefusal, MAX_TBS, Misfit, NameFault, SanFault, SanKind};
use assay_types::Timestamp;
use const_oid::ObjectIdentifier;
use openssl::pkey::PKey;
use openssl::rsa::Rsa;
use openssl::x509::X509;

use crate::support::*;

fn refused(change: impl FnOnce(&mut Parts)) -> LeafRefusal {
    let mut parts = server();
    change(&mut parts);
    SERVICE.check(&parts.der()).unwrap_err()
}

/// The misfit of the form `server`.
fn misfit(change: impl FnOnce(&mut Parts)) -> Misfit {
    match refused(change) {
        LeafRefusal::NoForm(misfits) => {
            assert_eq!(misfits[0].0, "server");
            misfits[0].1.clone()
        }
        other => panic!("{other}"),
    }
}

fn oid_of(text: &str) -> ObjectIdentifier {
    ObjectIdentifier::new_unwrap(text)
}

#[test]
fn a_certificate_of_a_form_is_accepted_and_described() {
    let parts = server();
    let leaf = SERVICE.check(&parts.der()).unwrap();
    assert_eq!(leaf.serial.as_bytes(), [0x5a; 17]);
    assert_eq!(leaf.form, "server");
    assert_eq!(leaf.not_before, now() - Duration::from_secs(300));
    assert_eq!(leaf.not_after, now() + DAY * 90);
    assert_eq!(leaf.spki_digest, assay_types::Hash::of(&parts.spki));
    assert_eq!(leaf.digest, assay_types::Hash::of(&parts.der()));

    // basicConstraints may be left out (RFC 5280 section 4.2.1.9).
    let mut without = server();
    without.remove(BC);
    assert!(SERVICE.check(&without.der()).is_ok());
    // An empty subject beside critical names.
    let mut nameless = server();
    nameless.subject = sequence(&[]);
    nameless.extension(SAN).critical = true;
    assert!(SERVICE.check(&nameless.der()).is_ok());
    let names: [&[u8]; 4] = [
        &tlv(0x81, b"u@example.com"),
        &other_name("1.3.6.1.4.1.311.20.2.3", &tlv(12, b"u@example.com")),
        &tlv(0x86, b"https://example.com/u"),
        &other_name("1.2.3.4", &sequence(&[&tlv(2, &[1])])),
    ];
    assert_eq!(SERVICE.check(&user(&names).der()).unwrap().form, "user");
}

fn other_name(kind: &str, value: &[u8]) -> Vec<u8> {
    tlv(0xa0, &[oid(kind), tlv(0xa0, value)].concat())
}

/// What a hostile signer once obtained, each by its name.
#[test]
fn every_certificate_that_a_hostile_signer_once_obtained_is_refused() {
    let service = &*SERVICE;
    // Self-issued, so that it does not count against pathlen:0.
    let ca = refused(|parts| {
        parts.subject.clone_from(&parts.issuer);
        parts.extension(BC).value = sequence(&[&[1, 1, 0xff]]);
        parts.extension(KU).value = vec![3, 2, 1, 6];
    });
    assert_eq!(ca, LeafRefusal::ReservedName);
    let ca = refused(|parts| parts.extension(BC).value = sequence(&[&[1, 1, 0xff]]));
    assert_eq!(ca, LeafRefusal::BasicConstraints);
    for usage in [[3, 2, 2, 0x04], [3, 2, 1, 0x02], [3, 2, 1, 0x82]] {
        let ca = refused(|parts| parts.extension(KU).value = usage.to_vec());
        assert_eq!(ca, LeafRefusal::CaUsage);
    }
    let responder = refused(|parts| {
        parts.extension(EKU).value = sequence(&[&oid("1.3.6.1.5.5.7.3.9")]);
    });
    assert_eq!(responder, LeafRefusal::Responder);
    let beside = refused(|parts| {
        parts.extension(EKU).value =
            sequence(&[&oid("1.3.6.1.5.5.7.3.1"), &oid("1.3.6.1.5.5.7.3.9")]);
    });
    assert_eq!(beside, LeafRefusal::Responder);
    let cas_name = refused(|parts| parts.subject.clone_from(&parts.issuer));
    assert_eq!(cas_name, LeafRefusal::ReservedName);
    let no_usage = refused(|parts| parts.remove(KU));
    assert_eq!(no_usage, LeafRefusal::MissingExtension(oid_of(KU)));
    let nothing = refused(|parts| {
        parts.remove(KU);
        parts.remove(BC);
    });
    assert_eq!(nothing, LeafRefusal::MissingExtension(oid_of(KU)));
    for (unlisted, value) in [
        // nsCertType: SSL CA.
        ("2.16.840.1.113730.1.1", vec![3, 2, 2, 4]),
        // proxyCertInfo.
        (
            "1.3.6.1.5.5.7.1.14",
            sequence(&[&sequence(&[&oid("1.3.6.1.5.5.7.21.1")])]),
        ),
        // Name constraints, policy mappings, inhibitAnyPolicy, ocsp-nocheck, Microsoft's SID and template, precert poison.
        ("2.5.29.30", sequence(&[])),
        ("2.5.29.33", sequence(&[])),
        ("2.5.29.54", vec![2, 1, 0]),
        ("1.3.6.1.5.5.7.48.1.5", vec![5, 0]),
        ("1.3.6.1.4.1.311.25.2", sequence(&[])),
        ("1.3.6.1.4.1.311.20.2", vec![0x1e, 0]),
        ("1.3.6.1.4.1.11129.2.4.3", vec![5, 0]),
    ] {
        let refusal = refused(|parts| parts.extensions.push(extension(unlisted, false, value)));
        assert_eq!(refusal, LeafRefusal::UnlistedExtension(oid_of(unlisted)));
    }
    let any = refused(|parts| parts.extension(EKU).value = sequence(&[&oid("2.5.29.37.0")]));
    assert_eq!(any, LeafRefusal::AnyPurpose);
    let century = misfit(|parts| parts.not_after = time(now() + DAY * 3_640));
    assert_eq!(century, Misfit::LifetimeMax(DAY * 90));
    // 9999-12-31 means that there is no end (RFC 5280 section 4.1.2.5).
    let century = refused(|parts| parts.not_after = tlv(0x18, b"99991231235959Z"));
    assert_eq!(century, LeafRefusal::OutsideIssuer);
    let cas_key = refused(|parts| parts.set_key(&service.ca.key.public_key_to_der().unwrap()));
    assert_eq!(cas_key, LeafRefusal::ReservedKey);
}

#[test]
fn a_certificate_fits_one_form_entirely_or_none() {
    // The purposes of `user` with the lifetime, URLs and names of `server`.
    let refusal = refused(|parts| {
        let purposes = [oid("1.3.6.1.5.5.7.3.2"), oid("1.3.6.1.5.5.7.3.4")];
        parts.extension(EKU).value = tlv(0x30, &purposes.concat());
    });
    let misfits = vec![
        ("server".to_owned(), Misfit::ExtendedKeyUsage),
        ("user".to_owned(), Misfit::SanType(SanKind::Dns)),
    ];
    assert_eq!(refusal, LeafRefusal::NoForm(misfits));
    assert_eq!(
        refusal.to_string(),
        "it fits no form of the HSM service's configuration: form `server`: extendedKeyUsage is not exactly the set of \
         the form; form `user`: a subject alternative name is of type dns, which is not in sans"
    );
    // The purposes of both.
    let purposes = [
        "1.3.6.1.5.5.7.3.1",
        "1.3.6.1.5.5.7.3.2",
        "1.3.6.1.5.5.7.3.4",
    ]
    .map(oid);
    let both = misfit(|parts| parts.extension(EKU).value = tlv(0x30, &purposes.concat()));
    assert_eq!(both, Misfit::ExtendedKeyUsage);
    let one_of_two = {
        let mut parts = user(&[&tlv(0x81, b"u@example.com")]);
        parts.extension(EKU).value = sequence(&[&oid("1.3.6.1.5.5.7.3.2")]);
        SERVICE.check(&parts.der()).unwrap_err()
    };
    assert!(matches!(one_of_two, LeafRefusal::NoForm(_)));
    let usage = misfit(|parts| parts.extension(KU).value = vec![3, 2, 5, 0xa0]);
    assert_eq!(usage, Misfit::KeyUsage);
    let long = misfit(|parts| parts.not_after = time(now() + DAY * 91));
    assert_eq!(long, Misfit::LifetimeMax(DAY * 90));
    let long = misfit(|parts| {
        parts.not_before = time(now() - Duration::from_secs(7_000));
        parts.not_after = time(now() + DAY * 90);
    });
    assert_eq!(long, Misfit::LifetimeMax(DAY * 90));
    let short = misfit(|parts| parts.not_after = time(now() + Duration::from_secs(3_600)));
    assert_eq!(short, Misfit::LifetimeMin(DAY));
    let early = misfit(|parts| parts.not_before = time(now() - Duration::from_secs(7_201)));
    assert_eq!(early, Misfit::LifetimeMax(DAY * 90));
    let early = misfit(|parts| {
        parts.not_before = time(now() - Duration::from_secs(7_201));
        parts.not_after = time(now() + DAY * 80);
    });
    assert_eq!(early, Misfit::Backdate(Duration::from_secs(3_600)));
    let mut late_intent = server();
    late_intent.not_before = time(now() - Duration::from_secs(7_200));
    late_intent.not_after = time(now() + DAY * 89);
    assert!(SERVICE.check(&late_intent.der()).is_ok());
    let rsa = PKey::from_rsa(Rsa::generate(2_048).unwrap()).unwrap();
    let key = misfit(|parts| parts.set_key(&rsa.public_key_to_der().unwrap()));
    assert_eq!(key, Misfit::Key("of RSA with 2048 bits".to_owned()));
    for (list, wanted) in [
        (CDP, Misfit::CrlDistributionPoints),
        (AIA, Misfit::AuthorityInfoAccess),
        (POLICIES, Misfit::CertificatePolicies),
    ] {
        assert_eq!(misfit(|parts| parts.remove(list)), wanted);
        let other = misfit(|parts| {
            let value = &mut parts.extension(list).value;
            let last = value.len() - 1;
            value[last] ^= 1;
        });
        assert_eq!(other, wanted);
        // A form that lists none has none.
        let mut parts = user(&[&tlv(0x81, b"u@example.com")]);
        let extra = server().extension(list).clone();
        parts.extensions.push(extra);
        let refusal = SERVICE.check(&parts.der()).unwrap_err();
        assert!(matches!(refusal, LeafRefusal::NoForm(misfits) if misfits[1].1 == wanted));
    }
}

#[test]
fn a_certificate_may_be_short_where_its_issuer_ends() {
    let end = now() + DAY * 3_650;
    let rules = SERVICE.rules();
    let at = end - Duration::from_secs(3_600);
    let mut parts = server();
    parts.not_before = time(at - Duration::from_secs(60));
    parts.not_after = time(end);
    assert!(assay_shape::Leaf::check(&parts.der(), rules, at).is_ok());
    parts.not_after = time(end - Duration::from_secs(1));
    assert!(assay_shape::Leaf::check(&parts.der(), rules, at).is_err());
}

#[test]
fn names_outside_the_form_are_refused() {
    for (name, wanted) in [
        (dns("www.example.org"), Misfit::Subtree(SanKind::Dns)),
        (dns("badexample.com"), Misfit::Subtree(SanKind::Dns)),
        (dns("*.com"), Misfit::Subtree(SanKind::Dns)),
        (tlv(0x81, b"u@example.com"), Misfit::SanType(SanKind::Email)),
        (
            tlv(0x86, b"tag:microsoft.com,2022-09-14:sid:S-1-5-21-1-2-3-500"),
            Misfit::SanType(SanKind::MicrosoftSid),
        ),
        (
            other_name(
                "1.3.6.1.4.1.311.20.2.3",
                &tlv(12, b"administrator@example.com"),
            ),
            Misfit::SanType(SanKind::Upn),
        ),
    ] {
        let both = sequence(&[&dns("www.example.com"), &name]);
        assert_eq!(misfit(|parts| parts.extension(SAN).value = both), wanted);
    }
    // `uri` does not allow a security identifier, in whatever spelling, and `other` no user principal name.
    for (name, wanted) in [
        (
            tlv(0x86, b"tag:microsoft.com,2022-09-14:sid:S-1-5-21-1-2-3-500"),
            Misfit::SanType(SanKind::MicrosoftSid),
        ),
        (
            tlv(0x86, b"https://example.org/"),
            Misfit::Subtree(SanKind::Uri),
        ),
        (
            tlv(0x86, b"https://example.com@example.org/"),
            Misfit::Subtree(SanKind::Uri),
        ),
        (tlv(0x86, b"urn:example.com"), Misfit::Subtree(SanKind::Uri)),
        (
            other_name("1.3.6.1.4.1.311.20.2.3", &tlv(12, b"u@example.org")),
            Misfit::Subtree(SanKind::Upn),
        ),
        (
            other_name("1.3.6.1.5.2.2", &sequence(&[])),
            Misfit::Subtree(SanKind::Other),
        ),
        (tlv(0x87, &[192, 0, 2, 1]), Misfit::SanType(SanKind::Ip)),
    ] {
        match SERVICE.check(&user(&[&name]).der()).unwrap_err() {
            LeafRefusal::NoForm(misfits) => assert_eq!(misfits[1].1, wanted, "{name:02x?}"),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn names_of_types_that_no_form_has_and_malformed_ones_are_refused() {
    let directory = tlv(0xa4, &name(&[(CN, "x")]));
    let with = |names: &[&[u8]]| {
        let value = sequence(names);
        match refused(|parts| parts.extension(SAN).value = value) {
            LeafRefusal::SubjectAltName(fault) => fault,
            other => panic!("{other}"),
        }
    };
    assert_eq!(with(&[&directory]), SanFault::Type("directoryName"));
    assert_eq!(
        with(&[&tlv(0x88, &[0x2a, 3])]),
        SanFault::Type("registeredID")
    );
    let www = dns("www.example.com");
    assert_eq!(with(&[&www, &www]), SanFault::Repeated(SanKind::Dns));
    for (kind, one, other) in [
        (SanKind::Dns, www, dns("WWW.Example.com")),
        (
            SanKind::Email,
            tlv(0x81, b"jo@example.com"),
            tlv(0x81, b"jo@EXAMPLE.com"),
        ),
        (SanKind::Uri, tlv(0x86, b"urn:a"), tlv(0x86, b"URN:a")),
    ] {
        assert_eq!(with(&[&one, &other]), SanFault::Repeated(kind));
    }
    assert_eq!(with(&[]), SanFault::Count(0));
    let many: Vec<Vec<u8>> = (0..1_001)
        .map(|number| dns(&format!("h{number}.example.com")))
        .collect();
    let many: Vec<&[u8]> = many.iter().map(Vec::as_slice).collect();
    assert_eq!(with(&many), SanFault::Count(1_001));
    assert_eq!(with(&[&tlv(0x82, &[0xff])]), SanFault::Encoding);
    for (kind, name) in [
        (SanKind::Dns, dns("www_1.example.com")),
        (SanKind::Dns, dns("www.example.com.")),
        (SanKind::Dns, dns("www.example.com\0.example.org")),
        (SanKind::Dns, dns("a b.example.com")),
        (SanKind::Dns, dns("192.0.2.1")),
        (SanKind::Dns, dns("")),
        (SanKind::Ip, tlv(0x87, &[192, 0, 2])),
        (SanKind::Ip, tlv(0x87, &[192, 0, 2, 0, 255, 255, 255, 0])),
        (SanKind::Email, tlv(0x81, b"example.com")),
        (SanKind::Email, tlv(0x81, b"a@b@example.com")),
        (SanKind::Uri, tlv(0x86, b"example.com")),
        (SanKind::Uri, tlv(0x86, b"https://example.com/ ")),
        (
            SanKind::MicrosoftSid,
            tlv(0x86, b"tag:microsoft.com,2099-09-14:sid:S-1-5-21-1"),
        ),
        (
            SanKind::MicrosoftSid,
            tlv(0x86, b"tag:MICROSOFT.com,2022-09-14:sid:S-1-5-21-1"),
        ),
        (
            SanKind::Upn,
            other_name("1.3.6.1.4.1.311.20.2.3", &tlv(12, b"user")),
        ),
        (
            SanKind::Upn,
            other_name("1.3.6.1.4.1.311.20.2.3", &tlv(22, b"u@example.com")),
        ),
        (
            SanKind::Other,
            other_name("1.2.3.4", &tlv(0x30, &[2, 5, 1])),
        ),
    ] {
        assert_eq!(with(&[&name]), SanFault::Malformed(kind), "{name:02x?}");
    }
}

#[test]
fn each_field_is_held_to_its_rule() {
    let cases: [(LeafRefusal, Change<Parts>); 21] = [
        (LeafRefusal::Version, |parts| {
            parts.version = b"\xa0\x03\x02\x01\x01".to_vec();
        }),
        (LeafRefusal::Version, |parts| parts.version.clear()),
        // 63 and 160 bits, negative, zero.
        (LeafRefusal::Serial, |parts| {
            parts.serial = tlv(2, &[0x7f; 8]);
        }),
        (LeafRefusal::Serial, |parts| {
            parts.serial = tlv(2, &[&[0][..], &[0xff; 20]].concat());
        }),
        (LeafRefusal::Serial, |parts| {
            parts.serial = tlv(2, &[0x80; 16]);
        }),
        (LeafRefusal::Serial, |parts| parts.serial = tlv(2, &[0])),
        (LeafRefusal::ReservedSerial, |parts| {
            let ra = X509::from_der(&SERVICE.ra.certificate).unwrap();
            let serial = ra.serial_number().to_bn().unwrap().to_vec();
            parts.serial = tlv(2, &[&[0][..], &serial].concat());
            if serial[0] < 0x80 {
                parts.serial = tlv(2, &serial);
            }
        }),
        // ecdsa-with-SHA1, and the same algorithm with NULL.
        (LeafRefusal::Algorithm, |parts| {
            parts.algorithm = b"\x30\x09\x06\x07\x2a\x86\x48\xce\x3d\x04\x01".to_vec();
        }),
        (LeafRefusal::Algorithm, |parts| {
            parts.algorithm = sequence(&[&oid("1.2.840.10045.4.3.2"), &[5, 0]]);
        }),
        (LeafRefusal::Issuer, |parts| {
            parts.issuer = name(&[(O, "Example"), (CN, "Next CA")]);
        }),
        // The same name by RFC 5280 section 7.1, in other bytes.
        (LeafRefusal::Issuer, |parts| {
            parts.issuer = name(&[(O, "EXAMPLE"), (CN, "Straße CA")]);
        }),
        (LeafRefusal::TimeEncoding("notAfter"), |parts| {
            parts.not_after = tlv(0x18, b"20270101000000Z");
        }),
        (LeafRefusal::TimeOrder, |parts| {
            parts.not_after.clone_from(&parts.not_before);
        }),
        (LeafRefusal::NotYetValid, |parts| {
            parts.not_before = time(now() + Duration::from_secs(301));
        }),
        (LeafRefusal::OutsideIssuer, |parts| {
            parts.not_before = time(now() - DAY * 31);
        }),
        (LeafRefusal::OutsideIssuer, |parts| {
            parts.not_after = time(now() + DAY * 3_650 + Duration::from_secs(1));
        }),
        (LeafRefusal::UniqueIdentifier, |parts| {
            parts.unique = tlv(0x81, &[0, 1]);
        }),
        (LeafRefusal::UniqueIdentifier, |parts| {
            parts.unique = tlv(0x82, &[0, 1]);
        }),
        (LeafRefusal::NoName, |parts| {
            parts.subject = sequence(&[]);
            parts.remove(SAN);
        }),
        (LeafRefusal::SubjectKeyIdentifier, |parts| {
            parts.extension(SKI).value = tlv(4, &[7; 20]);
        }),
        (LeafRefusal::AuthorityKeyIdentifier, |parts| {
            parts.extension(AKI).value = sequence(&[&tlv(0x80, &[7; 20])]);
        }),
    ];
    for (wanted, change) in cases {
        assert_eq!(refused(change), wanted);
    }
    // 64 and 159 bits.
    for serial in [&[0, 0x80, 1, 2, 3, 4, 5, 6, 7][..], &[0x7f; 20]] {
        let mut parts = server();
        parts.serial = tlv(2, serial);
        assert!(SERVICE.check(&parts.der()).is_ok());
    }
    let long = vec![0; MAX_TBS + 1];
    assert_eq!(SERVICE.check(&long), Err(LeafRefusal::TooLong(MAX_TBS + 1)));
}

#[test]
fn extensions_are_of_a_closed_list_once_each_with_one_criticality() {
    for extension in server().extensions {
        let kind = oid_of(extension.oid);
        let twice = refused(|parts| parts.extensions.push(extension.clone()));
        assert_eq!(twice, LeafRefusal::RepeatedExtension(kind));
        let wanted = extension.critical;
        let flipped = refused(|parts| parts.extension(extension.oid).critical = !wanted);
        assert_eq!(flipped, LeafRefusal::Criticality { oid: kind, wanted });
        let absent = {
            let mut parts = server();
            parts.remove(extension.oid);
            SERVICE.check(&parts.der())
        };
        match extension.oid {
            KU | EKU | SKI | AKI => {
                assert_eq!(absent, Err(LeafRefusal::MissingExtension(kind)));
            }
            BC | SAN => assert!(absent.is_ok()),
            _ => assert!(matches!(absent, Err(LeafRefusal::NoForm(_)))),
        }
    }
    // subjectAltName is critical only with an empty subject (RFC 5280 section 4.2.1.6).
    let not_critical = refused(|parts| parts.subject = sequence(&[]));
    assert_eq!(
        not_critical,
        LeafRefusal::Criticality {
            oid: oid_of(SAN),
            wanted: true
        }
    );
    let none = {
        let mut parts = server();
        parts.extensions.clear();
        SERVICE.check(&parts.der()).unwrap_err()
    };
    assert_eq!(none, LeafRefusal::MissingExtension(oid_of(KU)));
}

#[test]
fn encodings_other_than_der_are_refused() {
    let cases: [(LeafRefusal, Change<Parts>); 10] = [
        // CA:FALSE written out, a path length.
        (LeafRefusal::BasicConstraints, |parts| {
            parts.extension(BC).value = sequence(&[&[1, 1, 0]]);
        }),
        (LeafRefusal::BasicConstraints, |parts| {
            parts.extension(BC).value = sequence(&[&[2, 1, 0]]);
        }),
        // No usage, trailing zero bits, bits beyond decipherOnly.
        (LeafRefusal::KeyUsageEncoding, |parts| {
            parts.extension(KU).value = vec![3, 1, 0];
        }),
        (LeafRefusal::KeyUsageEncoding, |parts| {
            parts.extension(KU).value = vec![3, 2, 0, 0x80];
        }),
        (LeafRefusal::KeyUsageEncoding, |parts| {
            parts.extension(KU).value = vec![3, 3, 4, 0x80, 0x10];
        }),
        (LeafRefusal::PurposeEncoding, |parts| {
            parts.extension(EKU).value = sequence(&[]);
        }),
        (LeafRefusal::PurposeEncoding, |parts| {
            let server = oid("1.3.6.1.5.5.7.3.1");
            parts.extension(EKU).value = sequence(&[&server, &server]);
        }),
        (LeafRefusal::Malformed, |parts| {
            parts.serial = tlv(2, &[&[0][..], &[0x5a; 17]].concat());
        }),
        // Trailing bytes after the key.
        (LeafRefusal::Malformed, |parts| parts.unique = tlv(5, &[])),
        // Without seconds.
        (LeafRefusal::Malformed, |parts| {
            parts.not_after = tlv(0x17, b"2701010000Z");
        }),
    ];
    for (wanted, change) in cases {
        assert_eq!(refused(change), wanted);
    }
    let good = server().der();
    assert_eq!(
        SERVICE.check(&[&good[..], &[0]].concat()),
        Err(LeafRefusal::Malformed)
    );
    assert_eq!(SERVICE.check(&[]), Err(LeafRefusal::Malformed));
    // `critical` FALSE written out.
    let ski = server().extension(SKI).der();
    let content = &ski[2..];
    let explicit = tlv(0x30, &[&content[..5], &[1, 1, 0], &content[5..]].concat());
    let position = good
        .windows(ski.len())
        .position(|window| window == ski)
        .unwrap();
    let mut parts = server();
    parts.remove(SKI);
    let others: Vec<Vec<u8>> = parts.extensions.iter().map(Extension::der).collect();
    let list = tlv(0xa3, &tlv(0x30, &[others.concat(), explicit].concat()));
    assert!(position > 0);
    let tbs = sequence(&[
        &parts.version,
        &parts.serial,
        &parts.algorithm,
        &parts.issuer,
        &sequence(&[&parts.not_before, &parts.not_after]),
        &parts.subject,
        &parts.spki,
        &list,
    ]);
    assert_eq!(SERVICE.check(&tbs), Err(LeafRefusal::Malformed));
}

#[test]
fn the_subject_is_no_name_of_the_services_own_however_it_is_written() {
    for (organisation, common) in [
        ("Example", "Straße CA"),
        ("EXAMPLE", "STRASSE CA"),
        ("example", "strasse  ca"),
        (" Example ", "Stra\u{df}e\u{a0}CA"),
        ("Ex\u{ad}ample", "Straẞe CA"),
        ("Ｅxample", "Straße C\u{200b}A"),
        ("Example", "next ca"),
        ("Example", "EXAMPLE RA"),
        ("Example", "example ocsp"),
    ] {
        let subject = name(&[(O, organisation), (CN, common)]);
        let refusal = refused(|parts| parts.subject = subject);
        assert_eq!(
            refusal,
            LeafRefusal::ReservedName,
            "{organisation} {common}"
        );
    }
    // PrintableString in place of UTF8String, and both attributes of one RDN in place of two are another name.
    let printable = [rdn(O, 0x13, b"Example"), rdn(CN, 0x13, b"NEXT CA")].concat();
    let refusal = refused(|parts| parts.subject = tlv(0x30, &printable));
    assert_eq!(refusal, LeafRefusal::ReservedName);
    let mut parts = server();
    parts.subject = name(&[(CN, "Next CA")]);
    assert!(SERVICE.check(&parts.der()).is_ok());

    let attribute = |kind: &str, tag, value: &[u8]| sequence(&[&oid(kind), &tlv(tag, value)]);
    for (fault, subject) in [
        // BMPString, TeletexString: verifiers differ in how they compare them.
        (
            NameFault::NotText(oid_of(CN)),
            rdn(CN, 0x1e, b"\0N\0e\0x\0t\0 \0C\0A"),
        ),
        (NameFault::NotText(oid_of(CN)), rdn(CN, 0x14, b"Next CA")),
        (NameFault::NotText(oid_of(CN)), rdn(CN, 0x0c, b"Next\0CA")),
        (NameFault::NotText(oid_of(CN)), rdn(CN, 0x0c, b"")),
        (NameFault::NotText(oid_of(CN)), rdn(CN, 0x13, b"Next*CA")),
        (NameFault::NotText(oid_of(CN)), rdn(CN, 0x0c, b"\xff")),
        (NameFault::EmptyRdn, tlv(0x31, &[])),
        (
            NameFault::RepeatedAttribute(oid_of(CN)),
            tlv(
                0x31,
                &[attribute(CN, 12, b"a"), attribute(CN, 12, b"b")].concat(),
            ),
        ),
        (NameFault::TooManyAttributes, rdn(CN, 12, b"a").repeat(65)),
    ] {
        let refusal = refused(|parts| parts.subject = tlv(0x30, &subject));
        assert_eq!(refusal, LeafRefusal::Subject(fault));
    }
}

#[test]
fn a_configured_name_in_another_string_type_is_reserved_too() {
    // A root of long ago: its certificate has BMPString and TeletexString.
    let mut reserved = assay_shape::Reserved::default();
    let mut root = server();
    let bmp: Vec<u8> = "Old Root"
        .encode_utf16()
        .flat_map(u16::to_be_bytes)
        .collect();
    root.subject = tlv(
        0x30,
        &[rdn(O, 0x14, b"Stra\xdfe"), rdn(CN, 0x1e, &bmp)].concat(),
    );
    reserved.add(&SERVICE.sign(&root.der())).unwrap();
    let mut parts = server();
    parts.serial = tlv(2, &[0x5b; 17]);
    parts.set_key(&ec_key().public_key_to_der().unwrap());
    parts.subject = name(&[(O, "strasse"), (CN, "OLD ROOT")]);
    let rules = assay_shape::LeafRules {
        reserved: &reserved,
        ..SERVICE.rules()
    };
    let check = |parts: &Parts| assay_shape::Leaf::check(&parts.der(), rules, now());
    assert_eq!(check(&parts), Err(LeafRefusal::ReservedName));
    parts.subject = name(&[(O, "strasse"), (CN, "New Root")]);
    assert!(check(&parts).is_ok());
}

#[test]
fn the_key_is_none_of_the_services_own_and_in_its_one_encoding() {
    let service = &*SERVICE;
    for key in [
        &service.ca.key,
        &service.next.key,
        &service.ra.key,
        &service.responder.key,
        &service.log,
    ] {
        let refusal = refused(|parts| parts.set_key(&key.public_key_to_der().unwrap()));
        assert_eq!(refusal, LeafRefusal::ReservedKey);
    }
    // The negated point has the same x coordinate and is refused too.
    let spki = service.ca.key.public_key_to_der().unwrap();
    let p = "ffffffff00000001000000000000000000000000ffffffffffffffffffffffff";
    let p = openssl::bn::BigNum::from_hex_str(p).unwrap();
    let (start, y) = spki.split_at(spki.len() - 32);
    let y = openssl::bn::BigNum::from_slice(y).unwrap();
    let negated = (&p - &y).to_vec_padded(32).unwrap();
    let refusal = refused(|parts| parts.set_key(&[start, &negated].concat()));
    assert_eq!(refusal, LeafRefusal::ReservedKey);

    let rsa = Rsa::generate(3_072).unwrap();
    let with = |modulus: &openssl::bn::BigNumRef, exponent: u32| {
        let exponent = openssl::bn::BigNum::from_u32(exponent).unwrap();
        let key = Rsa::from_public_components(modulus.to_owned().unwrap(), exponent).unwrap();
        PKey::from_rsa(key).unwrap().public_key_to_der().unwrap()
    };
    let mut parts = server();
    parts.set_key(&with(rsa.n(), 65_537));
    assert!(SERVICE.check(&parts.der()).is_ok());
    // An RSA key is another only if its modulus is.
    let mut reserved = service.reserved.clone();
    reserved.add_key(&with(rsa.n(), 65_539)).unwrap();
    let rules = assay_shape::LeafRules {
        reserved: &reserved,
        ..service.rules()
    };
    let refusal = assay_shape::Leaf::check(&parts.der(), rules, now());
    assert_eq!(refusal, Err(LeafRefusal::ReservedKey));

    let mut even = rsa.n().to_owned().unwrap();
    even.add_word(1).unwrap();
    let point = server().spki;
    let mut off_curve = point.clone();
    *off_curve.last_mut().unwrap() ^= 1;
    let compressed = {
        let mut octets = vec![0x02 | (point[90] & 1)];
        octets.extend_from_slice(&point[27..59]);
        sequence(&[&point[2..23], &tlv(3, &[&[0], &octets[..]].concat())])
    };
    let no_null = {
        let whole = with(rsa.n(), 65_537);
        let bits = whole[4..].iter().position(|octet| *octet == 3).unwrap() + 4;
        sequence(&[&sequence(&[&oid("1.2.840.113549.1.1.1")]), &whole[bits..]])
    };
    let ed25519 = sequence(&[&sequence(&[&oid("1.3.101.112")]), &tlv(3, &[0; 33])]);
    let secp256k1 = sequence(&[
        &sequence(&[&oid("1.2.840.10045.2.1"), &oid("1.3.132.0.10")]),
        &point[23..],
    ]);
    for (fault, spki) in [
        (KeyFault::Rsa, with(&even, 65_537)),
        (KeyFault::Rsa, with(rsa.n(), 3)),
        (KeyFault::Rsa, with(rsa.n(), 65_538)),
        (KeyFault::Point, off_curve),
        (KeyFault::Point, compressed),
        (KeyFault::Encoding, no_null),
        (KeyFault::Encoding, ed25519),
        (KeyFault::Curve(oid_of("1.3.132.0.10")), secp256k1),
    ] {
        let refusal = refused(|parts| parts.spki = spki);
        assert_eq!(refusal, LeafRefusal::Key(fault));
    }
}

mod with_openssl {
    use super::*;

    /// OpenSSL takes what was accepted for a server's certificate and for nothing else.
    #[test]
    fn an_accepted_certificate_is_a_server_and_no_ca() {
        let certificate = SERVICE.sign(&server().der());
        let text = X509::from_der(&certificate).unwrap().to_text().unwrap();
        let text = String::from_utf8(text).unwrap();
        for line in [
            "CA:FALSE",
            "TLS Web Server Authentication",
            "DNS:www.example.com",
        ] {
            assert!(text.contains(line), "{text}");
        }
        assert!(!text.contains("CA:TRUE"));
    }
}

#[test]
fn a_certificate_that_names_no_ca_is_not_an_issuer() {
    let mut nameless = server();
    nameless.subject = sequence(&[]);
    let mut unidentified = server();
    unidentified.remove(SKI);
    for parts in [nameless, unidentified] {
        let certificate = SERVICE.sign(&parts.der());
        let refusal = assay_shape::Issuer::new(&certificate, ALGORITHM).unwrap_err();
        assert!(matches!(refusal, assay_shape::CertificateError::NotACa));
    }
    assert!(assay_shape::Issuer::new(&SERVICE.ca.certificate, b"\x30").is_err());
}

#[test]
fn a_clock_at_either_end_of_time_is_no_panic() {
    for now in [Timestamp::MIN, Timestamp::MAX, Timestamp::LAST] {
        let refusal = assay_shape::Leaf::check(&server().der(), SERVICE.rules(), now);
        assert!(refusal.is_err());
    }
}
