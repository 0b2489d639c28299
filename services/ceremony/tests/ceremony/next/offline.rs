//! A next CA under an offline root, which is OpenSSL here.

use std::process::Command;

use anyhow::{Result, ensure};

use super::{finished, lines, refused, told, transcript, verifies};
use crate::bench::{Bench, said};

/// A root of OpenSSL's own, and what it has to say in a CA certificate.
fn make_root(bench: &Bench) -> Result<()> {
    let extensions = "basicConstraints = critical, CA:TRUE, pathlen:0\nkeyUsage = critical, keyCertSign, cRLSign\n\
        subjectKeyIdentifier = hash\nauthorityKeyIdentifier = keyid\n";
    std::fs::write(bench.path("ca.ext"), extensions)?;
    let made = Command::new("openssl")
        .args([
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3000",
        ])
        .args([
            "-subj",
            "/CN=Another Root",
            "-addext",
            "keyUsage = critical, keyCertSign, cRLSign",
        ])
        .arg("-keyout")
        .arg(bench.path("root.key"))
        .arg("-out")
        .arg(bench.path("root.pem"))
        .output()?;
    ensure!(made.status.success(), "{}", said(&made));
    Ok(())
}

fn answer(bench: &Bench, days: &str) -> Result<()> {
    let made = Command::new("openssl")
        .args(["x509", "-req", "-days", days, "-CAcreateserial", "-in"])
        .arg(bench.path("ca/certificates/2/ca.csr"))
        .arg("-CA")
        .arg(bench.path("root.pem"))
        .arg("-CAkey")
        .arg(bench.path("root.key"))
        .arg("-extfile")
        .arg(bench.path("ca.ext"))
        .arg("-out")
        .arg(bench.path("answer.pem"))
        .output()?;
    ensure!(made.status.success(), "{}", said(&made));
    Ok(())
}

#[test]
fn an_offline_root_certifies_the_next_ca_and_no_other_certificate_is_taken_for_it() -> Result<()> {
    let bench = finished()?;
    make_root(&bench)?;
    let none = bench.import("ca", &bench.path("root.pem"), &bench.path("root.pem"))?;
    assert!(
        said(&none).contains("no ceremony here awaits"),
        "{}",
        said(&none)
    );

    let asked = told(&bench, &["next", "--csr"])?;
    assert_eq!(asked["state"], "awaits-ca-certificate");
    assert!(asked.get("lines").is_none());
    let told_off = refused(&bench, &["next"])?;
    assert!(told_off.contains("awaits its CA certificate"), "{told_off}");
    let told_off = refused(&bench, &["next", "tables"])?;
    assert!(told_off.contains("no next CA here is made"), "{told_off}");

    // The present CA's certificate is good, and of another generation.
    let present = bench.path("ca/certificates/ca.pem");
    let mixed = bench.import("ca", &present, &bench.path("ca/certificates/root.pem"))?;
    let told_off = said(&mixed);
    assert!(
        told_off.contains("not over the token's ca-sign-g2 key"),
        "{told_off}"
    );
    assert!(
        told_off.contains("have certificates/2/ca.csr"),
        "{told_off}"
    );

    answer(&bench, "20")?;
    let short = bench.import("ca", &bench.path("answer.pem"), &bench.path("root.pem"))?;
    assert!(
        said(&short).contains("after the end of the next CA"),
        "{}",
        said(&short)
    );
    assert!(!bench.path("ca/certificates/2/ca.pem").exists());

    answer(&bench, "2000")?;
    let answer = bench.path("answer.pem").display().to_string();
    let root = bench.path("root.pem").display().to_string();
    let import = [
        "import",
        "--certificate",
        &answer,
        "--chain",
        &root,
        "--overlap",
        "10d",
    ];
    let made = told(&bench, &import)?;
    let settings: toml::Table = lines(&made)?.parse()?;
    let rollover = &settings["rollover"];
    assert_eq!(rollover["overlap"].as_str(), Some("10d"));
    let chain = rollover["certificates"]["chain"]
        .as_array()
        .map(Vec::as_slice);
    assert_eq!(chain, Some(&["certificates/2/root.pem".into()][..]));
    for file in ["2/ra-enc.pem", "2/ra-sign.pem"] {
        assert!(verifies(&bench, "2/root.pem", "2/ca.pem", file)?, "{file}");
        assert!(!verifies(&bench, "root.pem", "2/ca.pem", file)?, "{file}");
    }
    assert!(verifies(&bench, "root.pem", "ca.pem", "ra-enc.pem")?);
    assert_eq!(transcript(&bench)?["generations"][1]["state"], "complete");
    let again = refused(&bench, &import)?;
    assert!(again.contains("no ceremony here awaits"), "{again}");
    Ok(())
}

#[test]
fn without_a_root_of_its_own_the_ceremony_asks_for_a_request() -> Result<()> {
    let bench = Bench::new()?;
    make_root(&bench)?;
    let run = bench.create("ca", "pin", &["--csr"]).output()?;
    ensure!(run.status.success(), "{}", said(&run));
    let told_off = refused(&bench, &["next", "--csr"])?;
    assert!(
        told_off.contains("the ceremony here is not complete"),
        "{told_off}"
    );
    std::fs::create_dir(bench.path("ca/certificates/2"))?;
    std::fs::copy(
        bench.path("ca/certificates/ca.csr"),
        bench.path("ca/certificates/2/ca.csr"),
    )?;
    answer(&bench, "2000")?;
    let imported = bench.import("ca", &bench.path("answer.pem"), &bench.path("root.pem"))?;
    ensure!(imported.status.success(), "{}", said(&imported));
    let told_off = refused(&bench, &["next"])?;
    assert!(told_off.contains("give --csr"), "{told_off}");
    Ok(())
}
