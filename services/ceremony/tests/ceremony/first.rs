//! The first ceremony: what it makes, what it refuses, what it says is left.

use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use openssl::pkey::PKey;
use openssl::rsa::Rsa;
use openssl::x509::X509Req;
use serde_json::Value;

use crate::bench::{Bench, MODULE, OfflineRoot, PATIENCE, ROOT, SERVICE, said};

#[test]
fn the_ra_stands_under_the_ca_and_the_ca_under_the_root() -> Result<()> {
    let bench = Bench::new()?;
    let run = bench.under_root("ca").output()?;
    ensure!(run.status.success(), "{}", said(&run));

    let root = bench.certificate("ca/certificates/root.pem")?;
    let ca = bench.certificate("ca/certificates/ca.pem")?;
    assert!(root.verify(&*root.public_key()?)?);
    assert!(ca.verify(&*root.public_key()?)?);
    assert_eq!(ca.pathlen(), Some(0));
    for (file, only) in [
        ("ra-enc", "Key Encipherment"),
        ("ra-sign", "Digital Signature"),
    ] {
        let ra = bench.certificate(&format!("ca/certificates/{file}.pem"))?;
        assert!(ra.verify(&*ca.public_key()?)?, "{file}");
        assert!(ra.not_after() <= ca.not_after(), "{file} outlives the CA");
        let text = String::from_utf8(ra.to_text()?)?;
        assert!(
            text.contains(&format!(
                "X509v3 Key Usage: critical\n                {only}\n"
            )),
            "{text}"
        );
        assert!(!text.contains("Extended Key Usage"), "{text}");
    }
    Ok(())
}

#[test]
fn the_ra_key_of_two_uses_is_made_only_when_it_is_asked_for() -> Result<()> {
    let bench = Bench::new()?;
    let run = bench
        .under_root("ca")
        .args(["--single-ra", "--json"])
        .output()?;
    ensure!(run.status.success(), "{}", said(&run));

    let ca = bench.certificate("ca/certificates/ca.pem")?;
    let ra = bench.certificate("ca/certificates/ra-single.pem")?;
    assert!(ra.verify(&*ca.public_key()?)?);
    let text = String::from_utf8(ra.to_text()?)?;
    let usage = "X509v3 Key Usage: critical\n                Digital Signature, Key Encipherment\n";
    assert!(text.contains(usage), "{text}");
    let transcript: Value = serde_json::from_slice(&run.stdout)?;
    let keys = transcript["generations"][0]["keys"]
        .as_array()
        .context("keys")?;
    let single = keys.iter().find(|key| key["role"] == "ra-single");
    let single = single.context("no ra-single in the transcript")?;
    for (attribute, value) in [
        ("CKA_DECRYPT", "true"),
        ("CKA_SIGN", "true"),
        ("CKA_UNWRAP", "false"),
        ("CKA_EXTRACTABLE", "false"),
    ] {
        assert_eq!(single["attributes"][attribute], value, "{attribute}");
    }
    let settings: toml::Table = std::fs::read_to_string(bench.path("ca/signer.toml"))?.parse()?;
    let hsm: toml::Table = std::fs::read_to_string(bench.path("ca/hsm.toml"))?.parse()?;
    let of_the_ra = &hsm["ca"][0]["ra"]["single"];
    assert_eq!(of_the_ra["key"].as_str(), single["uri"].as_str());
    assert_eq!(
        of_the_ra["certificate"].as_str(),
        Some("certificates/ra-single.pem")
    );
    assert_eq!(
        settings["certificates"]["ra_single"].as_str(),
        Some("certificates/ra-single.pem")
    );
    Ok(())
}

#[test]
fn the_transcript_tells_each_key_as_the_token_has_it() -> Result<()> {
    let bench = Bench::new()?;
    let run = bench.under_root("ca").arg("--json").output()?;
    ensure!(run.status.success(), "{}", said(&run));

    let printed: Value = serde_json::from_slice(&run.stdout)?;
    let kept: Value = serde_json::from_slice(&std::fs::read(bench.path("ca/transcript.json"))?)?;
    assert_eq!(printed, kept);
    assert_eq!(kept["generations"][0]["state"], "complete");
    let keys = kept["generations"][0]["keys"].as_array().context("keys")?;
    assert_eq!(keys.len(), 6);
    assert!(!bench.path("ca/certificates/ra-single.pem").exists());
    for key in keys {
        for (attribute, value) in [
            ("CKA_SENSITIVE", "true"),
            ("CKA_ALWAYS_SENSITIVE", "true"),
            ("CKA_EXTRACTABLE", "false"),
            ("CKA_NEVER_EXTRACTABLE", "true"),
            ("CKA_MODIFIABLE", "false"),
        ] {
            assert_eq!(
                key["attributes"][attribute], value,
                "{}: {attribute}",
                key["role"]
            );
        }
    }
    Ok(())
}

#[test]
fn the_log_keys_public_half_is_written_for_those_who_pin_it() -> Result<()> {
    for algorithm in ["ed25519", "p256"] {
        let bench = Bench::new()?;
        let run = bench
            .under_root("ca")
            .args(["--log-key", algorithm])
            .output()?;
        ensure!(run.status.success(), "{}", said(&run));
        let pem = std::fs::read(bench.path("ca/certificates/log-key.pem"))?;
        let spki = PKey::public_key_from_pem(&pem)?.public_key_to_der()?;
        let transcript = std::fs::read(bench.path("ca/transcript.json"))?;
        let transcript: Value = serde_json::from_slice(&transcript)?;
        let keys = transcript["generations"][0]["keys"]
            .as_array()
            .context("keys")?;
        let key = keys.iter().find(|key| key["role"] == "log-sign");
        let key = key.context("no log key")?;
        assert_eq!(key["algorithm"], algorithm);
        assert_eq!(key["spki_sha256"], hex::encode(openssl::sha::sha256(&spki)));
    }
    let bench = Bench::new()?;
    let run = bench
        .under_root("ca")
        .args(["--log-key", "p384"])
        .output()?;
    assert_eq!(run.status.code(), Some(2));
    assert!(
        said(&run).contains("next: choose ed25519"),
        "{}",
        said(&run)
    );
    assert!(!bench.path("ca/transcript.json").exists());
    Ok(())
}

#[test]
fn nothing_is_overwritten_in_the_directory_or_in_the_token() -> Result<()> {
    let bench = Bench::new()?;
    ensure!(bench.under_root("ca").output()?.status.success());
    let before = std::fs::read(bench.path("ca/transcript.json"))?;

    let same_directory = bench.under_root("ca").output()?;
    assert_eq!(same_directory.status.code(), Some(1));
    assert!(
        said(&same_directory).contains("certificates/ca.pem"),
        "{}",
        said(&same_directory)
    );

    let same_token = bench.under_root("other").output()?;
    assert_eq!(same_token.status.code(), Some(1));
    assert!(
        said(&same_token).contains("ca-sign (private, id "),
        "{}",
        said(&same_token)
    );
    assert_eq!(std::fs::read(bench.path("ca/transcript.json"))?, before);
    Ok(())
}

#[test]
fn an_interrupted_ceremony_says_exactly_what_is_left() -> Result<()> {
    let bench = Bench::new()?;
    // Large RA keys leave time to interrupt it once the root is there.
    let mut child = bench
        .create(
            "ca",
            "pin",
            &[
                "--root-token",
                &bench.token(ROOT, "pin"),
                "--ra-key",
                "rsa4096",
            ],
        )
        .stderr(Stdio::piped())
        .spawn()?;
    let begin = Instant::now();
    while !bench.path("ca/certificates/root.pem").exists() {
        ensure!(begin.elapsed() < PATIENCE, "no root certificate");
        ensure!(child.try_wait()?.is_none(), "ended too early");
        std::thread::yield_now();
    }
    ensure!(
        Command::new("kill")
            .args(["-INT", &child.id().to_string()])
            .status()?
            .success()
    );
    let run = child.wait_with_output()?;

    assert_eq!(run.status.code(), Some(4), "{}", said(&run));
    let said = said(&run);
    assert!(
        said.contains("left in token root: root-sign (private, id "),
        "{said}"
    );
    assert!(
        said.contains("certificates/root.pem, transcript.json"),
        "{said}"
    );
    assert!(said.contains("next: "), "{said}");
    Ok(())
}

#[test]
fn a_wrong_pin_is_one_clear_line() -> Result<()> {
    let bench = Bench::new()?;
    bench.write_pin("wrong", "9999")?;
    let run = bench.create("ca", "wrong", &["--csr"]).output()?;
    assert_eq!(run.status.code(), Some(1));
    assert!(said(&run).contains("refused the PIN"), "{}", said(&run));
    assert!(!said(&run).contains("9999"));
    Ok(())
}

#[test]
fn an_offline_root_certifies_the_key_in_the_token() -> Result<()> {
    let bench = Bench::new()?;
    let run = bench
        .create(
            "ca",
            "pin",
            &["--csr", "--ca-key", "rsa2048", "--single-ra"],
        )
        .output()?;
    ensure!(run.status.success(), "{}", said(&run));
    let request = X509Req::from_pem(&std::fs::read(bench.path("ca/certificates/ca.csr"))?)?;
    assert!(request.verify(&*request.public_key()?)?);

    let root = OfflineRoot::new()?;
    let chain = bench.path("root.pem");
    std::fs::write(&chain, root.certificate.to_pem()?)?;
    let answer = bench.path("answer.pem");

    let other_key = PKey::from_rsa(Rsa::generate(2048)?)?;
    std::fs::write(
        &answer,
        root.certify(
            &request,
            &PKey::public_key_from_der(&other_key.public_key_to_der()?)?,
        )?
        .to_pem()?,
    )?;
    let refused = bench.import("ca", &answer, &chain)?;
    assert!(
        said(&refused).contains("not over the token's ca-sign key"),
        "{}",
        said(&refused)
    );

    std::fs::write(
        &answer,
        root.certify(&request, &request.public_key()?)?.to_pem()?,
    )?;
    let taken = bench.import("ca", &answer, &chain)?;
    ensure!(taken.status.success(), "{}", said(&taken));
    let ca = bench.certificate("ca/certificates/ca.pem")?;
    for ra in ["ra-enc", "ra-sign", "ra-single"] {
        let ra = bench.certificate(&format!("ca/certificates/{ra}.pem"))?;
        assert!(ra.verify(&*ca.public_key()?)?);
    }
    assert!(bench.path("ca/signer.toml").exists());

    let again = bench.import("ca", &answer, &chain)?;
    assert_eq!(again.status.code(), Some(1));
    Ok(())
}

/// Without `--token-env`, as somebody runs it whose shell has the variable of SoftHSM.
#[test]
fn the_service_finds_the_token_that_the_ceremony_found() -> Result<()> {
    let bench = Bench::new()?;
    let (config, token) = (bench.path("softhsm2.conf"), bench.token(SERVICE, "pin"));
    let mut create = bench.run("ca", &["create", "--module", MODULE, "--token", &token]);
    create.args(["--root-token", &bench.token(ROOT, "pin")]);
    let run = create.env("SOFTHSM2_CONF", &config).output()?;
    ensure!(run.status.success(), "{}", said(&run));
    let text = std::fs::read_to_string(bench.path("ca/hsm.toml"))?;
    for line in [
        format!("environment = {{ SOFTHSM2_CONF = {config:?} }}"),
        format!("read = [{config:?}]"),
        format!("write = [{:?}]", bench.path("tokens")),
    ] {
        ensure!(text.contains(&line), "{line} is not in {text}");
    }
    ensure!(text.contains("`assay config check --hsm FILE`"), "{text}");
    Ok(())
}
