//! Each key of the example deleted, misspelt and written twice: told by name, or its default taken.
#![allow(clippy::unwrap_used, reason = "test code")]

#[path = "../../../tests/shared/every_key.rs"]
mod every_key;

use assay_frontend::FrontendConfig;
use every_key::keys;

const EXAMPLE: &str = include_str!("../frontend.toml.example");

/// What a file must say; the example says the default of everything else.
const REQUIRED: &[&str] = &[
    "http",
    "http.listen",
    "signer",
    "signer.address",
    "signer.identity",
    "signer.certificate",
    "signer.private_key",
    "signer.trust_anchors",
    "ops",
    "ops.listen",
];

/// The example with HTTPS, which it has in comments.
fn whole() -> String {
    let mut text = EXAMPLE.replace("#[http.tls]", "[http.tls]");
    for key in ["certificate", "private_key"] {
        text = text.replace(&format!("#{key} ="), &format!("{key} ="));
    }
    assert!(text.contains("\n[http.tls]\ncertificate = "));
    text
}

fn read(text: &str) -> Result<FrontendConfig, String> {
    FrontendConfig::parse("frontend.toml", text).map_err(|error| error.to_string())
}

/// What it means; the text that it was read from, which it holds too, left out.
fn meaning(config: &FrontendConfig) -> String {
    let FrontendConfig {
        http,
        signer,
        limits,
        ops,
        log,
        ..
    } = config;
    format!("{http:?} {signer:?} {limits:?} {ops:?} {log:?}")
}

#[test]
fn a_key_that_is_deleted_is_named_or_has_its_documented_default() {
    let example = meaning(&read(EXAMPLE).unwrap());
    let mut defaults = 0;
    for key in keys(EXAMPLE) {
        let read = read(&key.deleted(EXAMPLE));
        if REQUIRED.contains(&key.path.as_str()) {
            let told = read.unwrap_err();
            let missing = format!("missing key `{}`", key.name);
            assert!(told.contains(&missing), "{}: {told}", key.path);
        } else {
            assert_eq!(meaning(&read.unwrap()), example, "{}", key.path);
            defaults += 1;
        }
    }
    assert!(defaults > 10, "{defaults}");
}

#[test]
fn https_is_whole_or_not_there() {
    let text = whole();
    assert!(read(&text).unwrap().http.tls.is_some());
    for key in keys(&text) {
        if let Some(name) = key.path.strip_prefix("http.tls.") {
            let told = read(&key.deleted(&text)).unwrap_err();
            assert!(told.contains(&format!("missing key `{name}`")), "{told}");
        }
    }
}

#[test]
fn a_key_that_is_misspelt_is_named_as_it_is_written() {
    let whole = whole();
    for key in keys(&whole) {
        let (text, wrong) = key.misspelt(&whole);
        let told = read(&text).unwrap_err();
        let unknown = format!("unknown key `{wrong}`");
        assert!(
            told.starts_with("frontend.toml:") && told.contains(&unknown),
            "{}: {told}",
            key.path
        );
    }
}

#[test]
fn a_key_that_is_there_twice_is_named_with_its_second_place() {
    let whole = whole();
    for key in keys(&whole) {
        let (text, line) = key.twice(&whole);
        let told = read(&text).unwrap_err();
        let place = format!("frontend.toml:{line}:");
        let duplicate = format!("`{}`: duplicate key", key.name);
        assert!(
            told.starts_with(&place) && told.contains(&duplicate),
            "{}: line {line}: {told}",
            key.path
        );
    }
}
