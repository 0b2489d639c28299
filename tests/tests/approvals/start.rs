//! The demands that the signer makes on its policy when it starts.

use anyhow::{Context, Result};
use assay_tests::hsm;
use assay_tests::installation::{Installation, service, set};
use assay_tests::tiers::Tiers;
use assay_tests::tool;

use crate::scene::{approved, number, proposed, status};

/// Starts the signer alone and takes the one line that it refuses with.
async fn start_refused(installation: &Installation) -> Result<String> {
    let (_program, command) = service(&installation.ready().dir, "signer")?;
    let ran = tool::run(&mut command.into(), &[]).await?.failed()?;
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
    // Another process may have taken the old ports by now.
    let free = |line: &str| match line.starts_with("listen = ") {
        true => "listen = \"127.0.0.1:0\"\n".to_owned(),
        false => format!("{line}\n"),
    };
    let good: String = good.lines().map(free).collect();
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
    let service = hsm::start(&installation.ready().dir, installation.scratch())?;
    for (text, wanted) in cases {
        assert_ne!(text, good, "{wanted}");
        std::fs::write(&config, &text)?;
        let line = start_refused(&installation).await?;
        assert!(line.contains(wanted), "wanted {wanted:?}, got: {line}");
    }

    // Another person's key in the place of one that approved what is in force.
    std::fs::write(&config, &good)?;
    installation
        .ceremony(&["approver", "--person", "approver-2"])
        .await?
        .succeeded()?;
    std::fs::write(&config, good.replace("approver-1", "approver-2"))?;
    let line = start_refused(&installation).await?;
    assert!(line.contains("approval 1: made by no pinned key"), "{line}");
    service.stop();

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
async fn changed_settings_come_into_use_with_a_version_that_approves_them() -> Result<()> {
    let mut installation = Installation::start().await?;
    installation.stop().await?;
    let config = installation.path("signer.toml");
    set(&config, &["limits", "intent_ttl"], "2h")?;
    for listener in ["enrolment", "administration", "ops"] {
        set(&config, &[listener, "listen"], "127.0.0.1:0")?;
    }
    start_refused(&installation).await?;
    let hsm = hsm::start(&installation.ready().dir, installation.scratch())?;
    let (_program, mut command) = service(&installation.ready().dir, "signer")?;
    command.arg("--without-policy");
    let scratch = installation.scratch();
    let (signer, bound): (_, assay_runtime::ready::Ready) =
        assay_tests::process::Service::start(&mut command.into(), "signer-without-policy", scratch)
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
    hsm.stop();
    let _tiers = Tiers::start(&installation).await?;
    assert_eq!(number(&installation).await?, 2);
    Ok(())
}
