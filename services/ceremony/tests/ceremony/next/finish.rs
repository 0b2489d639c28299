//! The end of a rollover: what signer.toml says then.

use anyhow::{Context, Result, ensure};

use super::{in_days, lines, refused, told, with_everything};
use crate::bench::{Bench, said};

/// A next CA, named in signer.toml, with transport certificates beside it.
fn rolling_over() -> Result<Bench> {
    let bench = with_everything()?;
    let transport = bench.run("ca", &["transport"]).output()?;
    ensure!(transport.status.success(), "{}", said(&transport));
    let made = told(&bench, &["next"])?;
    let file = bench.path("ca/signer.toml");
    let text = std::fs::read_to_string(&file)?;
    std::fs::write(&file, text + lines(&made)? + "\n# The last word.\n")?;
    Ok(bench)
}

fn switched(bench: &Bench) -> Result<String> {
    let file = bench.path("ca/signer.toml");
    let text = std::fs::read_to_string(&file)?;
    let (head, tail) = text.split_once("switch_at = \"").context("no switch")?;
    let (_, tail) = tail.split_once('"').context("no time")?;
    let text = format!("{head}switch_at = \"2026-01-01T00:00:00Z\"{tail}");
    std::fs::write(&file, &text)?;
    Ok(text)
}

#[test]
fn a_rollover_is_finished_after_the_switch_and_the_end_of_the_ca_before() -> Result<()> {
    let bench = rolling_over()?;
    let file = bench.path("ca/signer.toml");
    let early = refused(&bench, &["next", "finish", "--write", "--early"])?;
    assert!(
        early.contains("there is nothing to finish before"),
        "{early}"
    );
    let before = switched(&bench)?;
    let early = refused(&bench, &["next", "finish", "--write"])?;
    assert!(early.contains("has CRLs to sign until then"), "{early}");

    let asked = told(&bench, &["next", "finish", "--early"])?;
    assert_eq!(asked["written"], false);
    assert_eq!(std::fs::read_to_string(&file)?, before);
    let done = told(&bench, &["next", "finish", "--early", "--write"])?;
    assert_eq!(done["lines"], asked["lines"]);
    let unused = ["ca-sign", "ra-decrypt", "ra-sign", "ra-single", "ocsp-sign"];
    let mut keys: Vec<_> = done["unused_keys"].as_array().context("keys")?.clone();
    keys.sort_by_key(ToString::to_string);
    let mut wanted: Vec<serde_json::Value> = unused.iter().map(|key| (*key).into()).collect();
    wanted.sort_by_key(ToString::to_string);
    assert_eq!(keys, wanted);

    let kept = std::fs::read_to_string(bench.path("ca/signer.toml.before-rollover"))?;
    assert_eq!(kept, before);
    let after = std::fs::read_to_string(&file)?;
    for line in before.lines().filter(|line| line.starts_with('#')) {
        let of_the_rollover =
            line.contains("The CA that takes over") || line.contains("under its CA.");
        assert_eq!(after.contains(line), !of_the_rollover, "{line}");
    }
    let (old, new): (toml::Table, toml::Table) = (before.parse()?, after.parse()?);
    assert!(!new.contains_key("rollover"));
    let hsm: toml::Table = std::fs::read_to_string(bench.path("ca/hsm.toml"))?.parse()?;
    let cas = hsm["ca"].as_array().context("no CA")?;
    let certificates: Vec<_> = cas.iter().map(|ca| ca["certificate"].as_str()).collect();
    assert_eq!(certificates, [Some("certificates/2/ca.pem")]);
    assert_eq!(hsm["log"]["origin"], new["audit"]["origin"]);
    for table in ["certificates", "ocsp"] {
        for (key, value) in old["rollover"][table].as_table().context("a table")? {
            assert_eq!(&new[table][key], value, "{table}.{key}");
        }
    }
    let ca = bench.certificate("ca/certificates/ca.pem")?;
    let digest = openssl::sha::sha256(&ca.public_key()?.public_key_to_der()?);
    let digest: String = hex::encode(digest).chars().take(16).collect();
    let origin = new["audit"]["origin"].as_str().context("no origin")?;
    assert!(
        origin.starts_with("assay/") && origin.ends_with(&format!("/{digest}")),
        "{origin}"
    );

    let again = refused(&bench, &["next", "finish"])?;
    assert!(again.contains("there is nothing to finish"), "{again}");
    let kept = refused(&bench, &["next", "abandon"])?;
    assert!(
        kept.contains("CA generation 2 is the present one"),
        "{kept}"
    );
    // The second is the present one now, and a third follows it.
    let third = told(&bench, &["next", "--switch-at", &in_days(40)])?;
    assert_eq!(third["generation"], 3);
    assert!(
        third["certificates"]
            .to_string()
            .contains("CN=Assay Issuing CA G3")
    );
    Ok(())
}

#[test]
fn nothing_is_finished_over_a_file_that_was_kept_before() -> Result<()> {
    let bench = rolling_over()?;
    let before = switched(&bench)?;
    std::fs::write(bench.path("ca/signer.toml.before-rollover"), "kept")?;
    let told_off = refused(&bench, &["next", "finish", "--early", "--write"])?;
    assert!(
        told_off.contains("nothing is ever overwritten"),
        "{told_off}"
    );
    assert_eq!(
        std::fs::read_to_string(bench.path("ca/signer.toml"))?,
        before
    );
    Ok(())
}
