//! An error in a file is reported with its file, line and key.

use anyhow::{Context, Result};
use assay_tests::http;
use assay_tests::installation::{Installation, set};

use crate::refuses_to_start;

#[tokio::test]
async fn a_wrong_key_of_a_configuration_is_told_by_file_line_and_key() -> Result<()> {
    let mut installation = Installation::start().await?;
    installation.stop().await?;
    for (service, key) in [
        ("hsm", "peer"),
        ("signer", "listen"),
        ("frontend", "listen"),
    ] {
        let file = installation.path(format!("{service}.toml"));
        let right = std::fs::read_to_string(&file)?;
        let misspelt = format!("{key}-to");
        let wrong = right.replacen(&format!("\n{key}"), &format!("\n{misspelt}"), 1);
        std::fs::write(&file, &wrong)?;
        let line = 1 + wrong
            .lines()
            .position(|line| line.starts_with(&misspelt))
            .context("no such key")?;
        let printed = refuses_to_start(&installation, service).await?;
        assert!(
            printed.contains(&format!("{service}.toml:{line}")),
            "line {line}: {printed}"
        );
        assert!(printed.contains(&misspelt), "{printed}");
        std::fs::write(&file, &right)?;
    }
    Ok(())
}

#[tokio::test]
async fn a_pin_in_a_key_uri_is_refused_by_file_line_and_key_and_not_repeated() -> Result<()> {
    let mut installation = Installation::start().await?;
    installation.stop().await?;
    let file = installation.path("hsm.toml");
    let right = std::fs::read_to_string(&file)?;
    let wrong = right.replacen("?pin-source=file:", "?pin-value=31337&pin-source=file:", 1);
    let line = 1 + wrong
        .lines()
        .position(|line| line.contains("31337"))
        .context("no URI")?;
    std::fs::write(&file, wrong)?;
    let printed = refuses_to_start(&installation, "hsm").await?;
    assert!(
        printed.contains(&format!("hsm.toml:{line}")),
        "line {line}: {printed}"
    );
    assert!(printed.contains("pin-value"), "{printed}");
    assert!(!printed.contains("31337"), "the PIN is repeated: {printed}");
    Ok(())
}

#[tokio::test]
async fn an_empty_allow_list_refuses_to_start() -> Result<()> {
    let mut installation = Installation::start().await?;
    installation.stop().await?;
    let nobody = toml::Value::Array(Vec::new());
    set(
        &installation.path("signer.toml"),
        &["enrolment", "allow"],
        nobody,
    )?;
    let printed = refuses_to_start(&installation, "signer").await?;
    assert!(printed.contains("allow"), "{printed}");
    Ok(())
}

#[tokio::test]
async fn a_wrong_key_of_a_policy_is_told_by_file_line_and_key_and_changes_nothing() -> Result<()> {
    let installation = Installation::start().await?;
    let file = installation.ready().policy_dir.join("devices.toml");
    let right = std::fs::read_to_string(&file)?;
    let line = right.lines().count() + 1;
    std::fs::write(&file, format!("{}\nnonsense = true\n", right.trim_end()))?;
    let folder = installation
        .ready()
        .policy_dir
        .to_string_lossy()
        .into_owned();
    for command in ["check", "propose"] {
        let said = match command {
            "check" => installation.assay(&["policy", command, &folder]).await?,
            _ => {
                let proposal = installation.scratch().join("proposal");
                installation
                    .propose(&installation.ready().policy_dir, &proposal, &[])
                    .await?
            }
        };
        let said = said.failed()?.all();
        assert!(
            said.contains(&format!("devices.toml:{line}")),
            "{command}: {said}"
        );
        assert!(said.contains("nonsense"), "{command}: {said}");
    }
    let caps = http::get(&format!(
        "{}?operation=GetCACaps",
        installation.url("devices")?
    ))
    .await?;
    assert_eq!(caps.status, 200);
    Ok(())
}
