//! What a person reads who mistyped a configuration.

#![allow(clippy::unwrap_used, reason = "helpers of tests may, like tests")]

use std::time::Duration;

use assay_runtime::config::{ConfigError, Document, duration};
use assay_runtime::identity::Identity;
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Example {
    enrolment: Enrolment,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Enrolment {
    #[allow(dead_code, reason = "only its parsing matters")]
    listen: std::net::SocketAddr,
    allow: Vec<Identity>,
    #[serde(with = "duration")]
    timeout: Duration,
}

fn refusal(text: &str) -> String {
    Document::from_text("signer.toml", text)
        .parse::<Example>()
        .unwrap_err()
        .to_string()
}

const GOOD: &str = "# comment\n[enrolment]\nlisten = \"127.0.0.1:0\"\nallow = [\"assay://frontend/a\"]\ntimeout = \"5s\"\n";

#[test]
fn a_good_document_is_read() {
    let example: Example = Document::from_text("signer.toml", GOOD).parse().unwrap();
    assert_eq!(example.enrolment.timeout, Duration::from_secs(5));
    assert_eq!(example.enrolment.allow.len(), 1);
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_the_likely_one() {
    assert_eq!(
        refusal(&GOOD.replace("listen", "listn")),
        "signer.toml:3:1: unknown key `listn` in [enrolment]; did you mean `listen`? \
         expected one of `listen`, `allow`, `timeout`"
    );
}

#[test]
fn a_missing_key_is_named_with_its_table() {
    let told = refusal(&GOOD.replace("listen = \"127.0.0.1:0\"\n", ""));
    assert_eq!(told, "signer.toml:2:1: missing key `listen` in [enrolment]");
}

#[test]
fn a_wrong_value_is_named_with_its_key() {
    let told = refusal(&GOOD.replace("5s", "soon"));
    assert!(
        told.starts_with("signer.toml:5:11: `enrolment.timeout`: `soon` is no duration"),
        "{told}"
    );
    let told = refusal(&GOOD.replace("5s", "0s"));
    assert!(told.contains("longer than zero"), "{told}");
    let told = refusal(&GOOD.replace("assay://frontend/a", "frontend/a"));
    assert!(told.starts_with("signer.toml:4:"), "{told}");
    assert!(
        told.contains(
            "`enrolment.allow`: identity `frontend/a` is not of the form assay://ROLE/NAME"
        ),
        "{told}"
    );
}

#[test]
fn text_that_is_no_toml_is_refused_by_line() {
    let told = refusal("[enrolment]\nlisten = \n");
    assert!(told.starts_with("signer.toml:2:"), "{told}");
}

#[test]
fn later_checks_name_the_line_too() {
    let document = Document::from_text("signer.toml", GOOD);
    let told = document
        .error("enrolment.allow", "must not be empty")
        .to_string();
    assert_eq!(
        told,
        "signer.toml:4:1: `enrolment.allow`: must not be empty"
    );
    let told = document.error("enrolment.absent", "is needed").to_string();
    assert_eq!(told, "signer.toml:2:2: `enrolment.absent`: is needed");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let refused = Document::read("/nonexistent/signer.toml").unwrap_err();
    assert!(matches!(refused, ConfigError::Read { .. }));
    assert!(refused.to_string().contains("/nonexistent/signer.toml"));
}
