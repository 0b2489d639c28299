//! Which CAs an export has, and which an auditor pins.

use std::io::Write;
use std::path::Path;

use anyhow::Result;
use assay_tests::installation::{Installation, auditor, pem};
use openssl::sha::sha256;
use openssl::x509::X509;

use crate::{Evidence, enrol, files, json, text};

/// The certificates of a file of pins, DER.
fn pinned(file: &Path) -> Result<Vec<Vec<u8>>> {
    let certificates = X509::stack_from_pem(&std::fs::read(file)?)?;
    let der = certificates.iter().map(|certificate| certificate.to_der());
    Ok(der.collect::<std::result::Result<_, _>>()?)
}

#[tokio::test]
async fn a_ca_is_in_the_export_once_however_often_the_signer_starts() -> Result<()> {
    let mut installation = Installation::start().await?;
    enrol(&installation, "before").await?;
    installation.stop().await?;
    installation.serve().await?;
    enrol(&installation, "after").await?;
    let evidence = Evidence::of(&installation, "twice", &[]).await?;

    let found = files(&evidence.export)?;
    let issuers: Vec<&str> = found
        .keys()
        .map(String::as_str)
        .filter(|path| path.starts_with("issuers/"))
        .collect();
    assert_eq!(issuers, ["issuers/0/0.der", "issuers/0/1.der"]);
    let ready = installation.ready();
    assert_eq!(found["issuers/0/0.der"], pem(&ready.ca_pem)?);
    assert_eq!(found["issuers/0/1.der"], pem(&ready.root_pem)?);
    let verdict = json(&evidence.verify().await?.succeeded()?)?;
    assert_eq!(verdict["verdict"], "proven", "{verdict}");
    Ok(())
}

#[tokio::test]
async fn the_next_ca_and_those_of_before_are_pinned_with_the_present_one() -> Result<()> {
    let installation = Installation::start().await?;
    enrol(&installation, "device").await?;
    let evidence = Evidence::of(&installation, "pins", &[]).await?;
    assert!(!evidence.trust.join("ca-2.pem").exists());

    // The running signer is not asked, and does not read its file again.
    let ready = installation.ready();
    let table = format!(
        "\n[rollover.certificates]\nca = {:?}\nchain = [{:?}]\n",
        ready.ra_sign_pem, ready.root_pem
    );
    let mut config = std::fs::OpenOptions::new()
        .append(true)
        .open(installation.path("signer.toml"))?;
    config.write_all(table.as_bytes())?;
    let trust = installation.scratch().join("several");
    let (root, ca) = (text(&ready.root_pem)?, text(&ready.ca_pem)?);
    let arguments = ["--json", "audit", "trust", "--out", text(&trust)?];
    // One that signer.toml names is pinned once.
    let arguments = [&arguments[..], &["--ca", root, "--ca", ca]].concat();
    let written = json(&installation.assay(&arguments).await?.succeeded()?)?;

    let [ca, next, root] = [&ready.ca_pem, &ready.ra_sign_pem, &ready.root_pem];
    let [ca, next, root] = [pem(ca)?, pem(next)?, pem(root)?];
    let hashes = [&ca, &next, &root].map(|der| hex::encode(sha256(der)));
    assert_eq!(written["ca_sha256"], serde_json::json!(hashes));
    let own = pinned(&trust.join("ca.pem"))?;
    assert_eq!(own, [ca, root.clone()]);
    let others = pinned(&trust.join("ca-2.pem"))?;
    assert_eq!(others, [next, root.clone()]);
    assert_eq!(pinned(&trust.join("ca-3.pem"))?, [root]);

    let several = Evidence {
        export: evidence.export.clone(),
        trust,
    };
    let verdict = json(&several.verify().await?.succeeded()?)?;
    assert_eq!(verdict["verdict"], "proven", "{verdict}");

    // Without its own CA among the pins it is not.
    let (first, last) = (several.trust.join("ca.pem"), several.trust.join("ca-3.pem"));
    std::fs::rename(last, first)?;
    let (export, trust) = (text(&several.export)?, text(&several.trust)?);
    let ran = auditor(&["--json", "verify", export, "--trust", trust]).await?;
    assert_eq!(ran.status.code(), Some(1), "{}", ran.stderr);
    assert_eq!(json(&ran)?["bad"][0]["check"], "VER-16");
    Ok(())
}
