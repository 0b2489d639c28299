//! The example is a configuration, and every key of it counts.

#[path = "../../../../tests/shared/every_key.rs"]
mod every_key;

use super::*;
use assay_runtime::config::Document;

use self::every_key::{Key, keys};

const EXAMPLE: &str = include_str!("../../signer.toml.example");

/// Keys and tables that may be left out. The example says the default of each, so that a file without means the same.
const OPTIONAL: &[&str] = &[
    "hsm.health_interval",
    "hsm.queue",
    "policy.approver[2].retired",
    "ocsp.validity",
    "ocsp.refresh",
    "ocsp.rate",
    "ocsp.lookup_rate",
    "ocsp.sha256",
    "rollover.overlap",
    "crl",
    "audit",
    "limits",
    "log",
];

/// Lists that are empty where they are not there, the origin that is made up instead, `ocsp` and `rollover`, without which
/// there is none, and `policy`, which a later check asks for with what it is for.
const EMPTY: &[&str] = &[
    "audit.origin",
    "certificates.chain",
    "ocsp",
    "rollover",
    "rollover.ocsp",
    "rollover.certificates.chain",
    "policy",
    "policy.approver",
];

fn ours() -> Vec<Key> {
    keys(EXAMPLE)
}

fn read(text: &str) -> Result<SignerConfig, String> {
    Document::from_text("signer.toml", text)
        .parse()
        .map_err(|error: assay_runtime::config::ConfigError| error.to_string())
}

/// All that it says, but for the origin, which has no default: without it one is made of the signer's own names.
fn meaning(mut config: SignerConfig) -> String {
    config.audit.origin = None;
    format!("{config:?}")
}

fn example() -> Document {
    Document::from_text("signer.toml.example", EXAMPLE)
}

#[test]
fn the_example_is_a_configuration_and_says_the_defaults() {
    let config: SignerConfig = example().parse().unwrap();
    let (limits, crl) = (LimitsConfig::default(), CrlConfig::default());
    // The one key with a value that is made of others.
    let audit = AuditConfig {
        origin: config.audit.origin.clone(),
        ..AuditConfig::default()
    };
    assert_eq!(format!("{:?}", config.limits), format!("{limits:?}"));
    assert_eq!(format!("{:?}", config.crl), format!("{crl:?}"));
    assert_eq!(format!("{:?}", config.audit), format!("{audit:?}"));
}

#[test]
fn a_misspelt_key_is_named_with_its_line() {
    let text = EXAMPLE.replace("refusal_rate", "refusal_rat");
    let document = Document::from_text("signer.toml", text);
    let error = document.parse::<SignerConfig>().unwrap_err().to_string();
    assert!(
        error.starts_with("signer.toml:") && error.contains("refusal_rat"),
        "{error}"
    );
}

#[test]
fn a_key_that_is_deleted_is_named_or_has_its_documented_default() {
    let whole = meaning(read(EXAMPLE).unwrap());
    let mut defaults = 0;
    for key in ours() {
        let table = key.path.split('.').next().unwrap();
        let optional = |path: &str| OPTIONAL.contains(&path);
        let read = read(&key.deleted(EXAMPLE));
        if EMPTY.contains(&key.path.as_str()) {
            read.unwrap();
        } else if optional(&key.path) || (key.path != table && optional(table)) {
            assert_eq!(meaning(read.unwrap()), whole, "{}", key.path);
            defaults += 1;
        } else {
            let told = read.unwrap_err();
            let missing = format!("missing key `{}`", key.name);
            assert!(told.contains(&missing), "{}: {told}", key.path);
        }
    }
    assert!(defaults > OPTIONAL.len(), "{defaults}");
}

#[test]
fn a_key_that_is_misspelt_is_named_as_it_is_written() {
    for key in ours() {
        let (text, wrong) = key.misspelt(EXAMPLE);
        let told = read(&text).unwrap_err();
        let unknown = format!("unknown key `{wrong}`");
        assert!(
            told.starts_with("signer.toml:") && told.contains(&unknown),
            "{}: {told}",
            key.path
        );
    }
}

#[test]
fn a_key_that_is_there_twice_is_named_with_its_second_place() {
    for key in keys(EXAMPLE) {
        let (text, line) = key.twice(EXAMPLE);
        let told = read(&text).unwrap_err();
        let place = format!("signer.toml:{line}:");
        let duplicate = format!("`{}`: duplicate key", key.name);
        assert!(
            told.starts_with(&place) && told.contains(&duplicate),
            "{}: line {line}: {told}",
            key.path
        );
    }
}
