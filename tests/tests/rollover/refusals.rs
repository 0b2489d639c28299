//! What cannot go well is refused at start, or before it comes into force, in one line that says how to fix it.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use assay_tests::hsm;
use assay_tests::installation::{Installation, service, set, value};
use assay_tests::tool::{Ran, run};

use super::{ceremony, rfc3339};

/// A stopped installation whose next CA is configured, and its signer.toml as it then was.
struct Stopped {
    installation: Installation,
    file: PathBuf,
    text: String,
}

impl Stopped {
    async fn with_next_ca(arguments: &[&str]) -> Result<Self> {
        let mut installation = Installation::start_with(arguments).await?;
        let switch_at = SystemTime::now() + Duration::from_secs(86_400);
        let tables = ceremony(&installation, &rfc3339(switch_at), "1h").await?;
        installation.stop().await?;
        let file = installation.path("signer.toml");
        let text = format!("{}\n{tables}\n", std::fs::read_to_string(&file)?);
        std::fs::write(&file, &text)?;
        Ok(Self {
            installation,
            file,
            text,
        })
    }

    fn set(&self, path: &[&str], value: impl Into<toml::Value>) -> Result<()> {
        set(&self.file, path, value)
    }

    fn value(&self, path: &[&str]) -> Result<toml::Value> {
        value(&self.file, path)
    }

    /// The line with which the signer refuses to start; signer.toml is then as it was.
    async fn refused(&self) -> Result<String> {
        let installation = &self.installation;
        let hsm = hsm::start(&installation.ready().dir, installation.scratch())?;
        let (_program, signer) = service(&installation.ready().dir, "signer")?;
        let ran: Ran = run(&mut signer.into(), &[]).await?;
        hsm.stop();
        std::fs::write(&self.file, &self.text)?;
        ensure!(ran.status.code() == Some(2), "{}", ran.all());
        Ok(ran.all())
    }

    /// Where the tables of a former CA stand, those of the next one do: RA and CA are then of different generations.
    fn swap(&self, name: &str) -> Result<()> {
        let (first, next) = (
            self.value(&["certificates", name])?,
            self.value(&["rollover", "certificates", name])?,
        );
        self.set(&["certificates", name], next)?;
        self.set(&["rollover", "certificates", name], first)
    }
}

#[tokio::test]
async fn a_next_ca_that_cannot_take_over_is_refused_by_its_key() -> Result<()> {
    let stopped = Stopped::with_next_ca(&["--ocsp"]).await?;
    let hold = async |wanted: &[&str]| -> Result<()> {
        let told = stopped.refused().await?;
        for wanted in wanted {
            ensure!(told.contains(wanted), "{wanted:?} is not in {told}");
        }
        Ok(())
    };

    stopped.swap("ra_sign")?;
    hold(&["HSM service has", "for ra-sign"]).await?;
    stopped.set(
        &["rollover", "certificates", "ra_enc"],
        "certificates/ra-enc.pem",
    )?;
    hold(&[
        "rollover.certificates.ra_enc",
        "over the key of certificates.ra_enc",
    ])
    .await?;
    stopped.set(&["rollover", "certificates", "ca"], "certificates/ca.pem")?;
    hold(&["rollover.certificates.ca", "keys of its own"]).await?;

    let without = |line: &str| {
        let mut kept: Vec<_> = stopped.text.lines().collect();
        let place = kept
            .iter()
            .rposition(|kept| kept.trim_start().starts_with(line));
        place
            .map(|place| kept.remove(place))
            .context(line.to_owned())?;
        Ok::<_, anyhow::Error>(std::fs::write(&stopped.file, kept.join("\n"))?)
    };
    without("ra_enc")?;
    hold(&["missing key `ra_enc`"]).await?;
    let (start, _) = stopped
        .text
        .rsplit_once("[rollover.ocsp]")
        .context("no responder")?;
    std::fs::write(&stopped.file, start)?;
    hold(&["next CA is incomplete", "[rollover.ocsp]"]).await?;

    for (time, wanted) in [
        ("next Tuesday", "no time of RFC 3339"),
        ("2020-01-01T00:00:00Z", "is before"),
        ("2199-01-01T00:00:00Z", "after the end of certificates."),
    ] {
        stopped.set(&["rollover", "switch_at"], time)?;
        hold(&["switch_at", wanted]).await?;
    }
    let past = rfc3339(SystemTime::now() - Duration::from_secs(1));
    stopped.set(&["rollover", "switch_at"], past.as_str())?;
    hold(&["rollover.switch_at", "never announced the next CA"]).await?;
    stopped.set(&["rollover", "overlap"], "3y")?;
    hold(&["rollover.overlap", "two years"]).await
}

#[tokio::test]
async fn a_version_that_was_proposed_without_the_next_ca_does_not_come_into_force_beside_it()
-> Result<()> {
    let mut stopped = Stopped::with_next_ca(&[]).await?;
    let tables = std::mem::take(&mut stopped.text);
    let (before, _) = tables.split_once("[rollover]").context("no rollover")?;
    std::fs::write(&stopped.file, before)?;
    stopped.installation.serve().await?;
    let (installation, proposal) = (&stopped.installation, stopped.installation.new_proposal());
    let files = installation.ready().policy_dir.clone();
    installation
        .propose(&files, &proposal, &[])
        .await?
        .succeeded()?;
    installation
        .approve(&proposal, "approver-1")
        .await?
        .succeeded()?;

    stopped.installation.stop().await?;
    let now = std::fs::read_to_string(&stopped.file)?;
    let (_, rollover) = tables.split_once("[rollover]").context("no rollover")?;
    std::fs::write(&stopped.file, format!("{now}\n[rollover]{rollover}"))?;
    stopped.installation.serve().await?;
    let told = stopped
        .installation
        .activate(&proposal)
        .await?
        .failed()?
        .all();
    for wanted in ["rollover.issuer", "rollover.switch_at", "it says nothing"] {
        ensure!(told.contains(wanted), "{told}");
    }
    Ok(())
}

#[tokio::test]
async fn a_profile_whose_urls_name_one_ca_does_not_come_into_force_beside_two() -> Result<()> {
    let mut stopped = Stopped::with_next_ca(&[]).await?;
    stopped.installation.serve().await?;
    let installation = &stopped.installation;
    let folder = &installation.ready().policy_dir;
    let file = folder.join("devices.toml");
    let text = std::fs::read_to_string(&file)?;
    std::fs::write(&file, text.replace("{ca}", "ca"))?;
    let proposal = installation.new_proposal();
    installation
        .propose(folder, &proposal, &[])
        .await?
        .succeeded()?;
    installation
        .approve(&proposal, "approver-1")
        .await?
        .succeeded()?;
    let told = installation.activate(&proposal).await?.failed()?.all();
    for wanted in ["devices", "crl/ca.crl", "{ca}"] {
        ensure!(told.contains(wanted), "{wanted} is not in {told}");
    }
    Ok(())
}

#[tokio::test]
async fn a_time_that_devices_were_told_is_not_moved_into_the_past() -> Result<()> {
    let mut stopped = Stopped::with_next_ca(&[]).await?;
    stopped.installation.serve().await?;
    let files = stopped.installation.ready().policy_dir.clone();
    stopped.installation.put_in_force(&files).await?;
    let url = format!(
        "{}?operation=GetNextCACert",
        stopped.installation.url("devices")?
    );
    assay_tests::wait::until(
        "the announcement",
        assay_tests::wait::REACTION,
        async || Ok((assay_tests::http::get(&url).await?.status == 200).then_some(())),
    )
    .await?;
    stopped.installation.stop().await?;
    stopped.text = std::fs::read_to_string(&stopped.file)?;
    let past = rfc3339(SystemTime::now() - Duration::from_secs(1));
    stopped.set(&["rollover", "switch_at"], past.as_str())?;
    let told = stopped.refused().await?;
    ensure!(told.contains("devices were told"), "{told}");
    Ok(())
}
