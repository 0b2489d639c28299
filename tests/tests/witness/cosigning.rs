//! The way of a checkpoint to a witness and back, and what it shows.

use std::path::Path;
use std::str::FromStr;

use anyhow::{Context, Result};
use assay_audit::Checkpoint;
use assay_audit::note::{Note, VerifierKey, cosigned};
use assay_tests::installation::{Installation, pem};
use assay_tests::tool;
use assay_tests::wait;
use assay_types::Timestamp;
use openssl::pkey::PKey;
use openssl::x509::X509;
use tempfile::TempDir;

use super::receipts;
use super::run::Witness;
use super::scene::{cosigned_head, enrol, head, head_after, serial_of, size, watched_by};

/// OpenSSL's own command, over files of its own.
async fn openssl_verifies(public: &Path, octets: &[u8], signature: &[u8]) -> Result<bool> {
    let dir = TempDir::with_prefix("assay-openssl-")?;
    let (signed, by) = (dir.path().join("signed"), dir.path().join("signature"));
    std::fs::write(&signed, octets)?;
    std::fs::write(&by, signature)?;
    let mut command = tool::command("openssl", "openssl")?;
    command
        .args(["pkeyutl", "-verify", "-pubin", "-rawin", "-inkey"])
        .arg(public)
        .arg("-in")
        .arg(&signed)
        .arg("-sigfile")
        .arg(&by);
    let ran = tool::run(&mut command, &[]).await?;
    Ok(ran.status.success() && ran.all().contains("Verified Successfully"))
}

#[tokio::test]
async fn a_cosignature_comes_back_and_holds_for_openssl_and_for_receipts_offline() -> Result<()> {
    let mut witness = Witness::new().await?;
    let (installation, trust) = watched_by(&witness).await?;
    let vkey = std::fs::read_to_string(trust.join("log.vkey"))?;
    let url = witness.start(vkey.trim()).await?;
    let key = VerifierKey::from_str(&witness.vkey)?;

    // Twice, so that the second time there is something to be consistent with.
    let (mut certificate, mut note) = (Vec::new(), head(&installation).await?);
    for name in ["a", "b"] {
        certificate = enrol(&installation, name).await?;
        let serial = serial_of(&certificate)?;
        wait::until("the record under a head", wait::REACTION, async || {
            let receipt = installation.assay(&["receipt", &serial]).await?;
            Ok(receipt.status.success().then_some(()))
        })
        .await?;
        note = cosigned_head(&installation, &url, &key).await?;
    }

    // Two timers at once, on a log that continues: neither takes the other for a log that was set back.
    enrol(&installation, "c").await?;
    let cosign = ["audit", "cosign", "--witness", url.as_str()];
    let (one, other) = tokio::join!(installation.assay(&cosign), installation.assay(&cosign));
    one?.succeeded()?;
    other?.succeeded()?;

    // The log's signature and the witness's, by OpenSSL and the keys' own files.
    let [log, cosignature] = note.signatures() else {
        anyhow::bail!("two signatures are to be on {note}");
    };
    let public = installation.path("certificates/log-key.pem");
    let signed = note.text().as_bytes();
    assert!(openssl_verifies(&public, signed, log.octets()).await?);
    let altered = note.text().replacen("assay", "essay", 1);
    assert!(!openssl_verifies(&public, altered.as_bytes(), log.octets()).await?);
    let public = witness.dir.path().join("public.pem");
    let mut command = tool::command("openssl", "openssl")?;
    command
        .args(["pkey", "-pubout", "-in"])
        .arg(witness.key_file())
        .arg("-out")
        .arg(&public);
    tool::run(&mut command, &[]).await?.succeeded()?;
    let (time, octets) = cosignature
        .octets()
        .split_first_chunk()
        .context("a cosignature has a time")?;
    let time = Timestamp::from_seconds(i64::from_be_bytes(*time));
    let message = cosigned(time, note.text());
    assert!(openssl_verifies(&public, message.as_bytes(), octets).await?);

    is_whole(&installation, &trust, &witness)?;
    receipts::hold_offline(&installation, &trust, &witness, &certificate).await
}

#[tokio::test]
async fn a_log_that_was_set_back_is_found_out_by_its_witness() -> Result<()> {
    let mut witness = Witness::new().await?;
    let (mut installation, trust) = watched_by(&witness).await?;
    let vkey = std::fs::read_to_string(trust.join("log.vkey"))?;
    let url = witness.start(vkey.trim()).await?;
    installation.stop().await?;
    // The whole host: the HSM service, which has its journal there, would tell of the state alone.
    let all = ["state", "hsm"].map(|name| {
        let copy = installation.scratch().join("copy").join(name);
        (installation.path(name), copy)
    });
    for (files, copy) in &all {
        copy_files(files, copy)?;
    }
    installation.serve().await?;
    for name in ["a", "b", "c", "d"] {
        enrol(&installation, name).await?;
    }
    let before = size(&head(&installation).await?)?;
    enrol(&installation, "e").await?;
    head_after(&installation, before).await?;
    let cosign = ["audit", "cosign", "--witness", url.as_str()];
    installation.assay(&cosign).await?.succeeded()?;

    installation.stop().await?;
    for (files, copy) in &all {
        std::fs::remove_dir_all(files)?;
        copy_files(copy, files)?;
    }
    installation.serve().await?;
    let told = installation.assay(&cosign).await?.failed()?;
    assert_eq!(told.status.code(), Some(1));
    assert!(told.all().contains("set back"), "{}", told.all());
    Ok(())
}

fn copy_files(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    std::fs::set_permissions(to, std::fs::metadata(from)?.permissions())?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let copy = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_files(&entry.path(), &copy)?;
        } else {
            std::fs::copy(entry.path(), copy)?;
        }
    }
    Ok(())
}

/// What an auditor is to pin: from the ceremony and the configuration, in the forms that the verifier reads.
fn is_whole(installation: &Installation, trust: &Path, witness: &Witness) -> Result<()> {
    let read = |name: &str| std::fs::read_to_string(trust.join(name)).context(name.to_owned());
    let log = VerifierKey::from_str(read("log.vkey")?.trim())?;
    let spki = PKey::public_key_from_pem(&std::fs::read(
        installation.path("certificates/log-key.pem"),
    )?)?;
    let spki = spki.public_key_to_der()?;
    assert_eq!(log, VerifierKey::from_spki(log.name(), &spki)?);
    Checkpoint::open(&Note::from_str(&read("checkpoint")?)?, &log)?;
    assert_eq!(read("witnesses.vkeys")?, format!("{}\n", witness.vkey));
    let ready = installation.ready();
    let chain: Vec<Vec<u8>> = X509::stack_from_pem(read("ca.pem")?.as_bytes())?
        .iter()
        .map(|certificate| certificate.to_der())
        .collect::<std::result::Result<_, _>>()?;
    assert_eq!(chain, [pem(&ready.ca_pem)?, pem(&ready.root_pem)?]);

    let pinned: toml::Table = read("approvers.toml")?.parse()?;
    let configured: toml::Table =
        std::fs::read_to_string(installation.path("signer.toml"))?.parse()?;
    let keys = |table: &toml::Table, dir: &Path| -> Result<Vec<(String, Vec<u8>)>> {
        let policy = table.get("policy").context("no policy")?;
        let keys = policy.get("approver").and_then(|keys| keys.as_array());
        let keys = keys.context("no approver")?.iter();
        keys.map(|key| {
            let text = |name: &str| key.get(name).and_then(|text| text.as_str());
            let person = text("person").context("no person")?.to_owned();
            let file = dir.join(text("certificate").context("no certificate")?);
            Ok((person, pem(&file)?))
        })
        .collect()
    };
    let pinned_keys = keys(&pinned, trust)?;
    assert!(!pinned_keys.is_empty());
    assert_eq!(pinned_keys, keys(&configured, &ready.dir)?);
    let approvals = |table: &toml::Table| table.get("policy")?.get("approvals").cloned();
    assert_eq!(approvals(&pinned), approvals(&configured));
    Ok(())
}
