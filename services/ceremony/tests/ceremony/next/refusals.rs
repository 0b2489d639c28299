//! What a next CA is not made over, and what is left of one that was not finished.

use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{finished, in_days, lines, refused, told, transcript};
use crate::bench::{Bench, PATIENCE, ROOT, said};

fn edit(bench: &Bench, change: impl FnOnce(String) -> String) -> Result<()> {
    let file = bench.path("ca/signer.toml");
    let text = std::fs::read_to_string(&file)?;
    Ok(std::fs::write(&file, change(text))?)
}

#[test]
fn a_time_at_which_something_is_not_valid_is_refused_before_any_key_is_made() -> Result<()> {
    let bench = Bench::new()?;
    let run = bench.under_root("ca").args(["--ra-days", "100"]).output()?;
    ensure!(run.status.success(), "{}", said(&run));
    let before = transcript(&bench)?;
    for (arguments, wanted) in [
        (vec!["--switch-at", "2020-01-01"], "is past"),
        (
            vec!["--switch-at", &in_days(101)],
            "after the end of certificates/ra-enc.pem",
        ),
        (vec!["--ca-days", "20"], "after the end of the next CA"),
        (vec!["--ra-days", "20"], "after the end of the next RA"),
        (
            vec!["--csr", "--ra-days", "20"],
            "after the end of the next RA",
        ),
        (vec!["--overlap", "3y"], "at most two years"),
        (vec!["--ca-key", "ed25519"], "SCEP clients do not verify it"),
        (
            vec!["--ra-key", "p256"],
            "SCEP clients encrypt to RSA keys only",
        ),
    ] {
        let said = refused(&bench, &[&["next"], arguments.as_slice()].concat())?;
        assert!(said.contains(wanted), "{arguments:?}: {said}");
    }
    let run = bench
        .run("ca", &["next", "--root-token", &bench.token(ROOT, "none")])
        .output()?;
    ensure!(!run.status.success());
    assert_eq!(transcript(&bench)?, before);
    assert!(!bench.path("ca/certificates/2").exists());

    // The old RA may end in the overlap: that is told, and nothing was in the way.
    let run = bench.run("ca", &["next", "--overlap", "90d"]).output()?;
    ensure!(run.status.success(), "{}", said(&run));
    assert!(
        said(&run).contains("certificates/ra-enc.pem ends "),
        "{}",
        said(&run)
    );
    Ok(())
}

#[test]
fn one_ca_takes_over_at_a_time() -> Result<()> {
    let bench = finished()?;
    let made = told(&bench, &["next"])?;
    let said = refused(&bench, &["next"])?;
    assert!(
        said.contains("is made, and signer.toml does not name it"),
        "{said}"
    );
    let again = told(&bench, &["next", "tables"])?;
    assert_eq!(again["lines"], made["lines"]);
    let at = in_days(90);
    let later = ["next", "tables", "--switch-at", &at, "--overlap", "1d"];
    let later = told(&bench, &later)?;
    let wanted = format!("switch_at = \"{at}\"\noverlap = \"1d\"");
    assert!(lines(&later)?.contains(&wanted), "{later}");
    assert_eq!(
        transcript(&bench)?["generations"][1]["switch"]["overlap"],
        "1d"
    );

    let tables = lines(&made)?;
    edit(&bench, |text| text + tables)?;
    let said = refused(&bench, &["next"])?;
    assert!(said.contains("one CA takes over at a time"), "{said}");
    let said = refused(&bench, &["next", "abandon"])?;
    assert!(
        said.contains("names CA generation 2 in [rollover]"),
        "{said}"
    );

    edit(&bench, |text| text.replace(tables, ""))?;
    let given_up = told(&bench, &["next", "abandon"])?;
    assert_eq!(given_up["generation"], 2);
    let left = given_up["left"].to_string();
    assert!(left.contains("ca-sign-g2 (private, id "), "{left}");
    assert!(left.contains("certificates/2/ca.pem"), "{left}");
    let third = told(&bench, &["next"])?;
    assert_eq!(third["generation"], 3);
    assert!(lines(&third)?.contains("certificates/3/ca.pem"));
    let hsm = std::fs::read_to_string(bench.path("ca/hsm.toml"))?;
    assert!(hsm.contains("object=ca-sign-g3;"), "{hsm}");
    assert!(!hsm.contains("object=ca-sign-g2;"), "{hsm}");
    assert!(
        third["certificates"]
            .to_string()
            .contains("CN=Assay Issuing CA G3")
    );
    assert!(bench.path("ca/certificates/2/ca.pem").exists());
    assert!(bench.path("ca/certificates/3/ca.pem").exists());
    Ok(())
}

#[test]
fn an_interrupted_next_ceremony_says_exactly_what_is_left_and_is_given_up() -> Result<()> {
    let bench = finished()?;
    let first: Value = transcript(&bench)?;
    // Large RA keys leave time to interrupt it once the CA key is there.
    let mut child = bench
        .run("ca", &["next", "--ra-key", "rsa4096"])
        .stderr(Stdio::piped())
        .spawn()?;
    let begin = Instant::now();
    while transcript(&bench)?["generations"][1]["keys"][0].is_null() {
        ensure!(begin.elapsed() < PATIENCE, "no key");
        ensure!(child.try_wait()?.is_none(), "ended too early");
        std::thread::yield_now();
    }
    let kill = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()?;
    ensure!(kill.success());
    let run = child.wait_with_output()?;
    assert_eq!(run.status.code(), Some(4), "{}", said(&run));
    let told_left = said(&run);
    assert!(
        told_left.contains("left in token service: ca-sign-g2 (private, id "),
        "{told_left}"
    );
    assert!(
        told_left.contains("`assay-ceremony next abandon`"),
        "{told_left}"
    );
    assert!(!told_left.contains("root-sign"), "{told_left}");

    let said = refused(&bench, &["next"])?;
    assert!(said.contains("was begun and not finished"), "{said}");
    assert_eq!(transcript(&bench)?["generations"][1]["state"], "started");
    let given_up = told(&bench, &["next", "abandon"])?;
    let left = given_up["left"][0].as_str().context("nothing left")?;
    assert!(
        left.starts_with("in token service: ca-sign-g2 (private, id "),
        "{left}"
    );
    let said = refused(&bench, &["next", "abandon"])?;
    assert!(said.contains("no next CA here"), "{said}");

    assert_eq!(told(&bench, &["next"])?["generation"], 3);
    let kept = transcript(&bench)?;
    assert_eq!(kept["generations"][0], first["generations"][0]);
    assert_eq!(kept["generations"].as_array().map(Vec::len), Some(3));
    Ok(())
}

#[test]
fn a_directory_of_another_ca_is_refused() -> Result<()> {
    let bench = finished()?;
    edit(&bench, |text| {
        text.replace("certificates/ca.pem", "certificates/root.pem")
    })?;
    let said = refused(&bench, &["next"])?;
    assert!(said.contains("is not a CA of the ceremony here"), "{said}");
    std::fs::remove_file(bench.path("ca/signer.toml"))?;
    let said = refused(&bench, &["next"])?;
    assert!(said.contains("put a copy of the signer's here"), "{said}");

    let other = Bench::new()?;
    let run = other.under_root("ca").output()?;
    ensure!(run.status.success());
    for file in ["root.pem", "ca.pem"] {
        let bench = finished()?;
        let name = format!("ca/certificates/{file}");
        std::fs::copy(other.path(&name), bench.path(&name))?;
        let said = refused(&bench, &["next"])?;
        assert!(said.contains(&format!("certificates/{file}")), "{said}");
        assert!(transcript(&bench)?["generations"][1].is_null());
    }
    Ok(())
}
