//! The responders of two CAs.

use anyhow::{Context, Result, ensure};
use openssl::x509::X509;
use serde_json::Value;

use crate::bench::{Bench, said};

fn told(bench: &Bench, arguments: &[&str]) -> Result<Value> {
    let run = bench.run("ca", arguments).arg("--json").output()?;
    ensure!(run.status.success(), "{}", said(&run));
    Ok(serde_json::from_slice(&run.stdout)?)
}

/// The responder's certificate, which its own CA signed.
fn responder(bench: &Bench, folder: &str) -> Result<X509> {
    let ca = bench.certificate(&format!("ca/certificates/{folder}ca.pem"))?;
    let responder = bench.certificate(&format!("ca/certificates/{folder}ocsp.pem"))?;
    assert!(responder.verify(&*ca.public_key()?)?, "{folder}");
    Ok(responder)
}

#[test]
fn the_responders_of_both_cas_are_renewed_over_their_own_keys() -> Result<()> {
    let bench = Bench::new()?;
    let run = bench.under_root("ca").arg("--ocsp").output()?;
    ensure!(run.status.success(), "{}", said(&run));
    let made = told(&bench, &["next"])?;
    let file = bench.path("ca/signer.toml");
    let text = std::fs::read_to_string(&file)?;
    std::fs::write(&file, text + made["lines"].as_str().context("lines")?)?;
    let before = [responder(&bench, "")?, responder(&bench, "2/")?];
    assert!(!before[0].public_key()?.public_eq(&*before[1].public_key()?));

    let renewed = told(&bench, &["ocsp", "--days", "30"])?;
    assert_eq!(
        (&renewed["new"], &renewed["next"]["new"]),
        (&false.into(), &false.into())
    );
    assert_eq!(renewed["next"]["certificate"], "certificates/2/ocsp.pem");
    let after = [responder(&bench, "")?, responder(&bench, "2/")?];
    for (before, after) in before.iter().zip(&after) {
        assert!(before.public_key()?.public_eq(&*after.public_key()?));
        assert_ne!(before.to_der()?, after.to_der()?);
    }
    Ok(())
}

#[test]
fn a_responder_that_comes_later_comes_for_both_cas() -> Result<()> {
    let bench = Bench::new()?;
    let run = bench.under_root("ca").output()?;
    ensure!(run.status.success(), "{}", said(&run));
    let next = told(&bench, &["next"])?;
    let file = bench.path("ca/signer.toml");
    let text = std::fs::read_to_string(&file)?;
    std::fs::write(&file, text + next["lines"].as_str().context("lines")?)?;

    let made = told(&bench, &["ocsp"])?;
    assert_eq!(
        (&made["new"], &made["next"]["new"]),
        (&true.into(), &true.into())
    );
    let lines =
        |of: &Value| -> Result<toml::Table> { Ok(of["lines"].as_str().context("lines")?.parse()?) };
    let (present, next) = (lines(&made)?, lines(&made["next"])?);
    assert_eq!(
        present["ocsp"]["certificate"].as_str(),
        Some("certificates/ocsp.pem")
    );
    assert_eq!(
        next["rollover"]["ocsp"]["certificate"].as_str(),
        Some("certificates/2/ocsp.pem")
    );
    let hsm: toml::Table = std::fs::read_to_string(bench.path("ca/hsm.toml"))?.parse()?;
    for (place, key) in ["object=ocsp-sign;", "object=ocsp-sign-g2;"]
        .iter()
        .enumerate()
    {
        let named = hsm["ca"][place]["ocsp"]["key"].as_str().context("key")?;
        assert!(named.contains(key), "{named}");
    }
    responder(&bench, "")?;
    responder(&bench, "2/")?;
    Ok(())
}
