//! Warnings: each kind is triggered by one change to a profile that has none.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

mod support;

use assay_policy::{Warning, WarningKind as Kind, warnings};
use support::{bundle, changed_profile, now, profile};

const QUIRKS: &str = "[renewal]\n";

/// What of `devices.toml` is changed, into what, and the kind and key of the one warning.
const CASES: [(&str, &str, Kind, &str); 13] = [
    (
        "message_digests = [\"sha256\", \"sha384\", \"sha512\"]",
        "message_digests = [\"sha256\", \"sha512\"]",
        Kind::NoSha384,
        "algorithms.message_digests",
    ),
    (
        "message_digests = [\"sha256\", \"sha384\", \"sha512\"]",
        "message_digests = [\"sha384\", \"sha512\"]",
        Kind::NoSha256,
        "algorithms.message_digests",
    ),
    (
        "csr_digests = [\"sha256\", \"sha384\", \"sha512\"]",
        "csr_digests = [\"sha384\", \"sha512\"]",
        Kind::NoSha256InCsr,
        "algorithms.csr_digests",
    ),
    (
        "content_ciphers = [\"aes128-cbc\", \"aes192-cbc\", \"aes256-cbc\"]",
        "content_ciphers = [\"aes192-cbc\", \"aes256-cbc\"]",
        Kind::AesNotAdvertised,
        "algorithms.content_ciphers",
    ),
    (
        "key_transports = [\"rsa-pkcs1\", \"rsa-oaep\"]",
        "key_transports = [\"rsa-oaep\"]",
        Kind::NoPkcs1Transport,
        "algorithms.key_transports",
    ),
    (
        "min_bits = 2048, max_bits = 4096",
        "min_bits = 3072, max_bits = 3072",
        Kind::UnusualRsaLength,
        "keys.rsa",
    ),
    (
        "window = \"90d\"",
        "window = \"91d\"",
        Kind::WindowBeyondValidity,
        "renewal.window",
    ),
    (
        "expires = 2045-01-01T00:00:00Z",
        "expires = 2026-11-22T00:00:00Z",
        Kind::Expired,
        "expires",
    ),
    (
        "not_before = 2025-01-01T00:00:00Z",
        "not_before = 2026-11-22T00:00:01Z",
        Kind::NotYetInForce,
        "not_before",
    ),
    (
        QUIRKS,
        "[quirks]\nsingle_ra = { value = true, until = 2026-11-22T00:00:00Z }\n[renewal]\n",
        Kind::ExceptionEnded,
        "quirks.single_ra",
    ),
    (
        QUIRKS,
        "[quirks]\nchain_in_reply = true\n[renewal]\n",
        Kind::ExceptionWithoutEnd,
        "quirks.chain_in_reply",
    ),
    (
        QUIRKS,
        "[quirks]\nnot_before_skew = \"9h\"\n[renewal]\n",
        Kind::ExceptionWithoutEnd,
        "quirks.not_before_skew",
    ),
    (
        QUIRKS,
        "[quirks]\nallow_sha1 = true\n[renewal]\n",
        Kind::ExceptionWithoutEnd,
        "quirks.allow_sha1",
    ),
];

#[track_caller]
fn only(found: &[Warning], kind: Kind, key: &str) {
    let [warning] = found else {
        panic!("wanted one warning of {kind}, got {found:?}");
    };
    assert_eq!((warning.kind, warning.key.as_str()), (kind, key));
    let shown = warning.to_string();
    for part in [&*warning.file, key, warning.affects, &*warning.instead] {
        assert!(!part.is_empty() && shown.contains(part), "{part}: {shown}");
    }
}

#[test]
fn each_kind_is_triggered_by_one_change() {
    for (from, to, kind, key) in CASES {
        let changed = changed_profile("demo", "devices", from, to);
        let found = warnings(&changed, now());
        only(&found, kind, key);
        assert_eq!(found[0].file, "devices.toml");
    }
}

#[test]
fn a_profile_of_elliptic_keys_alone_shuts_out_clients_that_know_rsa_alone() {
    let rsa = "rsa = { min_bits = 3072, max_bits = 4096 }\n";
    let changed = changed_profile("examples", "tls-server", rsa, "");
    only(&warnings(&changed, now()), Kind::NoRsaKeys, "keys.rsa");
}

#[test]
fn every_kind_has_a_case() {
    let mut cased: Vec<Kind> = CASES.iter().map(|(_, _, kind, _)| *kind).collect();
    cased.push(Kind::NoRsaKeys);
    for kind in Kind::ALL {
        assert!(cased.contains(kind), "{kind}");
    }
}

#[test]
fn an_exception_that_ends_later_is_no_reason_to_warn() {
    let later = "[quirks]\nsingle_ra = { value = true, until = 2026-11-22T00:00:01Z }\n[renewal]\n";
    let changed = changed_profile("demo", "devices", QUIRKS, later);
    assert_eq!(warnings(&changed, now()), []);
}

#[test]
fn shipped_profiles_have_no_warnings() {
    assert_eq!(warnings(&profile("demo", "devices"), now()), []);
    for directory in ["demo", "examples"] {
        for profile in bundle(directory).profiles().values() {
            assert_eq!(warnings(profile, now()), [], "{}", profile.name());
        }
    }
}

/// RULES.md lists each kind once.
#[test]
fn rules_md_lists_every_kind() {
    let document = include_str!("../RULES.md");
    for kind in Kind::ALL {
        assert_eq!(
            document.matches(&format!("| `{kind}` |")).count(),
            1,
            "{kind}"
        );
    }
}
