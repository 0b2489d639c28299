//! Certificates that would give the attacker another role, outlive their form, or hide.

use assay_hsm::Token;
use openssl::bn::BigNumContext;
use openssl::ec::{Asn1Flag, EcGroup, EcKey, PointConversionForm};
use openssl::nid::Nid;
use openssl::pkey::{PKey, Public};
use openssl::x509::X509;

use crate::attacker::Attacker;
use crate::rollbacks::History;
use crate::scene::{Scene, Structure};
use crate::support::der::{
    self, AKI, BC, CN, DAY, EKU, Extension, KU, Parts, SAN, SKI, dns, extension, oid, sequence,
    time, tlv,
};
use crate::support::shape::{AIA, CDP, POLICIES, rdn};

const CA_TRUE: &str = "CA:TRUE";
const PATH_LENGTH: &str = "path length";
const SELF_ISSUED: &str = "self-issued";
const NAME: &str = "name of a CA, RA or responder";
const KEY: &str = "key of the service";
const ENCODED_KEY: &str = "key of the service in another encoding";
const RESPONDER: &str = "OCSPSigning";
const ANY_PURPOSE: &str = "anyExtendedKeyUsage";
const NO_PURPOSE: &str = "no or empty extendedKeyUsage";
const NO_USAGE: &str = "no or empty keyUsage";
const CA_USAGE: &str = "keyCertSign or cRLSign";
const NETSCAPE: &str = "nsCertType";
const PROXY: &str = "proxyCertInfo";
const UNKNOWN: &str = "unlisted extension";
const DOUBLED: &str = "doubled extension";
const UNIQUE: &str = "unique identifier";
const CENTURY: &str = "lifetime of 100 years";
const NOT_BEFORE: &str = "notBefore far off";
const SERIAL: &str = "serial number";
const REUSED: &str = "reused serial number";
const ISSUER: &str = "another issuer";
const COMBINED: &str = "values of two forms";
const NAMES: &str = "names outside the form";
const POINTERS: &str = "other key identifiers, URLs or policies";
const VERSION: &str = "another version";
const TRAILING: &str = "trailing bytes";
const ENCODING: &str = "encoding that is not DER";

pub(crate) const KINDS: [&str; 27] = [
    CA_TRUE,
    PATH_LENGTH,
    SELF_ISSUED,
    NAME,
    KEY,
    ENCODED_KEY,
    RESPONDER,
    ANY_PURPOSE,
    NO_PURPOSE,
    NO_USAGE,
    CA_USAGE,
    NETSCAPE,
    PROXY,
    UNKNOWN,
    DOUBLED,
    UNIQUE,
    CENTURY,
    NOT_BEFORE,
    SERIAL,
    REUSED,
    ISSUER,
    COMBINED,
    NAMES,
    POINTERS,
    VERSION,
    TRAILING,
    ENCODING,
];

const PURPOSE_OF_CLIENTS: &str = "1.3.6.1.5.5.7.3.2";
const PURPOSE_OF_SERVERS: &str = "1.3.6.1.5.5.7.3.1";
const PURPOSE_OF_RESPONDERS: &str = "1.3.6.1.5.5.7.3.9";
const EVERY_PURPOSE: &str = "2.5.29.37.0";
const NS_CERT_TYPE: &str = "2.16.840.1.113730.1.1";
const PROXY_CERT_INFO: &str = "1.3.6.1.5.5.7.1.14";

pub(crate) async fn attack(attacker: &mut Attacker, history: &History) {
    for (kind, tbs) in all(&attacker.scene, history) {
        attacker.certificate(kind, &tbs).await;
    }
    // The keys of the next CA for a certificate of this one.
    let hsm = assay_hsm::Hsm::connect(attacker.scene.client())
        .await
        .unwrap();
    let [ra_decrypt, ra_sign, ca] = attacker.scene.next.as_slice() else {
        panic!("the next CA has another list");
    };
    let next = hsm.ca(&assay_hsm::CaCertificates {
        ca,
        ra_decrypt,
        ra_sign,
        ra_single: None,
        ocsp: None,
    });
    let tbs = attacker.scene.device().der();
    let answer = next.unwrap().sign_certificate("hostile", &tbs).await;
    attacker.keep(ISSUER, Structure::Certificate, &tbs, &[], answer);
    hsm.shutdown().await;
}

fn all(scene: &Scene, history: &History) -> Vec<(&'static str, Vec<u8>)> {
    let mut list = List {
        scene,
        attacks: Vec::new(),
    };
    roles(&mut list);
    names_and_keys(&mut list);
    extensions(&mut list);
    numbers_and_times(&mut list, history);
    forms(&mut list);
    encodings(&mut list);
    list.attacks
}

struct List<'a> {
    scene: &'a Scene,
    attacks: Vec<(&'static str, Vec<u8>)>,
}

impl List<'_> {
    /// Both forms with this change.
    fn add(&mut self, kind: &'static str, change: impl Fn(&mut Parts)) {
        for mut parts in [self.scene.device(), self.scene.server()] {
            change(&mut parts);
            self.attacks.push((kind, parts.der()));
        }
    }

    fn value(&mut self, kind: &'static str, oid: &str, value: &[u8]) {
        self.add(kind, |parts| parts.extension(oid).value = value.to_vec());
    }
}

fn purposes(list: &[&str]) -> Vec<u8> {
    let list: Vec<Vec<u8>> = list.iter().map(|purpose| oid(purpose)).collect();
    tlv(0x30, &list.concat())
}

fn roles(list: &mut List<'_>) {
    // DER, BER booleans, a long and an indefinite length, a default value written out, and trailing values.
    for value in [
        &b"\x30\x03\x01\x01\xff"[..],
        b"\x30\x03\x01\x01\x01",
        b"\x30\x03\x01\x01\x80",
        b"\x30\x81\x03\x01\x01\xff",
        b"\x30\x82\x00\x03\x01\x01\xff",
        b"\x30\x80\x01\x01\xff\x00\x00",
        b"\x30\x04\x01\x81\x01\xff",
        b"\x30\x04\x01\x02\xff\xff",
        b"\x30\x06\x01\x01\xff\x02\x01\x00",
        b"\x30\x06\x01\x01\xff\x02\x01\x05",
        b"\x30\x06\x01\x01\xff\x01\x01\x00",
        b"\x30\x06\x01\x01\x00\x01\x01\xff",
        b"\x30\x06\x02\x01\x00\x01\x01\xff",
        b"\x30\x00\x30\x03\x01\x01\xff",
        b"\x01\x01\xff",
        b"\x30\x05\x30\x03\x01\x01\xff",
        b"\x31\x03\x01\x01\xff",
    ] {
        for usage in [None, Some((0x06, 1)), Some((0x86, 1))] {
            for critical in [true, false] {
                list.add(CA_TRUE, |parts| {
                    parts.extension(BC).value = value.to_vec();
                    parts.extension(BC).critical = critical;
                    if let Some((bits, unused)) = usage {
                        *parts.extension(KU) = der::key_usage(bits, unused);
                    }
                });
            }
        }
    }
    for value in [
        &b"\x30\x03\x02\x01\x00"[..],
        b"\x30\x03\x02\x01\x05",
        b"\x30\x06\x01\x01\x00\x02\x01\x00",
        b"\x30\x03\x02\x01\xff",
    ] {
        list.value(PATH_LENGTH, BC, value);
    }
    list.value(PATH_LENGTH, BC, b"\x30\x03\x01\x01\x00");
    list.value(PATH_LENGTH, BC, b"");
    for (bits, unused) in [
        (0x04, 2),
        (0x02, 1),
        (0x06, 1),
        (0x84, 2),
        (0x82, 1),
        (0xfe, 1),
        (0xff, 0),
    ] {
        list.add(CA_USAGE, |parts| {
            *parts.extension(KU) = der::key_usage(bits, unused);
        });
    }
    // Bits beyond those named, unused ones that are set, and a bit string of two bytes.
    for value in [
        &b"\x03\x02\x00\x84"[..],
        b"\x03\x02\x07\x84",
        b"\x03\x03\x07\x84\x80",
        b"\x03\x03\x00\x80\x00",
    ] {
        list.value(CA_USAGE, KU, value);
    }
    list.add(NO_USAGE, |parts| parts.remove(KU));
    list.add(NO_USAGE, |parts| {
        parts.remove(KU);
        parts.remove(BC);
    });
    for value in [&b"\x03\x01\x00"[..], b"\x03\x02\x07\x00", b""] {
        list.value(NO_USAGE, KU, value);
    }
    for set in [
        &[PURPOSE_OF_RESPONDERS][..],
        &[PURPOSE_OF_CLIENTS, PURPOSE_OF_RESPONDERS],
        &[PURPOSE_OF_RESPONDERS, PURPOSE_OF_SERVERS],
    ] {
        list.value(RESPONDER, EKU, &purposes(set));
        list.add(RESPONDER, |parts| {
            parts.extension(EKU).value = purposes(set);
            parts.extensions.push(der::no_check());
        });
    }
    for set in [
        &[EVERY_PURPOSE][..],
        &[PURPOSE_OF_CLIENTS, EVERY_PURPOSE],
        &[EVERY_PURPOSE, PURPOSE_OF_SERVERS],
    ] {
        list.value(ANY_PURPOSE, EKU, &purposes(set));
        list.add(ANY_PURPOSE, |parts| {
            parts.extension(EKU).value = purposes(set);
            parts.extension(EKU).critical = true;
        });
    }
    list.add(NO_PURPOSE, |parts| parts.remove(EKU));
    list.add(NO_PURPOSE, |parts| {
        parts.remove(EKU);
        parts.remove(KU);
    });
    list.value(NO_PURPOSE, EKU, b"\x30\x00");
    list.value(NO_PURPOSE, EKU, b"");
}

fn names_and_keys(list: &mut List<'_>) {
    let scene = list.scene;
    list.add(SELF_ISSUED, |parts| parts.subject.clone_from(&parts.issuer));
    list.add(SELF_ISSUED, |parts| {
        parts.subject.clone_from(&parts.issuer);
        parts.extension(BC).value = b"\x30\x03\x01\x01\xff".to_vec();
        *parts.extension(KU) = der::key_usage(0x06, 1);
    });
    list.add(SELF_ISSUED, |parts| parts.issuer.clone_from(&parts.subject));
    // RFC 5280, section 7.1: case, spaces, string types, normal forms, and characters that map to nothing.
    for name in ["Test CA", "Next CA", "ra-decrypt", "ra-sign", "ocsp-sign"] {
        let spaced = name.replace([' ', '-'], if name.contains(' ') { "  " } else { "-" });
        let wide: String = name
            .chars()
            .map(|c| match c {
                '!'..='~' => char::from_u32(u32::from(c) + 0xfee0).unwrap(),
                other => other,
            })
            .collect();
        for text in [
            name.to_owned(),
            name.to_uppercase(),
            name.to_lowercase(),
            format!(" {name} "),
            spaced,
            wide,
            name.replacen('e', "e\u{ad}", 1).replacen('a', "\u{ad}a", 1),
            name.replace(' ', "\u{a0}"),
            name.replace(' ', "\t"),
        ] {
            list.add(NAME, |parts| parts.subject = der::name(&text));
        }
        let wide = |unit: usize| -> Vec<u8> {
            let pad = vec![0; unit - 1];
            name.bytes()
                .flat_map(|byte| [pad.as_slice(), &[byte]].concat())
                .collect()
        };
        for (tag, value) in [
            (0x13, name.as_bytes().to_vec()),
            (0x14, name.as_bytes().to_vec()),
            (0x16, name.as_bytes().to_vec()),
            (0x1e, wide(2)),
            (0x1c, wide(4)),
        ] {
            list.add(NAME, |parts| {
                parts.subject = tlv(0x30, &rdn(CN, tag, &value));
            });
        }
    }
    for key in scene.service_keys() {
        let spki = key.public_key_to_der().unwrap();
        list.add(KEY, |parts| parts.set_key(&spki));
        for spki in other_encodings(&key) {
            list.add(ENCODED_KEY, |parts| parts.set_key(&spki));
        }
    }
}

/// SubjectPublicKeyInfo of the same key: a compressed and a hybrid point, explicit parameters; other algorithms of RSA.
fn other_encodings(key: &PKey<Public>) -> Vec<Vec<u8>> {
    if let Ok(key) = key.ec_key() {
        let mut context = BigNumContext::new().unwrap();
        let point = |form, context: &mut BigNumContext| {
            key.public_key()
                .to_bytes(key.group(), form, context)
                .unwrap()
        };
        let named = sequence(&[&oid("1.2.840.10045.2.1"), &oid("1.2.840.10045.3.1.7")]);
        let spki = |point: &[u8]| sequence(&[&named, &tlv(3, &[&[0], point].concat())]);
        let mut group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        group.set_asn1_flag(Asn1Flag::EXPLICIT_CURVE);
        let explicit = EcKey::from_public_key(&group, key.public_key()).unwrap();
        let explicit = PKey::from_ec_key(explicit).unwrap();
        return vec![
            spki(&point(PointConversionForm::COMPRESSED, &mut context)),
            spki(&point(PointConversionForm::HYBRID, &mut context)),
            explicit.public_key_to_der().unwrap(),
        ];
    }
    let Ok(rsa) = key.rsa() else {
        return Vec::new();
    };
    let inner = rsa.public_key_to_der_pkcs1().unwrap();
    let spki =
        |algorithm: Vec<u8>| sequence(&[&algorithm, &tlv(3, &[&[0], inner.as_slice()].concat())]);
    vec![
        spki(sequence(&[&oid("1.2.840.113549.1.1.1")])),
        spki(sequence(&[&oid("1.2.840.113549.1.1.10"), &[5, 0]])),
        spki(sequence(&[&oid("1.2.840.113549.1.1.10")])),
        spki(sequence(&[&oid("2.5.8.1.1"), &[5, 0]])),
    ]
}

fn extensions(list: &mut List<'_>) {
    let scene = list.scene;
    for value in [[3, 2, 2, 4], [3, 2, 0, 7], [3, 2, 0, 0xff]] {
        for critical in [false, true] {
            list.add(NETSCAPE, |parts| {
                parts
                    .extensions
                    .push(extension(NS_CERT_TYPE, critical, value.to_vec()));
            });
        }
    }
    let policy = sequence(&[&sequence(&[&oid("1.3.6.1.5.5.7.21.1")])]);
    for critical in [false, true] {
        list.add(PROXY, |parts| {
            parts
                .extensions
                .push(extension(PROXY_CERT_INFO, critical, policy.clone()));
        });
    }
    // Name constraints, policy mappings and constraints, inhibitAnyPolicy, ocsp-nocheck, TLS feature, Microsoft's SID,
    // template and application policies, precertificate poison, issuerAltName, and two that nobody knows.
    for (oid, value) in [
        ("2.5.29.30", sequence(&[])),
        ("2.5.29.33", sequence(&[])),
        ("2.5.29.36", sequence(&[])),
        ("2.5.29.54", vec![2, 1, 0]),
        ("1.3.6.1.5.5.7.48.1.5", vec![5, 0]),
        ("1.3.6.1.5.5.7.1.24", vec![0x30, 3, 2, 1, 5]),
        ("1.3.6.1.4.1.311.25.2", sequence(&[])),
        ("1.3.6.1.4.1.311.20.2", vec![0x1e, 0]),
        ("1.3.6.1.4.1.311.21.10", sequence(&[])),
        ("1.3.6.1.4.1.11129.2.4.3", vec![5, 0]),
        ("2.5.29.18", sequence(&[&dns("www.example.com")])),
        ("1.2.3.4", vec![5, 0]),
        ("2.5.29.99", vec![]),
    ] {
        for critical in [false, true] {
            list.add(UNKNOWN, |parts| {
                parts
                    .extensions
                    .push(extension(oid, critical, value.clone()));
            });
        }
    }
    for mut parts in [scene.device(), scene.server()] {
        let all = parts.extensions.clone();
        for again in all {
            parts.extensions.push(again);
            list.attacks.push((DOUBLED, parts.der()));
            parts.extensions.pop();
        }
    }
    list.add(DOUBLED, |parts| {
        parts
            .extensions
            .push(extension(BC, true, b"\x30\x03\x01\x01\xff".to_vec()));
    });
    list.add(DOUBLED, |parts| {
        parts
            .extensions
            .insert(0, extension(EKU, false, purposes(&[EVERY_PURPOSE])));
    });
    for tag in [0x81, 0x82] {
        list.add(UNIQUE, |parts| parts.unique = tlv(tag, &[0, 1]));
    }
    list.add(UNIQUE, |parts| {
        parts.unique = [tlv(0x81, &[0, 1]), tlv(0x82, &[0, 1])].concat();
    });
}

fn numbers_and_times(list: &mut List<'_>, history: &History) {
    let now = der::now();
    for not_after in [
        time(now + DAY * 36_500),
        time(now + DAY * 3_649),
        tlv(0x18, b"99991231235959Z"),
        tlv(0x18, b"21261130000000Z"),
        tlv(0x17, b"490101000000Z"),
    ] {
        list.add(CENTURY, |parts| parts.not_after.clone_from(&not_after));
    }
    for not_before in [
        time(now + std::time::Duration::from_secs(600)),
        time(now + DAY),
        time(now - DAY),
        time(now - DAY * 29),
        time(now - DAY * 3_650),
        tlv(0x17, b"700101000000Z"),
        tlv(0x18, b"19000101000000Z"),
    ] {
        list.add(NOT_BEFORE, |parts| parts.not_before.clone_from(&not_before));
    }
    // Beyond the age of an intent, and in a form that begins early enough to look short.
    list.add(NOT_BEFORE, |parts| {
        parts.not_before = time(now - std::time::Duration::from_secs(8_000));
        parts.not_after = time(now + DAY * 20);
    });
    for serial in [
        vec![0],
        vec![1],
        vec![0xff],
        vec![0x80; 16],
        vec![0x7f; 7],
        vec![0x7f; 8],
        vec![0x7f; 21],
        [&[0][..], &[0xff; 20]].concat(),
        [&[0][..], &[0x41; 16]].concat(),
        [&[0, 0][..], &[0x81; 16]].concat(),
        vec![0x41; 4_000],
        vec![],
    ] {
        list.add(SERIAL, |parts| parts.serial = tlv(2, &serial));
    }
    let scene = list.scene;
    let of_ceremonies = [
        &scene.ca,
        &scene.ra_decrypt,
        &scene.ra_sign,
        &scene.responder,
    ];
    let of_ceremonies = of_ceremonies.map(|der| {
        let serial = X509::from_der(der)
            .unwrap()
            .serial_number()
            .to_bn()
            .unwrap();
        tlv(2, &serial.to_vec())
    });
    for serial in of_ceremonies.iter().chain(history.serials()) {
        list.add(REUSED, |parts| parts.serial.clone_from(serial));
    }
    for issuer in ["Next CA", "test ca", "Test  CA", "Somebody"] {
        list.add(ISSUER, |parts| parts.issuer = der::name(issuer));
    }
    list.add(ISSUER, |parts| {
        parts.issuer = tlv(0x30, &rdn(CN, 0x13, b"Test CA"));
    });
    list.add(ISSUER, |parts| parts.issuer = sequence(&[]));
    let next = scene.next_ca();
    let id = next.subject_key_id().unwrap().as_slice().to_vec();
    list.add(ISSUER, |parts| {
        parts.issuer = next.subject_name().to_der().unwrap();
        parts.extension(AKI).value = sequence(&[&tlv(0x80, &id)]);
    });
}

fn forms(list: &mut List<'_>) {
    let scene = list.scene;
    let mixed: [fn(&mut Parts, &Parts); 7] = [
        |to, from| {
            to.extension(EKU)
                .clone_from(&from.clone().extension(EKU).clone());
        },
        |to, from| {
            to.extension(KU)
                .clone_from(&from.clone().extension(KU).clone());
        },
        |to, from| {
            to.extension(SAN)
                .clone_from(&from.clone().extension(SAN).clone());
        },
        |to, from| {
            to.extensions
                .retain(|extension| ![AIA, CDP, POLICIES].contains(&extension.oid));
            let further = from.extensions.iter();
            let further = further.filter(|extension| [AIA, CDP, POLICIES].contains(&extension.oid));
            to.extensions
                .extend(further.cloned().collect::<Vec<Extension>>());
        },
        |to, from| {
            to.not_after.clone_from(&from.not_after);
            to.extension(SAN)
                .clone_from(&from.clone().extension(SAN).clone());
        },
        |to, _| to.extension(EKU).value = purposes(&[PURPOSE_OF_CLIENTS, PURPOSE_OF_SERVERS]),
        |to, _| *to.extension(KU) = der::key_usage(0xa8, 3),
    ];
    for mix in mixed {
        let (device, server) = (scene.device(), scene.server());
        for (mut to, from) in [(device.clone(), &server), (server.clone(), &device)] {
            mix(&mut to, from);
            list.attacks.push((COMBINED, to.der()));
        }
    }
    let mut long = scene.server();
    long.not_after = scene.device().not_after;
    list.attacks.push((COMBINED, long.der()));
    let mut short = scene.server();
    short.not_after = time(der::now() + std::time::Duration::from_secs(3_600));
    list.attacks.push((COMBINED, short.der()));
    let mut rsa = scene.server();
    rsa.set_key(
        &crate::support::shape::rsa_key()
            .public_key_to_der()
            .unwrap(),
    );
    list.attacks.push((COMBINED, rsa.der()));
    for purpose in [
        "1.3.6.1.5.5.7.3.3",
        "1.3.6.1.5.5.7.3.8",
        "1.3.6.1.4.1.311.20.2.2",
    ] {
        list.value(COMBINED, EKU, &purposes(&[purpose]));
    }

    let other = |kind: &str, value: &[u8]| tlv(0xa0, &[oid(kind), tlv(0xa0, value)].concat());
    for name in [
        dns("www.example.net"),
        dns("badexample.com"),
        dns("example.com.evil.net"),
        dns("*.com"),
        dns("www.example.com\0.example.net"),
        dns("www.example.com."),
        dns(""),
        tlv(0x81, b"u@example.com"),
        tlv(0x86, b"https://example.com/"),
        tlv(0x86, b"tag:microsoft.com,2022-09-14:sid:S-1-5-21-1-2-3-500"),
        tlv(0x87, &[192, 0, 2, 1]),
        tlv(0x88, &[0x2a, 3]),
        tlv(0xa4, &scene.ca_name()),
        other(
            "1.3.6.1.4.1.311.20.2.3",
            &tlv(12, b"administrator@example.com"),
        ),
        other("1.3.6.1.5.2.2", &sequence(&[])),
    ] {
        list.value(NAMES, SAN, &sequence(&[&name]));
        list.value(NAMES, SAN, &sequence(&[&dns("www.example.com"), &name]));
        list.value(NAMES, SAN, &sequence(&[&dns("www.example.org"), &name]));
    }
    list.value(NAMES, SAN, &sequence(&[]));
    list.add(NAMES, |parts| parts.extension(SAN).critical = true);

    let ca = scene.ca_name();
    let whole = sequence(&[
        &tlv(0x80, &scene.ca_key_id()),
        &tlv(0xa1, &tlv(0xa4, &ca)),
        &tlv(0x82, &[1]),
    ]);
    list.value(POINTERS, AKI, &whole);
    list.value(POINTERS, AKI, &sequence(&[]));
    list.value(POINTERS, AKI, &sequence(&[&tlv(0x80, &[7; 20])]));
    list.add(POINTERS, |parts| parts.remove(AKI));
    list.value(POINTERS, SKI, &tlv(4, &[7; 20]));
    list.value(POINTERS, SKI, &tlv(4, &scene.ca_key_id()));
    list.add(POINTERS, |parts| parts.remove(SKI));
    for kind in [CDP, AIA, POLICIES] {
        let mut parts = scene.server();
        parts.remove(kind);
        list.attacks.push((POINTERS, parts.der()));
        let mut parts = scene.server();
        let value = &mut parts.extension(kind).value;
        *value.last_mut().unwrap() ^= 1;
        list.attacks.push((POINTERS, parts.der()));
        let mut parts = scene.server();
        parts.extension(kind).critical = true;
        list.attacks.push((POINTERS, parts.der()));
    }
    // cRLIssuer, reasons, and an OCSP responder of the attacker's.
    let evil = tlv(0x86, b"http://evil.example.net/");
    for point in [
        sequence(&[&tlv(0xa2, &tlv(0xa4, &ca))]),
        sequence(&[&tlv(0xa0, &tlv(0xa0, &evil)), &tlv(0x81, &[6, 0x40])]),
        sequence(&[&tlv(0xa0, &tlv(0xa0, &evil))]),
    ] {
        let mut parts = scene.server();
        parts.extension(CDP).value = sequence(&[&point]);
        list.attacks.push((POINTERS, parts.der()));
        let mut parts = scene.device();
        parts
            .extensions
            .push(extension(CDP, false, sequence(&[&point])));
        list.attacks.push((POINTERS, parts.der()));
    }
    let responder = sequence(&[&sequence(&[&oid("1.3.6.1.5.5.7.48.1"), &evil])]);
    let mut parts = scene.device();
    parts.extensions.push(extension(AIA, false, responder));
    list.attacks.push((POINTERS, parts.der()));
    let any = sequence(&[&sequence(&[&oid("2.5.29.32.0")])]);
    let mut parts = scene.device();
    parts.extensions.push(extension(POLICIES, false, any));
    list.attacks.push((POINTERS, parts.der()));
}

fn encodings(list: &mut List<'_>) {
    for version in [
        &b""[..],
        b"\xa0\x03\x02\x01\x00",
        b"\xa0\x03\x02\x01\x01",
        b"\xa0\x03\x02\x01\x03",
    ] {
        list.add(VERSION, |parts| parts.version = version.to_vec());
        list.add(VERSION, |parts| {
            parts.version = version.to_vec();
            parts.extensions.clear();
        });
    }
    for parts in [list.scene.device(), list.scene.server()] {
        let der = parts.der();
        let content = inside(&der);
        list.attacks.push((TRAILING, [&der[..], &[0]].concat()));
        list.attacks.push((TRAILING, [&der[..], &der[..]].concat()));
        list.attacks
            .push((TRAILING, tlv(0x30, &[content, &[5, 0]].concat())));
        list.attacks
            .push((TRAILING, tlv(0x30, &[content, &[0, 0]].concat())));
        let length = u32::try_from(content.len()).unwrap().to_be_bytes();
        list.attacks
            .push((ENCODING, [&[0x30, 0x84][..], &length, content].concat()));
        list.attacks.push((
            ENCODING,
            [&[0x30, 0x83][..], &length[1..], content].concat(),
        ));
        list.attacks
            .push((ENCODING, [&[0x30, 0x80][..], content, &[0, 0]].concat()));
        list.attacks.push((ENCODING, tlv(0x31, content)));
        list.attacks.push((ENCODING, tlv(0x10, content)));
    }
    list.add(ENCODING, |parts| {
        parts.version = b"\xa0\x04\x02\x02\x00\x02".to_vec();
    });
    list.add(ENCODING, |parts| {
        parts.version = b"\xa0\x81\x03\x02\x01\x02".to_vec();
    });
    list.add(ENCODING, |parts| {
        parts.serial = tlv(2, &[&[0, 0][..], &parts.serial[2..]].concat());
    });
    list.add(ENCODING, |parts| parts.serial[0] = 0x0a);
    // Times with an offset, without seconds, with a fraction, and of the other type.
    for not_after in [
        tlv(0x17, b"270101000000+0000"),
        tlv(0x17, b"2701010000Z"),
        tlv(0x18, b"20261215000000Z"),
        tlv(0x18, b"20261215000000.5Z"),
        tlv(0x17, b"261232000000Z"),
    ] {
        list.add(ENCODING, |parts| parts.not_after.clone_from(&not_after));
    }
    // The algorithm with NULL, and another one.
    list.add(ENCODING, |parts| {
        parts.algorithm = sequence(&[&oid("1.2.840.10045.4.3.2"), &[5, 0]]);
    });
    list.add(ENCODING, |parts| {
        parts.algorithm = sequence(&[&oid("1.2.840.10045.4.1")]);
    });
    // A critical flag of FALSE written out, and TRUE as BER has it.
    for mut parts in [list.scene.device(), list.scene.server()] {
        let taken = parts.extension(EKU).clone();
        parts.remove(EKU);
        let der = parts.der();
        for flag in [&[1, 1, 0][..], &[1, 1, 1]] {
            let written = sequence(&[&oid(EKU), flag, &tlv(4, &taken.value)]);
            list.attacks
                .push((ENCODING, with_extension(&der, &parts, &written)));
        }
    }
}

/// The same TBSCertificate with one more extension as it is written.
fn with_extension(der: &[u8], parts: &Parts, written: &[u8]) -> Vec<u8> {
    let extensions: Vec<u8> = parts.extensions.iter().flat_map(Extension::der).collect();
    let before = tlv(0xa3, &tlv(0x30, &extensions));
    let after = tlv(0xa3, &tlv(0x30, &[extensions.as_slice(), written].concat()));
    let content = inside(der);
    let kept = content.strip_suffix(before.as_slice()).unwrap();
    tlv(0x30, &[kept, &after].concat())
}

/// The content of a SEQUENCE of at most 65,535 bytes.
pub(crate) fn inside(der: &[u8]) -> &[u8] {
    match der[1] {
        0x82 => &der[4..],
        0x81 => &der[3..],
        _ => &der[2..],
    }
}
