//! What the issuer's certificate, and those above it, let be issued.

use std::collections::BTreeSet;

use assay_lint::{IssuerCertificate, IssuerError};
use const_oid::db::rfc5280 as oids;

use crate::scene::{ca, certificate, extension, failing_under, rsa_spki, sound};
use crate::writer::{Extension, Parts, name, rdn, sequence, tlv};

/// The lints that look at the issuer alone.
pub(crate) const LINTS: [&str; 4] = [
    "issuer-ca",
    "issuer-key-strength",
    "issuer-key-usage",
    "issuer-path-length",
];

/// The CA above [`ca`], which makes room for one below it.
fn root() -> Parts {
    let mut root = ca();
    root.subject = name(&[rdn(0x0c, "2.5.4.3", b"Example Root")]);
    root.issuer = root.subject.clone();
    set_constraints(&mut root, 1);
    root
}

fn set_constraints(parts: &mut Parts, path_length: u8) {
    let value = sequence(&[vec![1, 1, 0xff], tlv(0x02, &[path_length])]);
    extension(parts, oids::ID_CE_BASIC_CONSTRAINTS).value = value;
}

fn under(ca: &Parts, chain: &[&Parts]) -> IssuerCertificate {
    let chain: Vec<Vec<u8>> = chain.iter().map(|ca| certificate(ca)).collect();
    IssuerCertificate::from_der(&certificate(ca))
        .unwrap()
        .under(&chain)
        .unwrap()
}

/// The finding of [`IssuerCertificate::unfit`] must be among those of the lints.
fn found(issuer: &IssuerCertificate) -> BTreeSet<String> {
    let found = failing_under(issuer, &sound(), &sound());
    match issuer.unfit() {
        Some(finding) => assert!(found.contains(finding.id.name()), "{finding}: {found:?}"),
        None => assert!(found.is_empty(), "{found:?}"),
    }
    found
}

#[test]
fn a_ca_under_its_root_may_issue() {
    assert_eq!(found(&under(&ca(), &[&root()])), BTreeSet::new());
    // Order does not matter, nor certificates that are not above the CA.
    let mut stranger = root();
    stranger.subject = name(&[rdn(0x0c, "2.5.4.3", b"Stranger")]);
    set_constraints(&mut stranger, 0);
    let chain = under(&ca(), &[&stranger, &root()]);
    assert_eq!(found(&chain), BTreeSet::new());
}

/// A lint, and a change to the issuer that it must find.
type Case = (&'static str, fn(&mut Parts));

#[test]
fn each_lint_about_the_issuer_finds_what_was_changed_against_it() {
    let cases: [Case; 8] = [
        ("issuer-ca", |ca| {
            extension(ca, oids::ID_CE_BASIC_CONSTRAINTS).value = sequence(&[]);
        }),
        ("issuer-ca", |ca| {
            extension(ca, oids::ID_CE_BASIC_CONSTRAINTS).critical = false;
        }),
        ("issuer-ca", |ca| {
            ca.extensions.remove(0);
        }),
        ("issuer-key-usage", |ca| {
            extension(ca, oids::ID_CE_KEY_USAGE).value = vec![0x03, 2, 1, 0x02];
        }),
        ("issuer-key-usage", |ca| {
            ca.extensions.remove(1);
        }),
        ("issuer-key-strength", |ca| {
            ca.spki = rsa_spki(&[0xc1; 128], &[1, 0, 1]);
        }),
        ("signature-strength", |ca| {
            ca.spki = rsa_spki(&[0xc1; 256], &[1, 0, 1]);
        }),
        ("validity-nested", |ca| {
            ca.not_after = tlv(0x17, b"270101000000Z");
        }),
    ];
    for (index, (lint, change)) in cases.iter().enumerate() {
        let mut ca = ca();
        change(&mut ca);
        let issuer = under(&ca, &[]);
        let found = failing_under(&issuer, &sound(), &sound());
        assert!(found.contains(*lint), "case {index}: {lint}, got {found:?}");
        if LINTS.contains(lint) {
            assert_eq!(issuer.unfit().unwrap().id.name(), *lint, "case {index}");
        }
    }
}

#[test]
fn a_path_length_above_counts_the_cas_below_but_not_the_leaf() {
    let mut root = root();
    set_constraints(&mut root, 0);
    let found_under = found(&under(&ca(), &[&root]));
    assert_eq!(
        found_under,
        BTreeSet::from(["issuer-path-length".to_owned()])
    );
    // An intermediate between the two takes the room that the root leaves for one.
    let mut middle = ca();
    middle.subject = name(&[rdn(0x0c, "2.5.4.3", b"Example Middle")]);
    middle.issuer = root.subject.clone();
    set_constraints(&mut middle, 1);
    let mut low = ca();
    low.issuer = middle.subject.clone();
    for (length, wanted) in [(1, true), (2, false)] {
        set_constraints(&mut root, length);
        let chain = under(&low, &[&root, &middle]);
        let is_found = found(&chain).contains("issuer-path-length");
        assert_eq!(is_found, wanted, "path length {length}");
    }
}

#[test]
fn a_superior_that_is_no_ca_is_found() {
    let mut root = root();
    extension(&mut root, oids::ID_CE_BASIC_CONSTRAINTS).value = sequence(&[]);
    let found = found(&under(&ca(), &[&root]));
    assert_eq!(found, BTreeSet::from(["issuer-ca".to_owned()]));
}

#[test]
fn an_issuer_that_cannot_be_read_is_refused() {
    let read = |ca: &Parts| IssuerCertificate::from_der(&certificate(ca));
    let mut nameless = ca();
    nameless.extensions.pop();
    assert!(matches!(read(&nameless), Err(IssuerError::NoKeyIdentifier)));
    let mut timeless = ca();
    timeless.not_after = tlv(0x17, b"3601010000Z");
    assert!(matches!(read(&timeless), Err(IssuerError::Validity)));
    // Subtrees with a minimum, a mask of seven octets, none at all: each could be misread to permit.
    let base = tlv(0x82, b"example.com");
    let minimum = sequence(&[base, tlv(0x80, &[1])]);
    let mask = sequence(&[tlv(0x87, &[10, 0, 0, 0, 255, 0, 0])]);
    for subtrees in [minimum, mask, vec![]] {
        let mut constrained = ca();
        let value = sequence(&[tlv(0xa0, &subtrees)]);
        constrained
            .extensions
            .push(Extension::new(oids::ID_CE_NAME_CONSTRAINTS, true, value));
        assert!(matches!(
            read(&constrained),
            Err(IssuerError::NameConstraints(_))
        ));
    }
    // A loop among the names of a chain ends.
    let mut first = ca();
    first.subject = name(&[rdn(0x0c, "2.5.4.3", b"Example Root")]);
    first.issuer = name(&[rdn(0x0c, "2.5.4.3", b"Example CA")]);
    let chain = [certificate(&first), certificate(&ca())];
    let outcome = read(&ca()).unwrap().under(&chain);
    assert!(matches!(outcome, Err(IssuerError::Chain)));
}
