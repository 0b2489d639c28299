//! The example is a configuration, and every key of it counts.

#[allow(dead_code, reason = "other crates also write each key twice")]
#[path = "../../../../tests/shared/every_key.rs"]
mod every_key;

use assay_config::{ConfigError, Document};

use self::every_key::{Key, keys};
use super::*;

const EXAMPLE: &str = include_str!("../../hsm.toml.example");

/// Keys that may be left out. The example says the default of each, so that a file without means the same.
const OPTIONAL: &[&str] = &[
    "allow_same_user",
    "threads",
    "operation_deadline",
    "log_filter",
    "module.connect_tcp",
    "module.resolve_names",
    "module.unix_sockets",
    "module.shared_memory",
];

/// Tables and keys without which there is less.
const LESS: &[&str] = &[
    "metrics_file",
    "module.environment",
    "module.read",
    "module.write",
    "log",
    "ca",
    "ca.ra.single",
    "ca.ocsp",
];

/// Names of environment variables, which are not keys of ours.
const NOT_OURS: &str = "module.environment.";

fn ours() -> impl Iterator<Item = Key> {
    keys(EXAMPLE)
        .into_iter()
        .filter(|key| !key.path.starts_with(NOT_OURS))
}

fn read(text: &str) -> Result<HsmFile, String> {
    Document::from_text("hsm.toml", text)
        .parse()
        .map_err(|error: ConfigError| error.to_string())
}

#[test]
fn a_key_that_is_deleted_is_named_or_has_its_documented_default() {
    let meaning = |text: &str| read(text).map(|file| format!("{file:?}"));
    let whole = meaning(EXAMPLE).unwrap();
    let mut seen = 0;
    for key in ours() {
        seen += 1;
        let without = meaning(&key.deleted(EXAMPLE));
        let path = key.path.replace("[0]", "");
        if LESS.contains(&path.as_str()) {
            assert_ne!(without.unwrap(), whole, "{path}");
        } else if OPTIONAL.contains(&path.as_str()) {
            assert_eq!(without.unwrap(), whole, "{path}");
        } else {
            let told = without.unwrap_err();
            let missing = format!("missing key `{}`", key.name);
            assert!(told.contains(&missing), "{path}: {told}");
        }
    }
    assert!(seen > OPTIONAL.len() + LESS.len(), "{seen}");
}

#[test]
fn a_key_that_is_misspelt_is_named_as_it_is_written() {
    for key in ours() {
        let (text, wrong) = key.misspelt(EXAMPLE);
        let told = read(&text).unwrap_err();
        let unknown = format!("unknown key `{wrong}`");
        assert!(
            told.starts_with("hsm.toml:") && told.contains(&unknown),
            "{}: {told}",
            key.path
        );
    }
}
