//! What holds for every command: exit codes, one line that says what is wrong and one that says what to do.

use std::process::{Command, Output};

use anyhow::Result;

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
