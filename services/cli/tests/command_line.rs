//! What holds for every command: exit codes, one line that says what is wrong and one that says what to do.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use anyhow::Result;
use openssl::asn1::Asn1Time;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::x509::X509Builder;
use openssl::x509::extension::SubjectAlternativeName;

fn assay(arguments: &[&str]) -> Result<Output> {
    Ok(Command::new(env!("CARGO_BIN_EXE_assay"))
        .env_remove("ASSAY_DIR")
        .args(arguments)
        .output()?)
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn without_an_installation_the_way_to_one_is_told() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let run = assay(&["--dir", &dir.path().to_string_lossy(), "status"])?;
    assert_eq!(run.status.code(), Some(2));
    assert!(
        said(&run).contains("has no assay.toml\n  next: "),
        "{}",
        said(&run)
    );
    Ok(())
}

/// An operator's key and a certificate that it signs itself.
fn credential(dir: &Path) -> Result<()> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
    let key = PKey::from_ec_key(EcKey::generate(&group)?)?;
    let mut certificate = X509Builder::new()?;
    certificate.set_version(2)?;
    certificate.set_pubkey(&key)?;
    certificate.set_not_before(&*Asn1Time::days_from_now(0)?)?;
    certificate.set_not_after(&*Asn1Time::days_from_now(1)?)?;
    let identity = SubjectAlternativeName::new()
        .uri("assay://operator/test")
        .build(&certificate.x509v3_context(None, None))?;
    certificate.append_extension(identity)?;
    certificate.sign(&key, MessageDigest::sha256())?;
    std::fs::write(dir.join("operator.pem"), certificate.build().to_pem()?)?;
    std::fs::write(dir.join("operator.key"), key.private_key_to_pem_pkcs8()?)?;
    let owner_only = std::fs::Permissions::from_mode(0o600);
    Ok(std::fs::set_permissions(
        dir.join("operator.key"),
        owner_only,
    )?)
}

#[test]
fn a_signer_that_is_away_has_an_exit_code_of_its_own() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().to_string_lossy();
    credential(dir.path())?;
    // Port 1 of loopback has no listener on any sane host.
    let settings = "scep_url = \"http://127.0.0.1:1/scep\"\n[administration]\naddress = \"127.0.0.1:1\"\n\
        identity = \"assay://signer/main\"\ncertificate = \"operator.pem\"\n\
        private_key = \"operator.key\"\ntrust_anchors = \"operator.pem\"\n";
    std::fs::write(dir.path().join("assay.toml"), settings)?;
    let run = assay(&["--dir", &path, "challenge", "list"])?;
    assert_eq!(run.status.code(), Some(3), "{}", said(&run));
    assert!(run.stdout.is_empty());
    assert!(said(&run).contains("next: "), "{}", said(&run));
    Ok(())
}

#[test]
fn a_wrong_setting_is_named_with_file_line_and_key() -> Result<()> {
    let dir = tempfile::tempdir()?;
    std::fs::write(
        dir.path().join("assay.toml"),
        "scep_url = \"http://h/scep\"\nscep_ulr = 1\n",
    )?;
    let run = assay(&["--dir", &dir.path().to_string_lossy(), "status"])?;
    assert_eq!(run.status.code(), Some(2));
    assert!(said(&run).contains("assay.toml:2:1"), "{}", said(&run));
    assert!(said(&run).contains("scep_ulr"), "{}", said(&run));
    Ok(())
}

#[test]
fn policy_check_needs_no_signer_and_tells_every_error() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("devices.toml");
    let good = include_str!("../../../policy/demo/devices.toml");
    std::fs::write(&file, good)?;
    let run = assay(&["policy", "check", &file.to_string_lossy()])?;
    assert!(run.status.success(), "{}", said(&run));

    std::fs::write(
        &file,
        good.replace("one-time\"", "one-tim\"")
            .replace("ticket", "tickt"),
    )?;
    let run = assay(&["policy", "check", &file.to_string_lossy()])?;
    assert_eq!(run.status.code(), Some(1));
    for part in ["devices.toml:", "tickt", "enrolment.challenge"] {
        assert!(said(&run).contains(part), "{part}: {}", said(&run));
    }
    Ok(())
}

#[test]
fn a_demo_leaves_a_foreign_directory_alone() -> Result<()> {
    let dir = tempfile::tempdir()?;
    std::fs::write(dir.path().join("thesis.txt"), "mine")?;
    let run = assay(&["--dir", &dir.path().to_string_lossy(), "demo"])?;
    assert_eq!(run.status.code(), Some(2));
    assert_eq!(std::fs::read_dir(dir.path())?.count(), 1);
    Ok(())
}

#[test]
fn manual_pages_and_completions_come_from_the_commands() -> Result<()> {
    let dir = tempfile::tempdir()?;
    assert!(
        assay(&["man", &dir.path().to_string_lossy()])?
            .status
            .success()
    );
    assert!(dir.path().join("assay-challenge-issue.1").exists());
    let script = assay(&["completions", "bash"])?;
    assert!(String::from_utf8(script.stdout)?.contains("_assay"));
    Ok(())
}

#[test]
fn a_certificate_is_renewed_with_its_own_key_only() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let file = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
    for name in ["old", "other"] {
        let made = Command::new("openssl")
            .args([
                "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x",
            ])
            .args([
                "-keyout",
                &file(&format!("{name}.key")),
                "-out",
                &file(&format!("{name}.pem")),
            ])
            .output()?;
        assert!(made.status.success(), "{}", said(&made));
    }
    // Port 1 of loopback has no listener on any sane host.
    let renew = |key: &str| {
        assay(&[
            "enrol",
            "--url",
            "http://127.0.0.1:1/scep",
            "--renew",
            &file("old.pem"),
            &file(key),
            "--key",
            &file("new.key"),
            "--cert",
            &file("new.pem"),
        ])
    };
    let run = renew("other.key")?;
    assert_eq!(run.status.code(), Some(1));
    assert!(said(&run).contains("is not the key of"), "{}", said(&run));
    let run = renew("old.pem")?;
    assert_eq!(run.status.code(), Some(1));
    assert!(said(&run).contains("unencrypted RSA or"), "{}", said(&run));
    let run = renew("old.key")?;
    assert_eq!(run.status.code(), Some(3), "{}", said(&run));
    assert!(!dir.path().join("new.key").exists());
    Ok(())
}

#[test]
fn wrong_usage_is_told_before_anything_is_asked() -> Result<()> {
    for (arguments, told) in [
        (&["enrol", "--url", "http://h/scep"][..], "--subject"),
        (
            &["enrol", "--same-key", "--url", "http://h/scep"],
            "--renew",
        ),
        (
            &["enrol", "--renew", "a.pem", "a.key", "--subject", "CN=a"],
            "--subject",
        ),
        (&["enrol", "--resume", "--url", "http://h/scep"], "--url"),
        (&["enrol", "--resume", "--poll", "0s"], "such as 10s"),
        (&["scep", "get-cert", "none"], "a serial number is hex"),
        (
            &["cert", "revoke", "01", "--reason", "boredom"],
            "key-compromise",
        ),
        (&["request", "list", "--state", "lost"], "expired"),
        (&["policy", "show", "0"], "0 is not in 1.."),
        (
            &["cert", "list", "--transaction", "über"],
            "1 to 255 printable ASCII characters",
        ),
        (
            &["audit", "list", "--transaction", &"a".repeat(256)],
            "1 to 255 printable ASCII characters",
        ),
    ] {
        let run = assay(arguments)?;
        assert_eq!(run.status.code(), Some(2), "{arguments:?}: {}", said(&run));
        assert!(said(&run).contains(told), "{arguments:?}: {}", said(&run));
    }
    Ok(())
}

/// A script whose variable is not set must not get, or act on, the whole list.
#[test]
fn an_empty_filter_is_wrong_usage() -> Result<()> {
    let lists: [(&[&str], &[&str]); 8] = [
        (
            &["cert", "list"],
            &[
                "--profile",
                "--subject",
                "--san",
                "--serial",
                "--transaction",
                "--page",
            ],
        ),
        (
            &["cert", "expiring"],
            &["--profile", "--subject", "--san", "--page"],
        ),
        (
            &["request", "list"],
            &[
                "--profile",
                "--subject",
                "--san",
                "--serial",
                "--transaction",
                "--page",
            ],
        ),
        (
            &["challenge", "list"],
            &["--profile", "--subject", "--san", "--serial", "--page"],
        ),
        (
            &["inventory", "list", "--profile", "fleet"],
            &["--serial", "--page"],
        ),
        (&["legacy", "list"], &["--profile", "--subject", "--page"]),
        (&["policy", "history"], &["--profile", "--page"]),
        (
            &["audit", "list"],
            &["--profile", "--serial", "--transaction", "--page"],
        ),
    ];
    let dir = tempfile::tempdir()?;
    let path = dir.path().to_string_lossy();
    for (command, filters) in lists {
        for filter in filters {
            let run = assay(&[&["--dir", &path], command, &[filter, ""]].concat())?;
            assert_eq!(run.status.code(), Some(2), "{command:?} {filter}");
            let said = said(&run);
            assert!(said.contains(filter), "{command:?} {filter}: {said}");
        }
    }
    Ok(())
}

#[test]
fn a_request_that_never_waited_cannot_be_resumed() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("device.pending");
    let path = file.to_string_lossy().into_owned();
    let run = assay(&["enrol", "--resume", &path])?;
    assert_eq!(run.status.code(), Some(1));
    assert!(said(&run).contains("name its file"), "{}", said(&run));
    std::fs::write(&file, "{}")?;
    let run = assay(&["enrol", "--resume", &path])?;
    assert!(
        said(&run).contains("is no request that waits"),
        "{}",
        said(&run)
    );
    assert!(file.exists());
    Ok(())
}

#[test]
fn each_command_of_the_log_is_in_the_manual_and_in_the_completions() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().to_string_lossy().into_owned();
    let run = assay(&["man", &path])?;
    assert!(run.status.success(), "{}", said(&run));
    let script = assay(&["completions", "bash"])?.stdout;
    let script = String::from_utf8(script)?;
    for command in ["audit-checkpoint", "audit-cosign", "audit-trust", "receipt"] {
        let page = std::fs::read_to_string(dir.path().join(format!("assay-{command}.1")))?;
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
