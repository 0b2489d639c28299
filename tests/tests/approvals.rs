//! Policy comes into force by approval alone: the real signer against every approval that must not count.
#![allow(clippy::panic, reason = "test code")]

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use assay_tests::installation::{Installation, binary, pem, set};
use assay_tests::operator::Operator;
use assay_tests::tiers::Tiers;
use assay_tests::{tool, wait};
use openssl::pkey::{PKey, Private};
use openssl::x509::X509;
use serde_json::Value;
use tokio::process::Command;

/// What the signer says of its policy.
async fn status(installation: &Installation) -> Result<Value> {
    let printed = installation
        .assay(&["--json", "policy", "status"])
        .await?
        .succeeded()?;
    Ok(serde_json::from_slice(&printed.stdout)?)
}

async fn number(installation: &Installation) -> Result<u64> {
    status(installation)
        .await?
        .pointer("/in_force/number")
        .and_then(Value::as_u64)
        .context("no version is in force")
}

/// Proposes the installation's files once more; nobody approved them yet.
async fn proposed(installation: &Installation, further: &[&str]) -> Result<PathBuf> {
    let proposal = installation.new_proposal();
    installation
        .propose(&installation.ready().policy_dir, &proposal, further)
        .await?
        .succeeded()?;
    Ok(proposal)
}

async fn approved(installation: &Installation, further: &[&str]) -> Result<PathBuf> {
    let proposal = proposed(installation, further).await?;
    installation
        .approve(&proposal, "approver-1")
        .await?
        .succeeded()?;
    Ok(proposal)
}

/// Activation is refused with this text, the version in force stays, and the signer's log tells.
async fn refused(installation: &Installation, proposal: &Path, wanted: &str) -> Result<()> {
    let before = number(installation).await?;
    let said = installation.activate(proposal).await?.failed()?.all();
    ensure!(said.contains(wanted), "wanted {wanted:?}, got: {said}");
    ensure!(number(installation).await? == before, "{said}");
    let logs = installation.logs()?;
    ensure!(logs.contains("activation refused"), "{logs}");
    Ok(())
}

fn add_approval(proposal: &Path, name: &str, signature: &[u8]) -> Result<()> {
    std::fs::write(proposal.join("approvals").join(name), signature)?;
    Ok(())
}

fn openssl_cms(installation: &Installation, person: &str, content: &Path, to: &Path) -> Command {
    let (certificate, key) = installation.credential(person);
    let mut command = Command::new("openssl");
    command
        .args(["cms", "-sign", "-binary", "-outform", "DER", "-in"])
        .arg(content)
        .args(["-signer", &certificate, "-inkey", &key, "-out"])
        .arg(to);
    command
}

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
        .assay(&["ceremony", "approver", "--person", "approver-9"])
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

    let short = approved(&installation, &["--expires", "1s"]).await?;
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

#[tokio::test]
async fn a_stop_holds_at_once_and_over_a_restart_until_an_approved_version_resumes() -> Result<()> {
    let mut installation = Installation::start().await?;
    installation.stop().await?;
    let mut tiers = Tiers::start(&installation).await?;
    let challenge = installation.challenge("CN=stopped,O=Example", &[]).await?;
    let stop = ["policy", "stop", "devices", "--reason", "a stolen laptop"];
    let said = installation.assay(&stop).await?.succeeded()?.text();
    assert!(said.contains("devices is stopped"), "{said}");
    let said = installation.assay(&stop).await?.succeeded()?.text();
    assert!(said.contains("was stopped before"), "{said}");
    enrolment_refused(&installation, &tiers, &challenge).await?;
    tiers.kill_signer().await?;
    tiers.restart().await?;
    enrolment_refused(&installation, &tiers, &challenge).await?;

    installation
        .put_in_force(&installation.ready().policy_dir)
        .await?;
    enrolment_refused(&installation, &tiers, &challenge).await?;

    let unapproved = proposed(&installation, &["--resume", "devices"]).await?;
    installation.activate(&unapproved).await?.failed()?;
    enrolment_refused(&installation, &tiers, &challenge).await?;

    let resuming = approved(&installation, &["--resume", "devices"]).await?;
    installation.activate(&resuming).await?.succeeded()?;
    enrol(&installation, &tiers.url("devices"), "stopped", &challenge)
        .await?
        .succeeded()?;

    let records = Operator::connect(&installation.ready().dir)
        .await?
        .audit(0)
        .await?;
    let stopped: Vec<_> = records
        .iter()
        .filter(|record| record.kind() == "profile.stopped")
        .collect();
    assert_eq!(stopped.len(), 1);
    let resumed = records.iter().any(|record| {
        record.kind() == "policy.activated" && record.texts("resumed") == ["devices"]
    });
    assert!(resumed);
    Ok(())
}

async fn enrol(
    installation: &Installation,
    url: &str,
    name: &str,
    challenge: &str,
) -> Result<tool::Ran> {
    let folder = installation.scratch().join(format!("device-{name}"));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir(&folder)?;
    let subject = format!("CN={name},O=Example");
    let output = folder.join("device.pem");
    let mut command = Command::new(binary("assay")?);
    command
        .arg("--dir")
        .arg(&installation.ready().dir)
        .args([
            "enrol",
            "--url",
            url,
            "--subject",
            &subject,
            "--challenge",
            challenge,
            "--cert",
        ])
        .arg(&output)
        .arg("--key")
        .arg(folder.join("device.key"));
    tool::run(&mut command, &[]).await
}

/// Refused by POL-04 and without a use of the decryption key.
async fn enrolment_refused(
    installation: &Installation,
    tiers: &Tiers,
    challenge: &str,
) -> Result<()> {
    let mut operator = Operator::connect(&installation.ready().dir).await?;
    let before = operator.audit(0).await?.len();
    let decrypted = decryptions(&mut operator).await?;
    enrol(installation, &tiers.url("devices"), "stopped", challenge)
        .await?
        .failed()?;
    ensure!(
        decryptions(&mut operator).await? == decrypted,
        "the token decrypted"
    );
    let records = operator.audit(before as u64).await?;
    let refusal = records
        .iter()
        .find(|record| record.kind() == "request.refused")
        .context("no refusal")?;
    ensure!(refusal.text("rule") == "POL-04", "{refusal:?}");
    Ok(())
}

async fn decryptions(operator: &mut Operator) -> Result<u64> {
    let workers = operator.status().await?.workers;
    Ok(workers
        .iter()
        .filter_map(|worker| worker.operations.get("ra-decrypt"))
        .sum())
}

/// Starts the signer alone and takes the one line that it refuses with.
async fn start_refused(installation: &Installation) -> Result<String> {
    let mut command = Command::new(binary("assay-signer")?);
    command
        .arg("--config")
        .arg(installation.path("signer.toml"));
    let ran = tool::run(&mut command, &[]).await?.failed()?;
    let line = ran
        .stderr
        .lines()
        .find(|line| line.starts_with("assay-signer: "))
        .with_context(|| ran.all())?;
    Ok(line.to_owned())
}

#[tokio::test]
async fn the_signer_does_not_start_where_its_policy_is_not_approved() -> Result<()> {
    let mut installation = Installation::start().await?;
    installation.stop().await?;
    let config = installation.path("signer.toml");
    let good = std::fs::read_to_string(&config)?;
    let pins = good
        .find("\n[[policy.approver]]")
        .context("no approver in signer.toml")?;
    let table = good.find("[policy]").context("no [policy]")?;
    let key_of = |person: &str| format!("person = \"{person}\"");
    let cases = [
        (
            good.get(..table).unwrap_or_default().to_owned(),
            "[policy] is missing",
        ),
        (good.get(..pins).unwrap_or_default().to_owned(), "0 people"),
        (
            good.replace("approvals = 1", "approvals = 0"),
            "approvals = 0",
        ),
        (good.replace("approvals = 1", "approvals = 2"), "2 people"),
        (
            good.replace(&key_of("approver-1"), &key_of("author")),
            "1 people",
        ),
        (
            good.replace("approver-1.pem", "author.pem"),
            "also pinned for author",
        ),
        (
            good.replace("approver-1.pem", "nobody.pem"),
            "nobody.pem cannot be read",
        ),
        (
            good.clone() + "\n[limits]\nintent_ttl = \"2h\"\n",
            "settings.limits.intent_ttl",
        ),
    ];
    for (text, wanted) in cases {
        assert_ne!(text, good, "{wanted}");
        std::fs::write(&config, &text)?;
        let line = start_refused(&installation).await?;
        assert!(line.contains(wanted), "wanted {wanted:?}, got: {line}");
    }

    // Another person's key in the place of one that approved what is in force.
    std::fs::write(&config, &good)?;
    installation
        .assay(&["ceremony", "approver", "--person", "approver-2"])
        .await?
        .succeeded()?;
    std::fs::write(&config, good.replace("approver-1", "approver-2"))?;
    let line = start_refused(&installation).await?;
    assert!(line.contains("approval 1: made by no pinned key"), "{line}");

    // Retired, the key still stands for what it approved.
    let retired = good.clone()
        + "retired = true\n\n[[policy.approver]]\nperson = \"approver-2\"\n\
         certificate = \"approvers/approver-2.pem\"\n";
    std::fs::write(&config, retired)?;
    let _tiers = Tiers::start(&installation).await?;
    let proposal = proposed(&installation, &[]).await?;
    installation
        .approve(&proposal, "approver-1")
        .await?
        .succeeded()?;
    let said = installation.activate(&proposal).await?.failed()?.all();
    assert!(said.contains("retired key of approver-1"), "{said}");
    std::fs::remove_file(proposal.join("approvals/approver-1.p7s"))?;
    installation
        .approve(&proposal, "approver-2")
        .await?
        .succeeded()?;
    installation.activate(&proposal).await?.succeeded()?;
    Ok(())
}

#[tokio::test]
async fn every_key_of_the_policy_table_deleted_misspelt_or_doubled_is_named() -> Result<()> {
    let mut installation = Installation::start().await?;
    installation.stop().await?;
    let config = installation.path("signer.toml");
    let good = std::fs::read_to_string(&config)?;
    let table = good.find("[policy]").context("no [policy]")?;
    let (head, tail) = good.split_at(table);
    let mut keys = 0;
    for (index, line) in tail.lines().enumerate() {
        let Some((key, _)) = line.split_once(" = ") else {
            continue;
        };
        keys += 1;
        for broken in [
            String::new(),
            line.replacen(key, &format!("{key}x"), 1),
            format!("{line}\n{line}"),
        ] {
            let lines: Vec<&str> = tail
                .lines()
                .enumerate()
                .map(|(at, line)| if at == index { broken.as_str() } else { line })
                .collect();
            std::fs::write(&config, format!("{head}{}\n", lines.join("\n")))?;
            let line = start_refused(&installation).await?;
            assert!(line.contains(key), "{key}: {broken:?}: {line}");
        }
    }
    assert_eq!(keys, 5);
    Ok(())
}

#[tokio::test]
async fn activation_while_requests_run_loses_none_of_them() -> Result<()> {
    const DEVICES: usize = 12;
    let installation = Installation::start().await?;
    let url = installation.url("devices")?.to_owned();
    let mut challenges = Vec::new();
    for index in 0..DEVICES {
        let subject = format!("CN=running-{index},O=Example");
        challenges.push(installation.challenge(&subject, &[]).await?);
    }
    let devices = async {
        for (index, challenge) in challenges.iter().enumerate() {
            enrol(&installation, &url, &format!("running-{index}"), challenge)
                .await?
                .succeeded()?;
        }
        anyhow::Ok(())
    };
    let activations = async {
        for _ in 0..3 {
            installation
                .put_in_force(&installation.ready().policy_dir)
                .await?;
        }
        anyhow::Ok(())
    };
    let (enrolled, activated) = tokio::join!(devices, activations);
    enrolled?;
    activated?;
    assert_eq!(number(&installation).await?, 4);
    Ok(())
}

#[tokio::test]
async fn a_version_that_expires_permits_nothing_any_more() -> Result<()> {
    let installation = Installation::start().await?;
    let challenge = installation.challenge("CN=late,O=Example", &[]).await?;
    // Within the days before an end that the signer warns in, and soon over.
    let short = approved(&installation, &["--expires", "8s"]).await?;
    installation.activate(&short).await?.succeeded()?;
    let mut operator = Operator::connect(&installation.ready().dir).await?;
    wait::until("the warning", wait::REACTION, async || {
        let warnings = Operator::connect(&installation.ready().dir)
            .await?
            .status()
            .await?
            .warnings;
        let told = warnings
            .iter()
            .any(|line| line.contains("expires in 0 days"));
        Ok(told.then_some(()))
    })
    .await?;
    wait::until("the end of the version", wait::REACTION, async || {
        let status = Operator::connect(&installation.ready().dir)
            .await?
            .status()
            .await?;
        let over = status.causes.iter().any(|line| line.contains("expired"));
        Ok((over && !status.ready).then_some(()))
    })
    .await?;
    let before = operator.audit(0).await?.len() as u64;
    enrol(
        &installation,
        installation.url("devices")?,
        "late",
        &challenge,
    )
    .await?
    .failed()?;
    let records = operator.audit(before).await?;
    let refusal = records
        .iter()
        .find(|record| record.kind() == "request.refused")
        .context("no refusal")?;
    assert_eq!(refusal.text("rule"), "POL-03");
    Ok(())
}

#[tokio::test]
async fn changed_settings_come_into_use_with_a_version_that_approves_them() -> Result<()> {
    let mut installation = Installation::start().await?;
    installation.stop().await?;
    let config = installation.path("signer.toml");
    set(&config, &["limits", "intent_ttl"], "2h")?;
    for listener in ["enrolment", "administration", "ops"] {
        set(&config, &[listener, "listen"], "127.0.0.1:0")?;
    }
    start_refused(&installation).await?;
    let mut command = Command::new(binary("assay-signer")?);
    command.arg("--config").arg(&config).arg("--without-policy");
    let scratch = installation.scratch();
    let (signer, bound): (_, assay_runtime::ready::Ready) =
        assay_tests::process::Service::start(&mut command, "signer-without-policy", scratch)
            .await?;
    let administration = bound.administration.context("no address")?.to_string();
    set(
        &installation.path("assay.toml"),
        &["administration", "address"],
        administration.as_str(),
    )?;
    assert!(
        status(&installation)
            .await?
            .pointer("/in_force/number")
            .is_none()
    );
    let proposal = approved(&installation, &[]).await?;
    let text = std::fs::read_to_string(proposal.join("proposal.toml"))?;
    assert!(text.contains("\"limits.intent_ttl\" = \"2h\""), "{text}");
    installation.activate(&proposal).await?.succeeded()?;
    assert_eq!(number(&installation).await?, 2);
    signer.stop().await?;
    let _tiers = Tiers::start(&installation).await?;
    assert_eq!(number(&installation).await?, 2);
    Ok(())
}

/// What `assay ceremony approver` makes is what a smart card's certificate would be.
#[tokio::test]
async fn a_certificate_of_a_key_elsewhere_is_imported_without_a_key() -> Result<()> {
    let installation = Installation::start().await?;
    let source = installation.scratch().join("card.pem");
    installation
        .assay(&["ceremony", "approver", "--person", "approver-5"])
        .await?
        .succeeded()?;
    std::fs::copy(installation.path("approvers/approver-5.pem"), &source)?;
    let said = installation
        .assay(&[
            "ceremony",
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
