//! What counts as an approval, and what does not.

use anyhow::{Context, Result};
use assay_tests::installation::{Installation, pem};
use assay_tests::operator::Operator;
use assay_tests::{tool, wait};
use openssl::pkey::{PKey, Private};
use openssl::x509::X509;
use tokio::process::Command;

use crate::scene::{add_approval, approved, number, openssl_cms, proposed, refused};

#[tokio::test]
async fn no_approval_that_must_not_count_brings_a_version_into_force() -> Result<()> {
    let installation = Installation::start().await?;
    let first = number(&installation).await?;

    let nobody = proposed(&installation, &[]).await?;
    refused(&installation, &nobody, "0 of 1 approvals; approver-1").await?;

    let own = proposed(&installation, &[]).await?;
    installation.approve(&own, "author").await?.succeeded()?;
    refused(&installation, &own, "author wrote the proposal").await?;

    let twice = approved(&installation, &[]).await?;
    std::fs::copy(
        twice.join("approvals/approver-1.p7s"),
        twice.join("approvals/approver-2.p7s"),
    )?;
    refused(&installation, &twice, "approver-1 approved it before").await?;

    let other = proposed(&installation, &["--resume", "fleet"]).await?;
    let of_another = std::fs::read(twice.join("approvals/approver-1.p7s"))?;
    add_approval(&other, "approver-1.p7s", &of_another)?;
    refused(&installation, &other, "made by no pinned key").await?;

    let stranger = proposed(&installation, &[]).await?;
    installation
        .ceremony(&["approver", "--person", "approver-9"])
        .await?
        .succeeded()?;
    installation
        .approve(&stranger, "approver-9")
        .await?
        .succeeded()?;
    refused(&installation, &stranger, "made by no pinned key").await?;

    let files = approved(&installation, &[]).await?;
    let file = files.join("files/devices.toml");
    std::fs::write(&file, std::fs::read_to_string(&file)? + "# changed\n")?;
    refused(&installation, &files, "the proposal is of the files").await?;

    let edited = approved(&installation, &[]).await?;
    let file = edited.join("proposal.toml");
    std::fs::write(
        &file,
        std::fs::read_to_string(&file)?.replace("TEST-1", "TEST-2"),
    )?;
    refused(&installation, &edited, "made by no pinned key").await?;

    // A machine that takes longer than that to write a proposal gets more time.
    let mut seconds = 1;
    let short = loop {
        let expires = format!("{seconds}s");
        match approved(&installation, &["--expires", &expires]).await {
            Ok(short) => break short,
            Err(error) if seconds >= 64 => return Err(error),
            Err(_) => seconds *= 2,
        }
    };
    wait::until("the proposal's end", wait::REACTION, async || {
        let path = short.to_string_lossy();
        let said = installation
            .assay(&["policy", "status", &path])
            .await?
            .all();
        Ok(said.contains("it has expired").then_some(()))
    })
    .await?;
    refused(&installation, &short, "it has expired").await?;

    // All of these are of the version that this one makes the one in force.
    let older = approved(&installation, &[]).await?;
    let good = approved(&installation, &[]).await?;
    installation.activate(&good).await?.succeeded()?;
    assert_eq!(number(&installation).await?, first + 1);
    refused(&installation, &good, "number:").await?;
    refused(&installation, &older, "predecessor:").await?;

    // Back to what was signed for an older version: the number alone does not make it the next.
    let back = installation.new_proposal();
    installation
        .assay(&[
            "policy",
            "show",
            &first.to_string(),
            "-o",
            &back.to_string_lossy(),
        ])
        .await?
        .succeeded()?;
    refused(&installation, &back, "number:").await?;

    let mut operator = Operator::connect(&installation.ready().dir).await?;
    let records = operator.audit(0).await?;
    let activated: Vec<_> = records
        .iter()
        .filter(|record| record.kind() == "policy.activated")
        .collect();
    assert_eq!(activated.len() as u64, first + 1);
    let last = activated.last().context("no record")?;
    assert_eq!(last.text("author"), "author");
    assert_eq!(last.texts("approvers"), ["approver-1"]);
    let text = std::fs::read(good.join("proposal.toml"))?;
    let hash = hex::encode(openssl::sha::sha256(&text));
    assert_eq!(last.text("proposal_sha256"), hash);
    Ok(())
}

#[tokio::test]
async fn an_approval_made_by_openssl_as_for_a_smart_card_counts() -> Result<()> {
    let installation = Installation::start().await?;
    let before = number(&installation).await?;
    let proposal = proposed(&installation, &[]).await?;
    let path = proposal.to_string_lossy();
    let (certificate, key) = installation.credential("approver-1");
    let printed = installation
        .assay(&[
            "policy",
            "approve",
            &path,
            "--certificate",
            &certificate,
            "--key",
            &key,
            "--print-command",
        ])
        .await?
        .succeeded()?
        .text();
    let mut shell = Command::new("sh");
    shell.args(["-c", &printed]);
    tool::run(&mut shell, &[]).await?.succeeded()?;
    let said = installation
        .assay(&["policy", "status", &path])
        .await?
        .succeeded()?
        .text();
    assert!(
        said.contains("approver-1 (1 of 1)") && said.contains("ready"),
        "{said}"
    );
    installation.activate(&proposal).await?.succeeded()?;
    assert_eq!(number(&installation).await?, before + 1);

    let proposal = proposed(&installation, &[]).await?;
    let to = proposal.join("approvals/card.p7s");
    let mut cms = openssl_cms(
        &installation,
        "approver-1",
        &proposal.join("proposal.toml"),
        &to,
    );
    tool::run(&mut cms, &[]).await?.succeeded()?;
    installation.activate(&proposal).await?.succeeded()?;
    assert_eq!(number(&installation).await?, before + 2);
    Ok(())
}

#[tokio::test]
async fn a_proposal_made_away_from_the_signer_is_as_good() -> Result<()> {
    let installation = Installation::start().await?;
    let before = number(&installation).await?;
    let basis = installation.scratch().join("basis.json");
    let printed = installation
        .assay(&["--json", "policy", "basis"])
        .await?
        .succeeded()?;
    std::fs::write(&basis, &printed.stdout)?;
    let proposal = approved(&installation, &["--basis", &basis.to_string_lossy()]).await?;
    installation.activate(&proposal).await?.succeeded()?;
    assert_eq!(number(&installation).await?, before + 1);
    Ok(())
}

/// What `assay-ceremony approver` makes is what a smart card's certificate would be.
#[tokio::test]
async fn a_certificate_of_a_key_elsewhere_is_imported_without_a_key() -> Result<()> {
    let installation = Installation::start().await?;
    let source = installation.scratch().join("card.pem");
    installation
        .ceremony(&["approver", "--person", "approver-5"])
        .await?
        .succeeded()?;
    std::fs::copy(installation.path("approvers/approver-5.pem"), &source)?;
    let said = installation
        .ceremony(&[
            "approver",
            "--person",
            "card",
            "--import",
            &source.to_string_lossy(),
        ])
        .await?
        .succeeded()?
        .text();
    assert!(
        said.contains("[[policy.approver]]") && said.contains("person = \"card\""),
        "{said}"
    );
    assert!(!installation.path("approvers/card.key").exists());
    let der = pem(&installation.path("approvers/card.pem"))?;
    let certificate = X509::from_der(&der)?;
    let key = std::fs::read(installation.path("approvers/approver-5.key"))?;
    let key: PKey<Private> = PKey::private_key_from_pem(&key)?;
    assert!(certificate.public_key()?.public_eq(&key));
    Ok(())
}
