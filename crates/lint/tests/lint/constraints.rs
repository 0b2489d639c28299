//! Name constraints: for each form a name that a subtree lets pass and one that it does not.

use assay_lint::IssuerCertificate;
use const_oid::db::rfc5280 as oids;

use crate::scene::{ca, certificate, failing_under, set_san, sound};
use crate::writer::{Extension, Parts, name, rdn, sequence, tlv};

pub(crate) const LINT: &str = "name-constraints";

const PERMITTED: u8 = 0xa0;
const EXCLUDED: u8 = 0xa1;
const MAIL: u8 = 0x81;
const DNS: u8 = 0x82;
const DIRECTORY: u8 = 0xa4;
const URI: u8 = 0x86;
const IP: u8 = 0x87;
const REGISTERED: u8 = 0x88;

/// Whether the CA with such a subtree may issue for the name; `None` for a name in the subject.
fn passes(list: u8, form: u8, base: &[u8], change: impl Fn(&mut Parts)) -> bool {
    let mut ca = ca();
    let value = sequence(&[tlv(list, &sequence(&[tlv(form, base)]))]);
    ca.extensions
        .push(Extension::new(oids::ID_CE_NAME_CONSTRAINTS, true, value));
    let issuer = IssuerCertificate::from_der(&certificate(&ca)).unwrap();
    let mut parts = sound();
    change(&mut parts);
    !failing_under(&issuer, &parts, &parts).contains(LINT)
}

fn san_passes(list: u8, form: u8, base: &[u8], san: (u8, &[u8])) -> bool {
    passes(list, form, base, |parts| set_san(parts, &[san]))
}

type Case = (u8, u8, &'static [u8], u8, &'static [u8], bool);

const CASES: &[Case] = &[
    (PERMITTED, DNS, b"example.com", DNS, b"example.com", true),
    (
        PERMITTED,
        DNS,
        b"example.com",
        DNS,
        b"a.b.example.com",
        true,
    ),
    (PERMITTED, DNS, b"EXAMPLE.com", DNS, b"a.example.com", true),
    (
        PERMITTED,
        DNS,
        b"example.com",
        DNS,
        b"badexample.com",
        false,
    ),
    (PERMITTED, DNS, b"example.com", DNS, b"example.org", false),
    (
        PERMITTED,
        DNS,
        b"a.example.com",
        DNS,
        b"*.example.com",
        false,
    ),
    (PERMITTED, DNS, b".example.com", DNS, b"a.example.com", true),
    (PERMITTED, DNS, b".example.com", DNS, b"example.com", false),
    (PERMITTED, DNS, b"", DNS, b"anything.example", true),
    (EXCLUDED, DNS, b"", DNS, b"anything.example", false),
    (EXCLUDED, DNS, b"example.com", DNS, b"a.example.com", false),
    (EXCLUDED, DNS, b"example.com", DNS, b"example.org", true),
    (EXCLUDED, DNS, b".example.com", DNS, b"example.com", false),
    (
        EXCLUDED,
        DNS,
        b"a.example.com",
        DNS,
        b"*.example.com",
        false,
    ),
    (EXCLUDED, DNS, b"a.example.com", DNS, b"b.example.com", true),
    (
        PERMITTED,
        IP,
        &[10, 0, 0, 0, 255, 0, 0, 0],
        IP,
        &[10, 1, 2, 3],
        true,
    ),
    (
        PERMITTED,
        IP,
        &[10, 0, 0, 0, 255, 0, 0, 0],
        IP,
        &[11, 1, 2, 3],
        false,
    ),
    (
        PERMITTED,
        IP,
        &[10, 0, 0, 0, 255, 0, 0, 0],
        IP,
        &[10; 16],
        false,
    ),
    (
        EXCLUDED,
        IP,
        &[10, 0, 0, 0, 255, 0, 0, 0],
        IP,
        &[10, 1, 2, 3],
        false,
    ),
    (
        EXCLUDED,
        IP,
        &[10, 0, 0, 0, 255, 0, 0, 0],
        IP,
        &[10; 16],
        true,
    ),
    (
        PERMITTED,
        MAIL,
        b"a@example.com",
        MAIL,
        b"a@example.com",
        true,
    ),
    (
        PERMITTED,
        MAIL,
        b"a@example.com",
        MAIL,
        b"a@EXAMPLE.com",
        true,
    ),
    (
        PERMITTED,
        MAIL,
        b"a@example.com",
        MAIL,
        b"A@example.com",
        false,
    ),
    (
        PERMITTED,
        MAIL,
        b"example.com",
        MAIL,
        b"a@example.com",
        true,
    ),
    (
        PERMITTED,
        MAIL,
        b"example.com",
        MAIL,
        b"a@b.example.com",
        false,
    ),
    (
        PERMITTED,
        MAIL,
        b".example.com",
        MAIL,
        b"a@b.example.com",
        true,
    ),
    (
        PERMITTED,
        MAIL,
        b".example.com",
        MAIL,
        b"a@example.com",
        false,
    ),
    (
        EXCLUDED,
        MAIL,
        b"example.com",
        MAIL,
        b"a@example.com",
        false,
    ),
    (EXCLUDED, MAIL, b"example.com", MAIL, b"a@example.org", true),
    (
        PERMITTED,
        URI,
        b"example.com",
        URI,
        b"https://u@example.com:8/x",
        true,
    ),
    (
        PERMITTED,
        URI,
        b"example.com",
        URI,
        b"https://a.example.com",
        false,
    ),
    (
        PERMITTED,
        URI,
        b".example.com",
        URI,
        b"https://a.example.com?q",
        true,
    ),
    (
        PERMITTED,
        URI,
        b"example.com",
        URI,
        b"urn:example.com",
        false,
    ),
    (
        EXCLUDED,
        URI,
        b"example.com",
        URI,
        b"urn:example.com",
        false,
    ),
    (
        EXCLUDED,
        URI,
        b"example.com",
        URI,
        b"https://192.0.2.1/",
        false,
    ),
    (
        EXCLUDED,
        URI,
        b"example.com",
        URI,
        b"https://example.org/",
        true,
    ),
    // A constraint on one form says nothing of another.
    (PERMITTED, DNS, b"example.com", IP, &[10, 1, 2, 3], true),
    (EXCLUDED, MAIL, b"", DNS, b"a.example.com", true),
    // A form that is not compared: refused where it occurs, of no weight where it does not.
    (
        EXCLUDED,
        REGISTERED,
        &[0x2a, 3],
        REGISTERED,
        &[0x2a, 4],
        false,
    ),
    (
        EXCLUDED,
        REGISTERED,
        &[0x2a, 3],
        DNS,
        b"a.example.com",
        true,
    ),
];

#[test]
fn alternative_names_are_held_to_subtrees_of_their_form() {
    for (index, (list, form, base, tag, value, wanted)) in CASES.iter().enumerate() {
        let got = san_passes(*list, *form, base, (*tag, value));
        assert_eq!(
            got,
            *wanted,
            "case {index}: {}",
            String::from_utf8_lossy(value)
        );
    }
}

#[test]
fn the_subject_is_held_to_directory_names() {
    let of = |rdns: &[(&str, &[u8])], tag: u8| {
        let rdns: Vec<Vec<u8>> = rdns
            .iter()
            .map(|(kind, text)| rdn(tag, kind, text))
            .collect();
        name(&rdns)
    };
    let example = of(&[("2.5.4.10", b"Example")], 0x0c);
    let cases = [
        (PERMITTED, example.clone(), true),
        // Neither case, nor string type, nor spaces make another name.
        (PERMITTED, of(&[("2.5.4.10", b"EXAMPLE")], 0x13), true),
        (EXCLUDED, of(&[("2.5.4.10", b" example ")], 0x13), false),
        (EXCLUDED, example, false),
        (EXCLUDED, of(&[("2.5.4.10", b"Other")], 0x0c), true),
        (PERMITTED, of(&[("2.5.4.10", b"Other")], 0x0c), false),
        (PERMITTED, of(&[("2.5.4.3", b"device-1")], 0x0c), false),
        (PERMITTED, of(&[], 0x0c), true),
        (EXCLUDED, of(&[], 0x0c), false),
    ];
    for (index, (list, base, wanted)) in cases.iter().enumerate() {
        assert_eq!(
            passes(*list, DIRECTORY, base, |_| {}),
            *wanted,
            "case {index}"
        );
        // The same of a directoryName among the alternative names.
        let subject = sound().subject;
        let got = passes(*list, DIRECTORY, base, |parts| {
            parts.subject = name(&[]);
            set_san(parts, &[(DIRECTORY, &subject)]);
        });
        assert_eq!(got, *wanted, "case {index} as an alternative name");
    }
}

#[test]
fn a_mailbox_in_the_subject_is_held_to_mailboxes() {
    let address = |parts: &mut Parts| {
        parts.subject = name(&[rdn(0x16, "1.2.840.113549.1.9.1", b"a@example.com")]);
    };
    assert!(passes(PERMITTED, MAIL, b"example.com", address));
    assert!(!passes(PERMITTED, MAIL, b"example.org", address));
    assert!(!passes(EXCLUDED, MAIL, b"a@example.com", address));
}

#[test]
fn what_a_ca_above_constrains_binds_the_ca_below() {
    let mut root = ca();
    root.subject = root.issuer.clone();
    root.extensions.remove(0);
    root.extensions.push(Extension::new(
        oids::ID_CE_BASIC_CONSTRAINTS,
        true,
        sequence(&[vec![1, 1, 0xff]]),
    ));
    for (base, wanted) in [(b"example.com", true), (b"example.org", false)] {
        let value = sequence(&[tlv(PERMITTED, &sequence(&[tlv(DNS, base)]))]);
        let mut root = root.clone();
        root.extensions
            .push(Extension::new(oids::ID_CE_NAME_CONSTRAINTS, true, value));
        let issuer = IssuerCertificate::from_der(&certificate(&ca()))
            .unwrap()
            .under(&[certificate(&root)])
            .unwrap();
        assert_eq!(
            failing_under(&issuer, &sound(), &sound()).is_empty(),
            wanted
        );
    }
}
