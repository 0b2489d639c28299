//! A profile with the exception `single_ra` and its key: neither without the other, and never unnoticed.

use anyhow::{Context, Result};
use assay_tests::hsm;
use assay_tests::installation::Installation;

use crate::refuses_to_start;

const QUIRK: &str = "[quirks]\nsingle_ra = true\n";

#[tokio::test]
async fn a_profile_that_wants_the_key_is_not_put_in_force_without_it() -> Result<()> {
    let installation = Installation::start().await?;
    let refused = installation.add_profile("single", "devices", QUIRK).await;
    let said = format!("{:#}", refused.err().context("it was put in force")?);
    let told = said
        .lines()
        .find(|line| line.contains("single_ra"))
        .context(said.clone())?;
    for part in [
        "profile `single`",
        "certificates.ra_single",
        "assay-ceremony create --single-ra",
    ] {
        assert!(told.contains(part), "{part}: {said}");
    }
    let activated = installation.assay(&["policy", "list"]).await?;
    let activated = activated.succeeded()?.text();
    assert!(!activated.contains("single"), "{activated}");
    Ok(())
}

#[tokio::test]
async fn a_signer_without_the_key_does_not_start_under_a_profile_that_wants_it() -> Result<()> {
    let mut installation = Installation::start_with(&["--single-ra"]).await?;
    installation.add_profile("single", "devices", QUIRK).await?;
    installation.stop().await?;
    let without = |file: &str, key: &str| -> Result<()> {
        let file = installation.path(file);
        let whole = std::fs::read_to_string(&file)?;
        let rest: Vec<&str> = whole
            .lines()
            .filter(|line| !line.starts_with(key))
            .collect();
        Ok(std::fs::write(&file, rest.join("\n"))?)
    };
    for (file, key, told) in [
        ("hsm.toml", "single", "none for ra-single"),
        ("signer.toml", "ra_single", "profile `single`"),
    ] {
        without(file, key)?;
        let hsm = hsm::start(&installation.ready().dir, installation.scratch())?;
        let printed = refuses_to_start(&installation, "signer").await?;
        assert!(printed.contains(told), "{told}: {printed}");
        hsm.stop();
    }
    Ok(())
}

#[tokio::test]
async fn a_start_warns_once_of_each_profile_with_the_exception() -> Result<()> {
    let mut installation = Installation::start_with(&["--single-ra"]).await?;
    installation.add_profile("single", "devices", QUIRK).await?;
    installation.add_profile("also", "devices", QUIRK).await?;
    let warnings = |installation: &Installation| -> Result<[usize; 3]> {
        let logs = installation.logs()?;
        Ok(["single", "also", "devices"].map(|profile| {
            let of_profile = format!("\"{profile}\"");
            let lines = logs
                .lines()
                .filter(|line| line.contains("single_ra is in force"));
            lines.filter(|line| line.contains(&of_profile)).count()
        }))
    };
    let before = warnings(&installation)?;
    installation.stop().await?;
    installation.serve().await?;
    let after = warnings(&installation)?;
    let [single, also, devices] = before;
    assert_eq!(after, [single + 1, also + 1, devices]);
    assert_eq!(devices, 0);
    Ok(())
}
