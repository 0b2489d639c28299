//! What a CSR asks for besides its key: POL, REQ, ALG, SUB, SAN, EXT.

use std::time::{Duration, SystemTime};

use assay_policy::{Attribute, Facts, Profile, RequestedExtension, StringEncoding};
use assay_types::Digest;
use const_oid::ObjectIdentifier;
use const_oid::db::rfc5280 as oids;

use super::support::{self, changed_profile, dn, profile, san};
use super::{Case, Example, Passes, Refused};

const SUBJECT: &str = "CN=device-1,O=Example";
const NAME: &str = "dns:a.example.com";
const UTF8: u8 = 0x0c;
const PRINTABLE: u8 = 0x13;
const CN: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
const OU: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.11");
/// subjectAltName of `dns:a.example.com`.
const SAN: &[u8] = b"\x30\x0f\x82\x0da.example.com";

pub(super) fn devices() -> Profile {
    profile("demo", "devices")
}

/// The request of the document's head.
pub(super) fn device() -> Facts {
    let grant = support::one_time("devices", SUBJECT, &[NAME]);
    support::request("devices", SUBJECT, &[NAME], &support::rsa(2048), grant)
}

/// That request, changed.
pub(super) fn with(change: impl FnOnce(&mut Facts)) -> Vec<Case> {
    let mut facts = device();
    change(&mut facts);
    vec![(devices(), facts)]
}

fn claiming(facts: &mut Facts, subject: &str, names: &[&str]) {
    facts.grant = support::one_time("devices", subject, names);
}

/// The same with CN and its tag.
fn with_cn(tag: u8, value: &str) -> Vec<Case> {
    with(|facts| set_cn(facts, tag, value))
}

fn set_cn(facts: &mut Facts, tag: u8, value: &str) {
    facts.subject[1] = vec![attribute(CN, tag, value)];
}

fn attribute(oid: ObjectIdentifier, tag: u8, value: &str) -> Attribute {
    Attribute {
        oid,
        tag,
        value: value.as_bytes().to_vec(),
    }
}

/// With these names requested and permitted.
fn with_names(names: &[&str]) -> Vec<Case> {
    with(|facts| {
        claiming(facts, SUBJECT, names);
        facts.sans = Some(names.iter().map(|name| san(name)).collect());
    })
}

/// From the DER of a CSR's parts.
fn parsed(subject_der: &[u8], extensions: &[(ObjectIdentifier, &[u8])]) -> Vec<Case> {
    let extensions: Vec<RequestedExtension<'_>> = extensions
        .iter()
        .map(|(oid, value)| RequestedExtension { oid: *oid, value })
        .collect();
    let facts = Facts::from_request(
        subject_der,
        &support::rsa(2048),
        &extensions,
        "devices",
        support::now(),
        Digest::Sha256,
        Digest::Sha256,
        support::one_time("devices", SUBJECT, &[NAME]),
    );
    vec![(devices(), facts)]
}

fn extended(extensions: &[(ObjectIdentifier, &[u8])]) -> Vec<Case> {
    let subject = dn(SUBJECT).to_der(StringEncoding::Utf8).unwrap();
    let all = [&[(oids::ID_CE_SUBJECT_ALT_NAME, SAN)], extensions].concat();
    parsed(&subject, &all)
}

/// Under a profile that allows SHA-1, for ever or until now.
fn sha1(allowed: &str) -> Vec<Case> {
    let to = format!("[quirks]\nallow_sha1 = {allowed}\n\n[certificate]\n");
    let profile = changed_profile("demo", "devices", "[certificate]\n", &to);
    let mut facts = device();
    facts.message_digest = Digest::Sha1;
    vec![(profile, facts)]
}

pub(super) fn both(first: Vec<Case>, second: Vec<Case>) -> Vec<Case> {
    [first, second].concat()
}

pub(super) const EXAMPLES: &[Example] = &[
    (
        "POL-01",
        Passes,
        "a request to `/scep/devices`, decided under `devices`",
        || with(|_| {}),
    ),
    (
        "POL-01",
        Refused,
        "the same request, decided under `fleet`",
        || vec![(profile("demo", "fleet"), device())],
    ),
    (
        "POL-02",
        Passes,
        "a request on 2026-11-22 under a profile from 2025-01-01 until 2045-01-01",
        || with(|_| {}),
    ),
    ("POL-02", Refused, "the same request on 2045-01-01", || {
        with(|f| f.now = SystemTime::UNIX_EPOCH + Duration::from_secs(2_366_841_600))
    }),
    (
        "REQ-01",
        Passes,
        "a CSR with one subjectAltName extension",
        || extended(&[]),
    ),
    ("REQ-01", Refused, "a CSR with two", || {
        extended(&[(oids::ID_CE_SUBJECT_ALT_NAME, SAN)])
    }),
    (
        "REQ-01",
        Refused,
        "a subjectAltName with a directoryName",
        || {
            let subject = dn(SUBJECT).to_der(StringEncoding::Utf8).unwrap();
            let name = b"\x30\x04\xa4\x02\x30\x00";
            parsed(&subject, &[(oids::ID_CE_SUBJECT_ALT_NAME, name)])
        },
    ),
    (
        "REQ-01",
        Refused,
        "CA:FALSE with a pathLenConstraint",
        || extended(&[(oids::ID_CE_BASIC_CONSTRAINTS, b"\x30\x03\x02\x01\x00")]),
    ),
    ("REQ-01", Refused, "an RDN without an attribute", || {
        parsed(b"\x30\x02\x31\x00", &[(oids::ID_CE_SUBJECT_ALT_NAME, SAN)])
    }),
    ("ALG-01", Passes, "a pkiMessage signed with SHA-256", || {
        with(|f| f.message_digest = Digest::Sha256)
    }),
    (
        "ALG-01",
        Passes,
        "with `allow_sha1 = true`, one signed with SHA-1",
        || sha1("true"),
    ),
    ("ALG-01", Refused, "a pkiMessage signed with SHA-1", || {
        with(|f| f.message_digest = Digest::Sha1)
    }),
    (
        "ALG-01",
        Refused,
        "with `allow_sha1`, the same at its `until`",
        || sha1("{ value = true, until = 2026-11-22T00:00:00Z }"),
    ),
    ("ALG-02", Passes, "a CSR signed with SHA-512", || {
        with(|f| f.csr_digest = Digest::Sha512)
    }),
    ("ALG-02", Refused, "a CSR signed with SHA-1", || {
        with(|f| f.csr_digest = Digest::Sha1)
    }),
    ("SUB-01", Passes, "`device-1` as PrintableString", || {
        with_cn(PRINTABLE, "device-1")
    }),
    (
        "SUB-01",
        Refused,
        "`device-1` as BMPString or UniversalString",
        || {
            let tags = [0x1e, 0x1c].into_iter();
            tags.flat_map(|tag| with_cn(tag, "device-1")).collect()
        },
    ),
    ("SUB-02", Passes, "`device-1`", || with_cn(UTF8, "device-1")),
    (
        "SUB-02",
        Passes,
        "`Jürgen` with one code point for ü",
        || {
            with(|f| {
                claiming(f, "CN=J\u{fc}rgen,O=Example", &[NAME]);
                set_cn(f, UTF8, "J\u{fc}rgen");
            })
        },
    ),
    ("SUB-02", Refused, "`device-1` and a NUL", || {
        with_cn(UTF8, "device-1\0")
    }),
    ("SUB-02", Refused, "a trailing space", || {
        with_cn(UTF8, "device-1 ")
    }),
    (
        "SUB-02",
        Refused,
        "ü as u and a combining diaeresis (not NFC)",
        || with_cn(UTF8, "Ju\u{308}rgen"),
    ),
    (
        "SUB-02",
        Refused,
        "`device_1` as PrintableString, which has no underscore",
        || with_cn(PRINTABLE, "device_1"),
    ),
    ("SUB-02", Refused, "`Jürgen` as TeletexString", || {
        with_cn(0x14, "J\u{fc}rgen")
    }),
    ("SUB-03", Passes, "O, CN", || with(|_| {})),
    ("SUB-03", Refused, "O, CN, and the same CN again", || {
        with(|f| f.subject.push(f.subject[1].clone()))
    }),
    ("SUB-03", Refused, "one RDN with two CN", || {
        with(|f| f.subject[1].push(attribute(CN, UTF8, "device-2")))
    }),
    ("SUB-04", Passes, "O, then CN", || with(|_| {})),
    ("SUB-04", Refused, "CN, then O", || {
        with(|f| f.subject.reverse())
    }),
    ("SUB-04", Refused, "O alone", || {
        with(|f| f.subject.truncate(1))
    }),
    ("SUB-04", Refused, "O, CN, OU", || {
        with(|f| f.subject.push(vec![attribute(OU, UTF8, "VPN")]))
    }),
    (
        "SUB-04",
        Refused,
        "O, then the multi-valued RDN CN+OU",
        || with(|f| f.subject[1].push(attribute(OU, UTF8, "VPN"))),
    ),
    (
        "SUB-05",
        Passes,
        "CN `device-1` where the challenge is for `device-1`",
        || with(|_| {}),
    ),
    ("SUB-05", Refused, "CN `device-2`", || {
        with_cn(UTF8, "device-2")
    }),
    ("SUB-05", Refused, "CN `Device-1`", || {
        with_cn(UTF8, "Device-1")
    }),
    (
        "SUB-06",
        Passes,
        "CN as UTF8String where the profile accepts `utf8` and `printable`",
        || with_cn(UTF8, "device-1"),
    ),
    (
        "SUB-06",
        Refused,
        "CN as IA5String or TeletexString",
        || both(with_cn(0x16, "device-1"), with_cn(0x14, "device-1")),
    ),
    ("SAN-01", Passes, "`dns:a.example.com`", || {
        with_names(&[NAME])
    }),
    ("SAN-01", Refused, "`ip:192.0.2.1`", || {
        with(|f| f.sans = Some(vec![san("ip:192.0.2.1")]))
    }),
    (
        "SAN-02",
        Passes,
        "`dns:a.example.com`, `dns:xn--bcher-kva.example`, `dns:*.example.com` (that literal name), `dns:A.example.com`",
        || {
            let names = [NAME, "dns:xn--bcher-kva.example", "dns:*.example.com"];
            both(with_names(&names), with_names(&["dns:A.example.com"]))
        },
    ),
    (
        "SAN-02",
        Refused,
        "`dns:a.example.com.`, `dns:bücher.example`, `dns:192.0.2.1`",
        || {
            ["a.example.com.", "bücher.example", "192.0.2.1"]
                .into_iter()
                .flat_map(|name| {
                    let name = assay_policy::SubjectAltName::Dns(name.to_owned());
                    with(|f| f.sans = Some(vec![name]))
                })
                .collect()
        },
    ),
    ("SAN-03", Passes, "`dns:a.example.com`", || {
        with_names(&[NAME])
    }),
    (
        "SAN-03",
        Refused,
        "`dns:a.example.com` twice, or in another case again",
        || {
            let twice = with(|f| f.sans = Some(vec![san(NAME), san(NAME)]));
            let again = with(|f| f.sans = Some(vec![san(NAME), san("dns:A.example.com")]));
            both(twice, again)
        },
    ),
    ("SAN-04", Passes, "`dns:a.example.com`", || {
        with_names(&[NAME])
    }),
    (
        "SAN-04",
        Passes,
        "of two permitted names both, in any order and in any case",
        || {
            let names = [NAME, "dns:b.example.com"];
            let mut turned = with_names(&names);
            turned[0].1.sans.as_mut().unwrap().reverse();
            let capitals = with(|f| f.sans = Some(vec![san("dns:A.Example.COM")]));
            [with_names(&names), turned, capitals].concat()
        },
    ),
    ("SAN-04", Refused, "no name", || with(|f| f.sans = None)),
    (
        "SAN-04",
        Refused,
        "`dns:a.example.com` and `dns:b.example.com`",
        || with(|f| f.sans = Some(vec![san(NAME), san("dns:b.example.com")])),
    ),
    ("EXT-01", Passes, "none requested", || with(|_| {})),
    (
        "EXT-01",
        Passes,
        "digitalSignature and keyEncipherment",
        || extended(&[(oids::ID_CE_KEY_USAGE, b"\x03\x02\x05\xa0")]),
    ),
    ("EXT-01", Refused, "digitalSignature alone", || {
        extended(&[(oids::ID_CE_KEY_USAGE, b"\x03\x02\x07\x80")])
    }),
    ("EXT-01", Refused, "keyCertSign beside them", || {
        extended(&[(oids::ID_CE_KEY_USAGE, b"\x03\x02\x02\xa4")])
    }),
    ("EXT-02", Passes, "none requested", || with(|_| {})),
    ("EXT-02", Passes, "clientAuth", || {
        with(|f| f.extended_key_usage = Some(vec![oids::ID_KP_CLIENT_AUTH]))
    }),
    ("EXT-02", Refused, "serverAuth", || {
        with(|f| f.extended_key_usage = Some(vec![oids::ID_KP_SERVER_AUTH]))
    }),
    ("EXT-02", Refused, "clientAuth and serverAuth", || {
        let both = vec![oids::ID_KP_CLIENT_AUTH, oids::ID_KP_SERVER_AUTH];
        with(|f| f.extended_key_usage = Some(both))
    }),
    ("EXT-03", Passes, "none requested", || with(|_| {})),
    ("EXT-03", Passes, "CA:FALSE", || {
        extended(&[(oids::ID_CE_BASIC_CONSTRAINTS, b"\x30\x00")])
    }),
    ("EXT-03", Refused, "CA:TRUE", || {
        extended(&[(oids::ID_CE_BASIC_CONSTRAINTS, b"\x30\x03\x01\x01\xff")])
    }),
    (
        "EXT-04",
        Passes,
        "a subjectKeyIdentifier or authorityKeyIdentifier, which are overridden and counted",
        || {
            let cases = extended(&[
                (oids::ID_CE_SUBJECT_KEY_IDENTIFIER, b"\x04\x01\x07"),
                (oids::ID_CE_AUTHORITY_KEY_IDENTIFIER, b"\x30\x00"),
            ]);
            assert_eq!(cases[0].1.ignored_extensions, 2);
            cases
        },
    ),
    (
        "EXT-04",
        Refused,
        "the security identifier extension 1.3.6.1.4.1.311.25.2",
        || {
            let sid = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.25.2");
            extended(&[(sid, b"\x04\x01\x07")])
        },
    ),
    ("EXT-04", Refused, "nameConstraints", || {
        extended(&[(oids::ID_CE_NAME_CONSTRAINTS, b"\x30\x00")])
    }),
];
