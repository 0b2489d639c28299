//! What holds for every command: exit codes, one line that says what is wrong and one that says what to do.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use assay_audit::note::{Algorithm, VerifierKey};

/// Below the 10 s after which a witness ends a half-open request by itself.
const PATIENCE: Duration = Duration::from_secs(9);

fn assay_audit(arguments: &[&str]) -> Result<Output> {
    Ok(Command::new(env!("CARGO_BIN_EXE_assay-audit"))
        .args(arguments)
        .output()?)
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn each_command_is_in_the_manual_and_in_the_completions() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().to_string_lossy().into_owned();
    let run = assay_audit(&["man", &path])?;
    assert!(run.status.success(), "{}", said(&run));
    let script = String::from_utf8(assay_audit(&["completions", "bash"])?.stdout)?;
    for command in ["verify", "receipt", "witness", "witness-key"] {
        let page = dir.path().join(format!("assay-audit-{command}.1"));
        let page = std::fs::read_to_string(page)?;
        assert!(page.contains(".SH DESCRIPTION"), "{command}");
        let function = command.replace('-', "__subcmd__");
        let plain = command.replace('-', "__");
        assert!(
            script.contains(&function) || script.contains(&plain),
            "{command}"
        );
    }
    Ok(())
}

#[test]
fn what_is_no_export_ends_with_the_code_that_says_so() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().to_string_lossy();
    let nowhere = format!("{path}/nowhere");
    let run = assay_audit(&["verify", &nowhere])?;
    assert_eq!(run.status.code(), Some(2), "{}", said(&run));
    assert!(said(&run).contains("next: "), "{}", said(&run));

    // An empty directory has no manifest: bad, and said of the file.
    let run = assay_audit(&["verify", &path])?;
    assert_eq!(run.status.code(), Some(1), "{}", said(&run));
    assert!(said(&run).contains("manifest.json"), "{}", said(&run));
    let run = assay_audit(&["--json", "verify", &path])?;
    let report: serde_json::Value = serde_json::from_slice(&run.stdout)?;
    assert_eq!(report["verdict"], "bad");
    assert_eq!(report["bad"][0]["check"], "VER-01");

    let run = assay_audit(&["verify", &path, "--journal", &nowhere])?;
    assert_eq!(run.status.code(), Some(2), "{}", said(&run));
    assert!(
        said(&run).contains("assay-hsm journal export"),
        "{}",
        said(&run)
    );

    let run = assay_audit(&["verify", &path, "--trust", &nowhere])?;
    assert_eq!(run.status.code(), Some(2), "{}", said(&run));
    assert!(said(&run).contains("log.vkey"), "{}", said(&run));
    Ok(())
}

#[test]
fn a_witness_says_what_it_lacks_before_it_listens() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let file = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
    let (key, state) = (file("key"), file("state"));
    let made = assay_audit(&["witness", "key", "--name", "w.example", "--out", &key])?;
    assert!(made.status.success(), "{}", said(&made));
    let vkey = String::from_utf8(made.stdout)?;
    let serve = |key: &str, log: &[&str]| {
        let mut arguments = vec!["witness", "--key", key, "--state", &state];
        arguments.extend(["--listen", "127.0.0.1:0"]);
        arguments.extend(log);
        assay_audit(&arguments)
    };
    for (run, told) in [
        (serve(&key, &[])?, "--log"),
        (serve(&key, &["--log", "log.example"])?, "no verifier key"),
        (
            serve(&key, &["--log", vkey.trim()])?,
            "a witness's key, not a log's",
        ),
        (
            serve(&file("none"), &["--log", "log.example+5a3f1e0c+AAAA"])?,
            "verifier key",
        ),
        (
            assay_audit(&["witness", "key", "--name", "w example", "--out", &file("b")])?,
            "can name no witness",
        ),
    ] {
        assert_eq!(run.status.code(), Some(2), "{told}: {}", said(&run));
        assert!(said(&run).contains(told), "{told}: {}", said(&run));
    }
    Ok(())
}

fn log_key() -> Result<String> {
    let key = openssl::pkey::PKey::generate_ed25519()?.raw_public_key()?;
    let key = VerifierKey::ed25519("log.example", Algorithm::Ed25519, &key)?;
    Ok(key.to_string())
}

/// A process that ends with the test.
struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn half_open_requests_do_not_keep_a_log_from_its_witness() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let file = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
    let (key, state) = (file("key"), file("state"));
    let made = assay_audit(&["witness", "key", "--name", "w.example", "--out", &key])?;
    assert!(made.status.success(), "{}", said(&made));
    let mut witness = Running(
        Command::new(env!("CARGO_BIN_EXE_assay-audit"))
            .args(["--json", "witness", "--key", &key, "--state", &state])
            .args(["--listen", "127.0.0.1:0", "--log", &log_key()?])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?,
    );
    let told = witness.0.stdout.take().context("standard output")?;
    let mut told = serde_json::Deserializer::from_reader(told).into_iter::<serde_json::Value>();
    let listening = told.next().context("nothing was said")??;
    let address = listening["listen"]
        .as_str()
        .context("no address")?
        .to_owned();
    let mut half_open = Vec::new();
    for head in [
        "POST /add-checkpoint HTTP/1.1\r\n",
        "POST /add-checkpoint HTTP/1.1\r\nContent-Length: 100\r\n\r\nx",
    ] {
        for _ in 0..600 {
            let mut stream = TcpStream::connect(&address)?;
            stream.write_all(head.as_bytes())?;
            half_open.push(stream);
        }
    }
    let mut stream = TcpStream::connect(&address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    Ok(())
}
