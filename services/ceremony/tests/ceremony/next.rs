//! The ceremony of a CA that takes over: what it makes beside the present one, what it refuses, what signer.toml says
//! afterwards.

mod finish;
mod offline;
mod refusals;

use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::bench::{Bench, said};

/// A finished ceremony with an RA of one key and a responder.
fn with_everything() -> Result<Bench> {
    let bench = Bench::new()?;
    let run = bench
        .under_root("ca")
        .args(["--single-ra", "--ocsp"])
        .output()?;
    ensure!(run.status.success(), "{}", said(&run));
    Ok(bench)
}

/// The plainest one.
fn finished() -> Result<Bench> {
    let bench = Bench::new()?;
    let run = bench.under_root("ca").output()?;
    ensure!(run.status.success(), "{}", said(&run));
    Ok(bench)
}

/// What `assay-ceremony …` prints as JSON.
fn told(bench: &Bench, arguments: &[&str]) -> Result<Value> {
    let run = bench.run("ca", arguments).arg("--json").output()?;
    ensure!(run.status.success(), "{}", said(&run));
    Ok(serde_json::from_slice(&run.stdout)?)
}

/// What it says as it fails.
fn refused(bench: &Bench, arguments: &[&str]) -> Result<String> {
    let run = bench.run("ca", arguments).output()?;
    ensure!(!run.status.success(), "{arguments:?} succeeded");
    Ok(said(&run))
}

fn transcript(bench: &Bench) -> Result<Value> {
    Ok(serde_json::from_slice(&std::fs::read(
        bench.path("ca/transcript.json"),
    )?)?)
}

/// That many days from now, RFC 3339.
fn in_days(days: u64) -> String {
    let time = SystemTime::now() + Duration::from_hours(24 * days);
    humantime::format_rfc3339_seconds(time).to_string()
}

fn lines(made: &Value) -> Result<&str> {
    made["lines"].as_str().context("no lines for signer.toml")
}

/// `openssl verify` of a certificate under a CA and a root, all below `ca/certificates/`.
fn verifies(bench: &Bench, root: &str, ca: &str, certificate: &str) -> Result<bool> {
    let file = |name: &str| bench.path(&format!("ca/certificates/{name}"));
    let verified = Command::new("openssl")
        .args(["verify", "-x509_strict", "-CAfile"])
        .arg(file(root))
        .arg("-untrusted")
        .arg(file(ca))
        .arg(file(certificate))
        .output()?;
    Ok(verified.status.success())
}

#[test]
fn the_next_ca_stands_beside_the_present_one_under_the_same_root() -> Result<()> {
    let bench = with_everything()?;
    let old = ["root", "ca", "ra-enc", "ra-sign", "ra-single", "ocsp"];
    let read = |name: &str| std::fs::read(bench.path(&format!("ca/certificates/{name}.pem")));
    let before: Vec<_> = old
        .iter()
        .map(|name| read(name))
        .collect::<Result<_, _>>()?;
    let first_keys = transcript(&bench)?["generations"][0]["keys"].clone();

    let made = told(&bench, &["next", "--overlap", "60d"])?;

    let after: Vec<_> = old
        .iter()
        .map(|name| read(name))
        .collect::<Result<_, _>>()?;
    assert_eq!(before, after);
    for generation in ["", "2/"] {
        let ca = format!("{generation}ca.pem");
        for (file, usage) in [
            ("ra-enc", "Key Encipherment"),
            ("ra-sign", "Digital Signature"),
            ("ra-single", "Digital Signature, Key Encipherment"),
            ("ocsp", "Digital Signature"),
        ] {
            let file = format!("{generation}{file}.pem");
            assert!(verifies(&bench, "root.pem", &ca, &file)?, "{file}");
            let certificate = bench.certificate(&format!("ca/certificates/{file}"))?;
            let text = String::from_utf8(certificate.to_text()?)?;
            let usage = format!("X509v3 Key Usage: critical\n                {usage}\n");
            assert!(text.contains(&usage), "{file}: {text}");
        }
    }
    assert!(!verifies(&bench, "root.pem", "ca.pem", "2/ra-enc.pem")?);
    assert!(!verifies(&bench, "root.pem", "2/ca.pem", "ra-enc.pem")?);
    let ca = bench.certificate("ca/certificates/2/ca.pem")?;
    assert_eq!(ca.pathlen(), Some(0));
    let text = String::from_utf8(ca.to_text()?)?;
    assert!(
        text.contains("Subject: CN = Assay Issuing CA G2\n")
            || text.contains("Subject: CN=Assay Issuing CA G2\n"),
        "{text}"
    );

    let kept = transcript(&bench)?;
    assert_eq!(kept["generations"][0]["keys"], first_keys);
    let next = &kept["generations"][1];
    assert_eq!(
        (&next["generation"], &next["state"]),
        (&2.into(), &"complete".into())
    );
    assert_eq!(next["keys"], made["keys"]);
    let keys = next["keys"].as_array().context("keys")?;
    let labels: Vec<_> = keys
        .iter()
        .filter_map(|key| key["label"].as_str())
        .collect();
    assert_eq!(
        labels,
        [
            "ca-sign-g2",
            "ra-decrypt-g2",
            "ra-sign-g2",
            "ra-single-g2",
            "ocsp-sign-g2"
        ]
    );
    for key in keys {
        let first = first_keys.as_array().context("keys")?.iter();
        let mut first = first.filter(|first| first["role"] == key["role"]);
        let first = first.next().context("no such key before")?;
        assert_eq!(first["algorithm"], key["algorithm"]);
        assert_ne!(first["id"], key["id"]);
        assert_ne!(first["spki_sha256"], key["spki_sha256"]);
        assert_eq!(key["attributes"]["CKA_EXTRACTABLE"], "false");
    }

    let settings: toml::Table = lines(&made)?.parse()?;
    let rollover = &settings["rollover"];
    assert_eq!(rollover["overlap"].as_str(), Some("60d"));
    assert_eq!(
        rollover["switch_at"].as_str(),
        made["switch"]["at"].as_str()
    );
    let hsm: toml::Table = std::fs::read_to_string(bench.path("ca/hsm.toml"))?.parse()?;
    let cas = hsm["ca"].as_array().context("no CA")?;
    assert_eq!(cas.len(), 2);
    let ca = &cas[1];
    assert_eq!(ca["certificate"].as_str(), Some("certificates/2/ca.pem"));
    for (role, uri) in [
        ("ca-sign", &ca["key"]),
        ("ra-decrypt", &ca["ra"]["decrypt"]["key"]),
        ("ra-sign", &ca["ra"]["sign"]["key"]),
        ("ra-single", &ca["ra"]["single"]["key"]),
        ("ocsp-sign", &ca["ocsp"]["key"]),
    ] {
        let uri = uri.as_str().unwrap_or_default();
        assert!(uri.contains(&format!("object={role}-g2;")), "{uri}");
    }
    let files: toml::Table =
        "ca = \"certificates/2/ca.pem\"\nra_enc = \"certificates/2/ra-enc.pem\"\n\
        ra_sign = \"certificates/2/ra-sign.pem\"\nra_single = \"certificates/2/ra-single.pem\"\n\
        chain = [\"certificates/root.pem\"]\n"
            .parse()?;
    assert_eq!(rollover["certificates"].as_table(), Some(&files));
    assert_eq!(
        rollover["ocsp"]["certificate"].as_str(),
        Some("certificates/2/ocsp.pem")
    );
    Ok(())
}

#[test]
fn kinds_subjects_and_lifetimes_may_be_others() -> Result<()> {
    let bench = finished()?;
    let made = told(
        &bench,
        &[
            "next",
            "--ca-key",
            "rsa2048",
            "--ra-key",
            "rsa3072",
            "--ca-subject",
            "CN=Next,O=Example",
            "--ra-subject",
            "CN=Its RA",
            "--ca-days",
            "400",
            "--ra-days",
            "200",
        ],
    )?;
    let ca = bench.certificate("ca/certificates/2/ca.pem")?;
    assert_eq!(ca.public_key()?.bits(), 2048);
    let ra = bench.certificate("ca/certificates/2/ra-enc.pem")?;
    assert_eq!(ra.public_key()?.bits(), 3072);
    let days = |certificate: &openssl::x509::X509| -> Result<i32> {
        Ok(openssl::asn1::Asn1Time::days_from_now(0)?
            .diff(certificate.not_after())?
            .days)
    };
    assert!((398..=400).contains(&days(&ca)?));
    assert!((198..=200).contains(&days(&ra)?));
    let certificates = made["certificates"].to_string();
    assert!(
        certificates.contains("O=Example, CN=Next"),
        "{certificates}"
    );
    assert!(certificates.contains("CN=Its RA"), "{certificates}");
    let settings: toml::Table = lines(&made)?.parse()?;
    assert!(settings["rollover"].get("ocsp").is_none());
    assert!(
        settings["rollover"]["certificates"]
            .get("ra_single")
            .is_none()
    );
    Ok(())
}
