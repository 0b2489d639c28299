//! Every rule permits what it should and refuses what it should, and says so under its own id.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code"
)]

mod renewal;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use assay_policy::{
    Attribute, Facts, Field, FieldState, Grant, InventoryEntry, Malformed, Profile, PublicKeyFacts,
    RULES, Refusal, RuleId, SubjectAltName, decide, explain, fields,
};
use assay_types::Digest;
use const_oid::ObjectIdentifier;
use support::{bundle, dn, now, profile, san};

type Mutation = fn(&mut Facts);

/// A rule, what is done to a sound request, and what the refusal must tell.
type Case = (&'static str, Mutation, &'static str);

const UTF8: u8 = 0x0c;
const CN: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
const OU: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.11");

fn cn(facts: &mut Facts) -> &mut Attribute {
    &mut facts.subject[1][0]
}

fn set_cn(facts: &mut Facts, tag: u8, value: &[u8]) {
    *cn(facts) = Attribute {
        oid: CN,
        tag,
        value: value.to_vec(),
    };
}

fn set_key(facts: &mut Facts, spki: &[u8]) {
    facts.key = PublicKeyFacts::from_spki(spki);
}

fn rebind(facts: &mut Facts, profile: &str, subject: &str, sans: &[&str]) {
    facts.grant = support::one_time(profile, subject, sans);
}

fn entry(facts: &mut Facts, change: impl FnOnce(&mut InventoryEntry)) {
    support::regrant(facts, |_, claims| {
        change(claims.inventory.as_mut().unwrap());
    });
}

const DEVICES: &[Case] = &[
    (
        "POL-01",
        |f| f.profile = "fleet".into(),
        "wanted devices, got `fleet`",
    ),
    (
        "POL-02",
        |f| f.now = std::time::SystemTime::UNIX_EPOCH,
        "in force from 2025-01-01T00:00:00Z",
    ),
    (
        "POL-02",
        |f| f.now += Duration::from_secs(20 * 365 * 86_400),
        "in force until 2045-01-01T00:00:00Z",
    ),
    (
        "REQ-01",
        |f| {
            f.malformed.push(Malformed {
                field: "keyUsage".into(),
                reason: "the extension occurs twice".into(),
            });
        },
        "keyUsage: wanted what its standard says, got: the extension occurs twice",
    ),
    (
        "CHA-01",
        |f| f.grant = None,
        "wanted a one-time challenge, got none",
    ),
    (
        "CHA-01",
        |f| f.grant = support::inventory("devices", "device-1", None),
        "got static",
    ),
    (
        "CHA-02",
        |f| rebind(f, "smime", "CN=device-1,O=Example", &[]),
        "challenge c-1: wanted one for profile devices, got one for `smime`",
    ),
    (
        "CHA-03",
        |f| f.now += Duration::from_secs(60),
        "wanted use before 2026-11-22T00:01:00Z",
    ),
    (
        "CHA-04",
        |f| rebind(f, "devices", "CN=device-1,O=Elsewhere", &[]),
        "wanted `CN=device-1,O=Example`",
    ),
    (
        "CHA-04",
        |f| rebind(f, "devices", "O=Example", &[]),
        "must have exactly one CN",
    ),
    (
        "CHA-04",
        |f| rebind(f, "devices", "CN=device-1,O=Example", &["ip:192.0.2.1"]),
        "got `ip:192.0.2.1`",
    ),
    (
        "CHA-04",
        |f| {
            rebind(
                f,
                "devices",
                "CN=device-1,O=Example",
                &["dns:a.b", "dns:a.b"],
            );
        },
        "dns:a.b would be issued twice",
    ),
    (
        "ALG-01",
        |f| f.message_digest = Digest::Sha1,
        "message digest: wanted sha256, sha384, sha512, got sha1",
    ),
    (
        "ALG-02",
        |f| f.csr_digest = Digest::Sha1,
        "CSR digest: wanted sha256, sha384, sha512, got sha1",
    ),
    (
        "SUB-01",
        |f| set_cn(f, 0x1e, b"device-1"),
        "subject CN: wanted UTF8String, PrintableString, IA5String or TeletexString, got BMPString",
    ),
    ("SUB-01", |f| set_cn(f, 0x1e, b"\0d\0e"), "got BMPString"),
    (
        "SUB-01",
        |f| set_cn(f, 0x1c, b"\0\0\0d"),
        "got UniversalString",
    ),
    (
        "SUB-02",
        |f| set_cn(f, UTF8, b"device-1\0"),
        "NUL and control characters are not allowed",
    ),
    (
        "SUB-02",
        |f| set_cn(f, UTF8, b"device-1 "),
        "must not begin or end with a space",
    ),
    ("SUB-02", |f| set_cn(f, UTF8, b"\xff"), "wanted valid UTF-8"),
    (
        "SUB-02",
        |f| set_cn(f, UTF8, "cafe\u{301}".as_bytes()),
        "normalization form C",
    ),
    (
        "SUB-02",
        |f| set_cn(f, 0x13, b"device_1"),
        "wanted only characters of its string type",
    ),
    (
        "SUB-03",
        |f| {
            let again = f.subject[1].clone();
            f.subject.push(again);
        },
        "wanted each RDN once, got CN twice",
    ),
    (
        "SUB-03",
        |f| {
            let again = cn(f).clone();
            f.subject[1].push(again);
        },
        "wanted each type once in an RDN, got CN twice",
    ),
    (
        "SUB-04",
        |f| f.subject.swap(0, 1),
        "wanted the RDNs O, CN, got CN, O",
    ),
    (
        "SUB-04",
        |f| {
            f.subject.pop();
        },
        "got O",
    ),
    (
        "SUB-04",
        |f| {
            let mut ou = cn(f).clone();
            ou.oid = OU;
            f.subject[1].push(ou);
        },
        "got O, CN+OU",
    ),
    (
        "SUB-04",
        |f| {
            let mut ou = cn(f).clone();
            ou.oid = OU;
            f.subject.push(vec![ou]);
        },
        "got O, CN, OU",
    ),
    (
        "SUB-05",
        |f| set_cn(f, UTF8, b"device-2"),
        "subject CN: wanted `device-1`, got `device-2`",
    ),
    ("SUB-05", |f| set_cn(f, UTF8, b"Device-1"), "got `Device-1`"),
    (
        "SUB-06",
        |f| set_cn(f, 0x16, b"device-1"),
        "subject CN: wanted utf8, printable, got IA5String",
    ),
    (
        "SAN-01",
        |f| f.sans.as_mut().unwrap().push(san("ip:192.0.2.1")),
        "wanted types dns, got `ip:192.0.2.1`",
    ),
    (
        "SAN-02",
        |f| {
            f.sans = Some(vec![SubjectAltName::Dns("a.example.com.".into())]);
        },
        "a DNS name is ASCII labels",
    ),
    (
        "SAN-03",
        |f| f.sans.as_mut().unwrap().push(san("dns:a.example.com")),
        "got `dns:a.example.com` twice",
    ),
    (
        "SAN-04",
        |f| f.sans = None,
        "wanted `dns:a.example.com, dns:b.example.com`, got `none`",
    ),
    ("SAN-04", |f| f.sans = Some(vec![]), "got `none`"),
    (
        "SAN-04",
        |f| f.sans.as_mut().unwrap().truncate(1),
        "got `dns:a.example.com`",
    ),
    (
        "SAN-04",
        |f| f.sans.as_mut().unwrap().push(san("dns:c.example.com")),
        "dns:c.example.com`",
    ),
    (
        "EXT-01",
        |f| f.key_usage = Some(0x21),
        "wanted digitalSignature, keyEncipherment, got digitalSignature, keyCertSign",
    ),
    (
        "EXT-01",
        |f| f.key_usage = Some(0x01),
        "got digitalSignature",
    ),
    (
        "EXT-02",
        |f| f.extended_key_usage = Some(vec![]),
        "wanted clientAuth, got none",
    ),
    (
        "EXT-02",
        |f| f.extended_key_usage = Some(vec![const_oid::db::rfc5280::ID_KP_SERVER_AUTH]),
        "got serverAuth",
    ),
    (
        "EXT-03",
        |f| f.basic_constraints_ca = Some(true),
        "wanted CA:FALSE, got CA:TRUE",
    ),
    (
        "EXT-04",
        |f| {
            f.other_extensions
                .push(ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.25.2"));
        },
        "extension 1.3.6.1.4.1.311.25.2: wanted none",
    ),
    (
        "KEY-01",
        |f| set_key(f, &support::ec()),
        "wanted RSA, got EC p256",
    ),
    (
        "KEY-01",
        |f| set_key(f, b"\x30\x00"),
        "not a DER SubjectPublicKeyInfo",
    ),
    (
        "KEY-01",
        |f| set_key(f, &support::rsa_without_null()),
        "wanted RSA, got an encoding other than the canonical DER",
    ),
    (
        "KEY-02",
        |f| set_key(f, &support::rsa(1024)),
        "wanted 2048 to 4096 bits, got 1024",
    ),
    (
        "KEY-03",
        |f| set_key(f, &support::rsa_with_exponent(3)),
        "got 0x03",
    ),
    (
        "KEY-03",
        |f| set_key(f, &support::rsa_with_exponent(65_538)),
        "got 0x010002",
    ),
    (
        "KEY-04",
        |f| set_key(f, &support::rsa_divisible()),
        "divisible by 3",
    ),
    ("KEY-05", |f| set_key(f, &support::rsa_roca()), "ROCA"),
    (
        "KEY-06",
        |f| set_key(f, &support::rsa_close_primes()),
        "Fermat",
    ),
];

const FLEET: &[Case] = &[
    (
        "CHA-01",
        |f| rebind(f, "fleet", "CN=device-1,O=Example", &[]),
        "wanted a static challenge, got one-time",
    ),
    (
        "CHA-02",
        |f| f.grant = support::inventory("devices", "device-1", None),
        "got one for `devices`",
    ),
    (
        "CHA-05",
        |f| {
            f.grant = Some(Grant::shared("s-1".into(), "fleet".into(), None));
        },
        "wanted a name in inventory fleet, got `device-1`",
    ),
    (
        "CHA-05",
        |f| entry(f, |it| it.name = "x".repeat(65)),
        "at most 64 characters",
    ),
    (
        "CHA-06",
        |f| entry(f, |it| it.spki_sha256 = Some([0; 32].into())),
        "wanted SPKI SHA-256 0000",
    ),
    (
        "CHA-08",
        |f| entry(f, |it| it.already_issued = true),
        "wanted the first certificate of `device-1`",
    ),
    (
        "REN-01",
        |f| f.grant = renewal::fleet().1.grant,
        "certificate 1f: wanted a profile with [renewal], got fleet without",
    ),
    (
        "SUB-05",
        |f| entry(f, |it| it.name = "device-2".into()),
        "wanted `device-2`, got `device-1`",
    ),
    (
        "SAN-01",
        |f| f.sans = Some(vec![san("dns:device-1")]),
        "wanted types none",
    ),
];

const GATEWAY: &[Case] = &[
    (
        "CHA-07",
        |f| entry(f, |it| it.spki_sha256 = None),
        "wanted a pinned key for `gw1.example.com`",
    ),
    (
        "SUB-04",
        |f| {
            f.subject[1].remove(0);
        },
        "wanted the RDNs O, CN+OU",
    ),
    (
        "SAN-04",
        |f| f.sans = Some(vec![san("dns:gw2.example.com")]),
        "wanted `dns:gw1.example.com`",
    ),
];

const SERVER: &[Case] = &[
    (
        "KEY-07",
        |f| set_key(f, &support::ec_off_curve()),
        "wanted an uncompressed point on its curve",
    ),
    (
        "KEY-02",
        |f| set_key(f, &support::rsa(2048)),
        "wanted 3072 to 4096 bits, got 2048",
    ),
    (
        "CHA-04",
        |f| rebind(f, "tls-server", "", &[]),
        "binds 0 subject alternative names of type dns",
    ),
    (
        "SAN-04",
        |f| f.sans.as_mut().unwrap().truncate(1),
        "wanted `dns:www.example.com, ip:192.0.2.7`",
    ),
];

fn tables() -> [(Profile, Facts, &'static [Case]); 6] {
    let (devices, device) = renewal::device();
    let (fleet, fleet_device) = renewal::fleet();
    [
        (profile("demo", "devices"), support::device(), DEVICES),
        (profile("demo", "fleet"), support::fleet(), FLEET),
        (
            profile("examples", "vpn-gateway"),
            support::gateway(),
            GATEWAY,
        ),
        (profile("examples", "tls-server"), support::server(), SERVER),
        (devices, device, renewal::DEVICES),
        (fleet, fleet_device, renewal::FLEET),
    ]
}

fn refusal(profile: &Profile, facts: &Facts) -> Option<Refusal> {
    decide(profile, facts).err()
}

#[test]
fn sound_requests_are_permitted() {
    for (profile, facts, _) in tables() {
        assert_eq!(refusal(&profile, &facts), None, "{}", profile.name());
        assert_eq!(explain(&profile, &facts), []);
        let fields = fields(&profile, &facts);
        let refused = |field: &&Field| field.state == FieldState::Refused;
        assert_eq!(fields.iter().find(refused), None, "{}", profile.name());
    }
}

/// The rules that refuse a field, by name.
fn refused_fields(fields: &[Field]) -> BTreeSet<RuleId> {
    let refusals = fields.iter().flat_map(|field| &field.refusals);
    refusals.map(|refusal| refusal.rule).collect()
}

#[test]
fn fields_are_refused_by_the_rules_that_refuse_the_request_and_by_no_other() {
    for (profile, sound, cases) in tables() {
        for (rule, mutate, detail) in cases {
            let mut facts = sound.clone();
            mutate(&mut facts);
            let fields = fields(&profile, &facts);
            let wanted = explain(&profile, &facts);
            let wanted: BTreeSet<RuleId> = wanted.iter().map(|refusal| refusal.rule).collect();
            assert_eq!(refused_fields(&fields), wanted, "{rule}: {detail}");
            for field in &fields {
                assert_eq!(
                    field.state == FieldState::Refused,
                    !field.refusals.is_empty(),
                    "{field:?}"
                );
                let judged: BTreeSet<RuleId> = field.rules.iter().copied().collect();
                assert!(
                    refused_fields(std::slice::from_ref(field)).is_subset(&judged),
                    "{field:?}"
                );
            }
            // Every rule has a field to stand at.
            let unnamed = fields.iter().find(|field| field.name == "request");
            assert_eq!(unnamed, None, "{rule}: {detail}");
        }
    }
}

#[test]
fn each_rule_refuses_under_its_own_id_and_says_what_was_wanted() {
    for (profile, sound, cases) in tables() {
        for (rule, mutate, detail) in cases {
            let mut facts = sound.clone();
            mutate(&mut facts);
            let refusal =
                refusal(&profile, &facts).unwrap_or_else(|| panic!("{rule} permits: {detail}"));
            assert_eq!(refusal.rule.as_str(), *rule, "{refusal}");
            assert!(
                refusal.detail.contains(detail),
                "{rule}: `{detail}` is not in `{}`",
                refusal.detail
            );
            assert!(explain(&profile, &facts).contains(&refusal));
        }
    }
}

#[test]
fn every_rule_has_a_case_that_it_refuses() {
    let ids: BTreeSet<&str> = RULES.iter().map(|rule| rule.id.as_str()).collect();
    assert_eq!(ids.len(), RULES.len(), "an id occurs twice");
    let tested: BTreeSet<&str> = tables()
        .iter()
        .flat_map(|(_, _, cases)| cases.iter().map(|case| case.0))
        .collect();
    assert_eq!(ids, tested);
}

#[test]
fn what_may_vary_is_permitted() {
    let profile = profile("demo", "devices");
    let variations: &[(&str, Mutation)] = &[
        ("PrintableString for UTF8String", |f| cn(f).tag = 0x13),
        ("the order of SANs", |f| f.sans.as_mut().unwrap().reverse()),
        ("an equal keyUsage", |f| f.key_usage = Some(0x05)),
        ("an equal extendedKeyUsage", |f| {
            f.extended_key_usage = Some(vec![const_oid::db::rfc5280::ID_KP_CLIENT_AUTH]);
        }),
        ("CA:FALSE", |f| f.basic_constraints_ca = Some(false)),
        ("SHA-512", |f| f.csr_digest = Digest::Sha512),
        ("a longer key", |f| set_key(f, &support::rsa(3072))),
        ("the last second of the challenge", |f| {
            f.now = now() + Duration::from_secs(59);
        }),
    ];
    for (what, mutate) in variations {
        let mut facts = support::device();
        mutate(&mut facts);
        assert_eq!(refusal(&profile, &facts), None, "{what}");
    }
}

#[test]
fn a_refusal_is_one_bounded_printable_line() {
    let profile = profile("demo", "devices");
    let mut facts = support::device();
    set_cn(&mut facts, UTF8, "x\u{1b}[2J\n".repeat(1000).as_bytes());
    let refusal = refusal(&profile, &facts).unwrap();
    assert!(refusal.detail.chars().count() <= 513);
    assert!(!refusal.detail.contains(char::is_control), "{refusal}");
}

#[test]
fn a_challenge_or_inventory_name_that_could_never_be_granted_is_refused_when_made() {
    let bundle = bundle("demo");
    let devices = bundle.profile("devices").unwrap();
    assert_eq!(
        devices.check_challenge(&dn("CN=device-1,O=Example"), &[san("dns:a.example.com")]),
        Ok(())
    );
    for (subject, sans) in [
        ("CN=device-1,O=Elsewhere", vec![]),
        ("O=Example,CN=device-1", vec![]),
        ("CN=device-1,OU=x,O=Example", vec![]),
        ("CN=device-1,O=Example", vec![san("email:a@example.com")]),
    ] {
        let refusal = devices.check_challenge(&dn(subject), &sans).unwrap_err();
        assert_eq!(refusal.rule.as_str(), "CHA-04", "{subject}");
    }
    let fleet = bundle.profile("fleet").unwrap();
    assert_eq!(
        fleet.inventory_subject("device-1").unwrap().to_string(),
        "CN=device-1,O=Example"
    );
    for name in ["", " device", "x\ny"] {
        assert_eq!(
            fleet.inventory_subject(name).unwrap_err().rule.as_str(),
            "CHA-05",
            "{name:?}"
        );
    }
    assert_eq!(
        fleet.inventory_name(&support::fleet().subject).as_deref(),
        Some("device-1")
    );
}

#[test]
fn a_joined_name_comes_from_the_claim_and_never_from_the_request() {
    let wifi = profile("examples", "wifi-device");
    let subject = "CN=ap-7,OU=Wireless,O=Example GmbH,C=DE";
    let sans = ["dns:ap-7.wifi.example.com"];
    let mut facts = support::request(
        "wifi-device",
        subject,
        &sans,
        &support::rsa(2048),
        support::one_time("wifi-device", subject, &sans),
    );
    assert_eq!(refusal(&wifi, &facts), None);
    facts.sans = Some(vec![san("dns:ap-8.wifi.example.com")]);
    assert_eq!(refusal(&wifi, &facts).unwrap().rule.as_str(), "SAN-04");
}
