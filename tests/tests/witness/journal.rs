//! The journal of the HSM service is lost: a new one begins with the last CRL and the tree that the witness cosigned.

use std::path::Path;
use std::str::FromStr;

use anyhow::{Context, Result, ensure};
use assay_audit::note::VerifierKey;
use assay_tests::hsm::{self, journal};
use assay_tests::installation::auditor;
use assay_tests::{crl, http, wait};

use super::run::Witness;
use super::scene::{cosigned_head, enrol, serial_of, watched_by};
use super::text;

#[tokio::test]
async fn a_new_journal_begins_with_the_cosigned_tree_of_an_export() -> Result<()> {
    let mut witness = Witness::new().await?;
    let (mut installation, trust) = watched_by(&witness).await?;
    let vkey = std::fs::read_to_string(trust.join("log.vkey"))?;
    let url = witness.start(vkey.trim()).await?;
    let key = VerifierKey::from_str(&witness.vkey)?;
    let lost = serial_of(&enrol(&installation, "lost").await?)?;
    let revoke = ["cert", "revoke", &lost];
    installation.assay(&revoke).await?.succeeded()?;
    installation.under_checkpoint().await?;
    cosigned_head(&installation, &url, &key).await?;
    let scratch = installation.scratch().to_owned();
    let export = scratch.join("export");
    let cosigned = ["export", "--cosigned", "--out", text(&export)?];
    installation.assay(&cosigned).await?.succeeded()?;
    let last_crl = scratch.join("last.crl");
    std::fs::write(&last_crl, http::get(&crl::url(&installation)?).await?.body)?;

    let tree = scratch.join("tree.json");
    let write = ["tree", text(&export)?, "--out", text(&tree)?];
    let told = auditor(&write).await?.succeeded()?.text();
    ensure!(told.contains("cosignatures  1\n"), "{told}");
    damaged(&export, &scratch).await?;

    installation.stop().await?;
    let dir = installation.path("");
    let place = installation.path("hsm/journal");
    std::fs::rename(&place, installation.path("hsm/lost"))?;
    let used = [
        "create",
        "--last-crl",
        text(&last_crl)?,
        "--log",
        text(&tree)?,
    ];
    let stranger = Witness::new().await?;
    let by_stranger = [&used[..], &["--witness", &stranger.vkey]].concat();
    let refused = journal(&dir, &by_stranger).await?.failed()?;
    ensure!(
        refused.stderr.contains("did not cosign it"),
        "{}",
        refused.stderr
    );
    ensure!(!place.exists(), "a journal was made");
    // The trust directory is the operator's own.
    let keys = scratch.join("witnesses.vkeys");
    std::fs::copy(trust.join("witnesses.vkeys"), &keys)?;
    let by_witness = [&used[..], &["--witness", text(&keys)?]].concat();
    let created = journal(&dir, &by_witness).await?.succeeded()?;
    ensure!(created.text().contains("identity "), "{}", created.text());

    let service = hsm::start(&dir, &scratch)?;
    wait::until("a service that serves", wait::REACTION, async || {
        Ok(hsm::printed(&scratch).contains("\"serving\"").then_some(()))
    })
    .await
    .with_context(|| hsm::printed(&scratch))?;
    drop(service);
    journal(&dir, &["verify"]).await?.succeeded()?;
    Ok(())
}

/// An export whose hashes do not give the root of its checkpoint has no tree.
async fn damaged(export: &Path, scratch: &Path) -> Result<()> {
    let tile = export.join("tile/0");
    let mut files = std::fs::read_dir(&tile)?;
    let mut tile = files.next().context("no tile")??.path();
    if tile.is_dir() {
        let mut files = std::fs::read_dir(&tile)?;
        tile = files.next().context("no tile")??.path();
    }
    let good = std::fs::read(&tile)?;
    let mut bad = good.clone();
    *bad.first_mut().context("an empty tile")? ^= 1;
    std::fs::write(&tile, bad)?;
    let out = scratch.join("none.json");
    let ran = auditor(&["tree", text(export)?, "--out", text(&out)?]).await?;
    let refused = ran.failed()?;
    ensure!(
        refused
            .stderr
            .contains("does not hold the tree of its checkpoint"),
        "{}",
        refused.stderr
    );
    ensure!(!out.exists(), "a tree was written");
    std::fs::write(&tile, good)?;
    Ok(())
}
