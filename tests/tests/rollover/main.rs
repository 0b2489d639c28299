//! CA rollover (RFC 8894 section 4.7) end to end: a next CA made by the ceremony, announced, taking over at its time, and
//! the old one's long end.

mod clients;
mod finish;
mod lists;
mod load;
mod plan;
mod refusals;
mod waiting;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, ensure};
use assay_tests::audit::Record;
use assay_tests::device::{Device, KnownCa};
use assay_tests::http;
use assay_tests::installation::{Installation, auditor, set};
use assay_tests::operator::Operator;
use assay_tests::wait;
use serde_json::Value;

/// What precedes a switch is a restart, an approval and a few enrolments. A test allows this many times what starting the
/// installation took, and twice as much in each further attempt.
const STARTS_BEFORE_A_SWITCH: u32 = 3;
/// Attempts with a doubled lead each time. A machine that is too slow for the last one does not run tests.
const ATTEMPTS: u32 = 6;

/// An installation whose next CA is made and configured.
struct Scene {
    installation: Installation,
    switch_at: SystemTime,
}

impl Scene {
    /// A rollover up to its switch: the next CA is configured, approved and announced, and `before` has run. Where the switch
    /// came before the end of `before`, all of it is done again in a new installation with twice the lead, so that no
    /// machine is too slow.
    async fn before_the_switch<T>(
        overlap: &str,
        arguments: &[&str],
        before: impl AsyncFn(&Self) -> Result<T>,
    ) -> Result<(Self, T)> {
        let mut last = anyhow::anyhow!("no attempt");
        for attempt in 0..ATTEMPTS {
            let lead = |start: Duration| start * STARTS_BEFORE_A_SWITCH * 2_u32.pow(attempt);
            let mut scene = Self::stopped(lead, overlap, arguments).await?;
            let done = async {
                scene.installation.serve().await?;
                scene.approve().await?;
                before(&scene).await
            };
            let done = done.await;
            if SystemTime::now() < scene.switch_at {
                return Ok((scene, done?));
            }
            last = done.err().unwrap_or(last);
        }
        Err(last.context(format!("the switch came first in {ATTEMPTS} attempts")))
    }

    /// The next CA is configured and not approved, and takes over `lead` from now.
    async fn configured(lead: Duration, overlap: &str) -> Result<Self> {
        let mut scene = Self::stopped(|_| lead, overlap, &[]).await?;
        scene.installation.serve().await?;
        Ok(scene)
    }

    /// The next CA is configured and nothing runs. It takes over as long from now as `lead` says of the time that it took
    /// to start the installation.
    async fn stopped(
        lead: impl Fn(Duration) -> Duration,
        overlap: &str,
        arguments: &[&str],
    ) -> Result<Self> {
        let begin = Instant::now();
        let mut installation = Installation::start_with(arguments).await?;
        let lead = lead(begin.elapsed());
        let far = SystemTime::now() + Duration::from_secs(86_400);
        let tables = ceremony(&installation, &rfc3339(far), overlap).await?;
        installation.stop().await?;
        let file = installation.path("signer.toml");
        let text = std::fs::read_to_string(&file)?;
        std::fs::write(&file, format!("{text}\n{tables}\n"))?;
        let switch_at = whole_seconds(SystemTime::now() + lead);
        let written = rfc3339(switch_at);
        set(&file, &["rollover", "switch_at"], written.as_str())?;
        Ok(Self {
            installation,
            switch_at,
        })
    }

    /// A version of the policy that names the next CA comes into force; devices hear of it.
    async fn approve(&self) -> Result<()> {
        let files = &self.installation.ready().policy_dir;
        self.installation.put_in_force(files).await?;
        let url = format!("{}?operation=GetNextCACert", self.url()?);
        wait::until("GetNextCACert", wait::REACTION, async || {
            Ok((http::get(&url).await?.status == 200).then_some(()))
        })
        .await
    }

    fn url(&self) -> Result<&str> {
        self.installation.url("devices")
    }

    async fn present(&self) -> Result<KnownCa> {
        KnownCa::present(self.url()?).await
    }

    async fn capabilities(&self) -> Result<String> {
        let url = format!("{}?operation=GetCACaps", self.url()?);
        Ok(http::get(&url).await?.text())
    }

    /// Waits for the switch, and until the frontend names the next CA.
    async fn switched(&self, next: &KnownCa) -> Result<()> {
        let left = self.switch_at.duration_since(SystemTime::now());
        tokio::time::sleep(left.unwrap_or_default()).await;
        wait::until("the next CA in GetCACert", wait::REACTION, async || {
            Ok((self.present().await?.ca == next.ca).then_some(()))
        })
        .await
    }

    /// A device with a certificate of this CA, by a one-time challenge.
    async fn enrol(&self, name: &str, known: &KnownCa) -> Result<Device> {
        let subject = subject(name);
        let challenge = self.installation.challenge_of("devices", &subject).await?;
        let device = Device::new()?;
        let answer = device
            .enrol(self.url()?, &known.anchors, &subject, &challenge)
            .await?;
        let certificate = answer.certificate()?;
        ensure!(
            known.has_issued(certificate)?,
            "{name} got a certificate of another CA"
        );
        Ok(device.holding(certificate))
    }

    async fn records(&self, kind: &str) -> Result<Vec<Record>> {
        let mut operator = Operator::connect(&self.installation.ready().dir).await?;
        let mut records = operator.audit(0).await?;
        records.retain(|record| record.kind() == kind);
        Ok(records)
    }

    /// `assay rollover rehearse --json`.
    async fn rehearsed(&self, at: Option<SystemTime>) -> Result<Value> {
        let at = at.map(rfc3339);
        let mut arguments = vec!["--json", "rollover", "rehearse"];
        arguments.extend(at.iter().flat_map(|at| ["--at", at]));
        let printed = self.installation.assay(&arguments).await?.succeeded()?;
        Ok(serde_json::from_str(&printed.text())?)
    }

    /// An export holds both CAs, and everything that was decided under either is decided again, by what the auditor pinned.
    /// `gone` are the CAs, each with those above it, that signer.toml names no more.
    async fn audited(&self, gone: &[&Path]) -> Result<()> {
        let path = |name| self.installation.scratch().join(name);
        let (export, trust) = (path("export"), path("trust"));
        let (export, trust) = (export.to_string_lossy(), trust.to_string_lossy());
        self.installation.under_checkpoint().await?;
        let gone: Vec<_> = gone.iter().map(|file| file.to_string_lossy()).collect();
        let pins = gone.iter().flat_map(|file| ["--ca", file]);
        for arguments in [
            ["audit", "trust", "--out", &trust]
                .into_iter()
                .chain(pins)
                .collect(),
            vec!["export", "--out", &export],
        ] {
            self.installation.assay(&arguments).await?.succeeded()?;
        }
        auditor(&["verify", &export, "--trust", &trust])
            .await?
            .succeeded()?;
        Ok(())
    }

    /// A certificate that the ceremony of the next CA has made.
    fn next_file(&self, name: &str) -> PathBuf {
        self.installation.path("certificates/2").join(name)
    }
}

fn subject(name: &str) -> String {
    format!("CN={name},O=Example")
}

fn rfc3339(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}

fn whole_seconds(time: SystemTime) -> SystemTime {
    let since_epoch = time.duration_since(SystemTime::UNIX_EPOCH);
    SystemTime::UNIX_EPOCH + Duration::from_secs(since_epoch.unwrap_or_default().as_secs())
}

/// `assay-ceremony next` under the root of the first ceremony; the tables for signer.toml.
async fn ceremony(installation: &Installation, switch_at: &str, overlap: &str) -> Result<String> {
    let transcript = std::fs::read_to_string(installation.path("transcript.json"))?;
    let transcript: Value = serde_json::from_str(&transcript)?;
    let first = transcript.pointer("/generations/0");
    let root = text(first.context("no generation")?, "root_token")?;
    let arguments = ["--json", "next", "--root-token", root];
    let times = ["--switch-at", switch_at, "--overlap", overlap];
    let made = installation
        .ceremony(&[&arguments[..], &times].concat())
        .await?;
    let made: Value = serde_json::from_str(&made.succeeded()?.text())?;
    Ok(text(&made, "lines")?.to_owned())
}

fn text<'a>(value: &'a Value, member: &str) -> Result<&'a str> {
    let found = value.get(member).and_then(Value::as_str);
    found.with_context(|| format!("no {member} in {value}"))
}
