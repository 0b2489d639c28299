//! Every lint holds on a sound TBSCertificate and fails on one that was changed against it.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "test code"
)]

mod cases;
mod constraints;
mod issuer;
mod scene;
mod writer;

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use assay_lint::{Expectation, LINTS, check};

use cases::CASES;
use scene::{KEY_USAGE, failing, issuer, sound};
use writer::{Parts, algorithm};

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
    let names: BTreeSet<&str> = LINTS.iter().map(|lint| lint.id.name()).collect();
    assert_eq!(names.len(), LINTS.len(), "a name occurs twice");
    let found = CASES.iter().map(|(lint, _)| *lint);
    let elsewhere = issuer::LINTS.iter().copied().chain([constraints::LINT]);
    assert_eq!(names, found.chain(elsewhere).collect());
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
        policies: &[],
        crl_distribution_points: &[],
        ca_issuers: &[],
        ocsp: &[],
        max_validity: Duration::ZERO,
        now: SystemTime::UNIX_EPOCH,
    };
    for end in 0..der.len() {
        let findings = check(&der[..end], &expectation).unwrap_err();
        let found: Vec<&str> = findings.iter().map(|finding| finding.id.as_str()).collect();
        assert_eq!(found, ["LINT-01"], "prefix of {end} octets");
    }
    let longer = [der, vec![0]].concat();
    assert_eq!(
        check(&longer, &expectation).unwrap_err()[0].id.as_str(),
        "LINT-01"
    );
}

#[test]
fn the_numbers_are_given_in_order_and_once() {
    for (index, lint) in LINTS.iter().enumerate() {
        assert_eq!(lint.id.as_str(), format!("LINT-{:02}", index + 1));
    }
}

/// Each with an example that passes and one that is refused: the cases here are those, in DER.
#[test]
fn rules_md_lists_the_lints_in_their_order() {
    let document = include_str!("../../../../policy/RULES.md");
    let documented: Vec<&str> = document
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .filter(|heading| heading.starts_with("LINT-"))
        .collect();
    let code: Vec<String> = LINTS
        .iter()
        .map(|lint| format!("{}: {}", lint.id.as_str(), lint.title))
        .collect();
    assert_eq!(documented, code);
}
