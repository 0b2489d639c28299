//! The certificates that end next are reported by list, by numbers, by metrics and by `/readyz`, all from the same certificates.

use anyhow::{Context, Result};
use assay_tests::device::{Anchors, Device};
use assay_tests::http;
use assay_tests::installation::Installation;
use assay_tests::metrics::Metrics;
use assay_tests::operator::Operator;
use assay_tests::query::{RENEWAL_REQ, serial_hex};
use assay_tests::store;
use assay_tests::tool::Ran;
use assay_tests::wait;
use serde_json::Value;

const MONTH: [&str; 4] = ["cert", "expiring", "--within", "30d"];

/// An installation with profiles of lives between seconds and three months.
struct Scene {
    installation: Installation,
    anchors: Anchors,
}

impl Scene {
    async fn set() -> Result<Self> {
        let installation = Installation::start().await?;
        for (name, validity) in [("days", "5d"), ("weeks", "20d"), ("seconds", "2s")] {
            let changes = format!(
                "ticket = 'END-1'\n[certificate]\nvalidity = '{validity}'\nbackdate = '0s'\n[renewal]\nwindow = '{validity}'\n"
            );
            installation.add_profile(name, "devices", &changes).await?;
        }
        let anchors = Anchors::of(&installation)?;
        Ok(Self {
            installation,
            anchors,
        })
    }

    /// The device and its certificate's serial.
    async fn enrol(&self, profile: &str, name: &str) -> Result<(Device, String)> {
        let subject = format!("CN={name},O=Example");
        let challenge = self.installation.challenge_of(profile, &subject).await?;
        let device = Device::new()?;
        let url = self.installation.url_of(profile)?;
        let answer = device
            .enrol(&url, &self.anchors, &subject, &challenge)
            .await?;
        let serial = serial_hex(answer.certificate()?)?;
        Ok((device.holding(answer.certificate()?), serial))
    }

    /// The serial of the successor.
    async fn renew(&self, profile: &str, name: &str, old: &Device) -> Result<String> {
        let subject = format!("CN={name},O=Example");
        let csr = Device::new()?.csr(&subject, None, &[])?;
        let message = old.of_type(&self.anchors, RENEWAL_REQ, &csr).await?;
        let url = self.installation.url_of(profile)?;
        let answer = old.post(&url, &self.anchors, &message).await?;
        serial_hex(answer.certificate()?)
    }

    async fn assay(&self, arguments: &[&str]) -> Result<Ran> {
        self.installation.assay(arguments).await
    }

    async fn json(&self, arguments: &[&str]) -> Result<Vec<Value>> {
        let printed = self.assay(&[&["--json"], arguments].concat()).await?;
        Ok(serde_json::from_slice(&printed.succeeded()?.stdout)?)
    }

    async fn serials(&self, arguments: &[&str]) -> Result<Vec<String>> {
        serials(&self.json(arguments).await?)
    }
}

fn serials(rows: &[Value]) -> Result<Vec<String>> {
    let serial = |row: &Value| Ok(row["serial"].as_str().context("no serial")?.to_owned());
    rows.iter().map(serial).collect()
}

async fn details(installation: &Installation) -> Result<Value> {
    let metrics = &installation.ready().metrics.signer;
    let ready = http::get(&metrics.replace("/metrics", "/readyz")).await?;
    assert_eq!(ready.status, 200);
    let ready: Value = serde_json::from_slice(&ready.body)?;
    Ok(ready.get("details").cloned().unwrap_or_default())
}

#[tokio::test]
async fn what_ends_and_was_not_renewed_is_told_soonest_first_and_counted() -> Result<()> {
    let mut scene = Scene::set().await?;
    let quarter = ["cert", "expiring", "--within", "91d"];
    // The demo's own device.
    let before = scene.serials(&quarter).await?;
    let (_, later) = scene.enrol("weeks", "later").await?;
    let (_, soon) = scene.enrol("days", "soon").await?;
    let (_, far) = scene.enrol("devices", "far").await?;
    let (_, gone) = scene.enrol("days", "gone").await?;
    let (_, held) = scene.enrol("days", "held").await?;
    let (device, old) = scene.enrol("days", "renewed").await?;
    let new = scene.renew("days", "renewed", &device).await?;
    let (_, lapsed) = scene.enrol("seconds", "lapsed").await?;
    for arguments in [&["cert", "revoke", &gone], &["cert", "hold", &held]] {
        scene.assay(arguments).await?.succeeded()?;
    }

    // The short-lived one is among those that will end, and then among those that did.
    let ended = ["cert", "expiring", "--expired", "--within", "7d"];
    let told = wait::until("the end of a certificate", wait::REACTION, async || {
        let found = scene.serials(&ended).await?;
        Ok((!found.is_empty()).then_some(found))
    });
    assert_eq!(told.await?, [lapsed.as_str()]);
    assert_eq!(scene.serials(&MONTH).await?, [&*soon, &new, &later]);
    let all = [&MONTH[..], &["--renewed"]].concat();
    assert_eq!(scene.serials(&all).await?, [&*soon, &old, &new, &later]);
    let of_weeks = [&MONTH[..], &["--profile", "weeks"]].concat();
    assert_eq!(scene.serials(&of_weeks).await?, [&*later]);
    let week = ["cert", "expiring", "--within", "7d"];
    assert_eq!(scene.serials(&week).await?, [&*soon, &new]);
    let mut of_quarter = scene.serials(&quarter).await?;
    of_quarter.retain(|serial| !before.contains(serial));
    assert_eq!(of_quarter, [&*soon, &new, &later, &far]);

    let rows = scene.json(&all).await?;
    let row = |serial: &str| rows.iter().find(|row| row["serial"] == serial);
    assert_eq!(row(&old).context("old")?["superseded_by"], new);
    let left = row(&soon).context("soon")?["left_seconds"].as_i64();
    let days = 5 * 86_400;
    assert!(left.is_some_and(|left| (days - 300..=days).contains(&left)));

    let table = scene.assay(&all).await?.succeeded()?.text();
    let lines: Vec<Vec<&str>> = table
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    let head = "NOT AFTER LEFT SERIAL PROFILE SUBJECT SANS RENEWED";
    assert_eq!(lines.first().context("no head")?.join(" "), head);
    let line = |serial: &str| lines.iter().find(|line| line.contains(&serial));
    assert!(line(&old).context("old")?.ends_with(&[new.as_str()]));
    let soon_line = line(&soon).context("soon")?;
    assert!(soon_line.ends_with(&["CN=soon,O=Example", "-"]), "{table}");
    assert!(
        soon_line.starts_with(&[soon_line[0], "4d", "23h"]),
        "{table}"
    );

    let summary = ["cert", "expiring", "--summary", "--within", "7d"];
    let counts = scene.json(&summary).await?;
    let of = |profile: &str| -> Result<Value> {
        let found = counts.iter().find(|row| row["profile"] == profile);
        Ok(found.context(profile.to_owned())?.clone())
    };
    let wanted = serde_json::json!(
        { "profile": "days", "ending": 3, "renewed": 1, "not_renewed": 2, "lapsed": 0 });
    assert_eq!(of("days")?, wanted);
    assert_eq!(of("seconds")?["lapsed"], 1);
    assert_eq!(of("weeks")?["ending"], 0);
    // A profile without a certificate is there as well.
    assert_eq!(of("fleet")?["ending"], 0);

    // Counted at the start, then at an interval.
    let issued = Metrics::scrape(&scene.installation.ready().metrics.signer).await?;
    let kinds = |kind: &str| {
        let labels = ["profile=\"days\"", &format!("kind=\"{kind}\"")];
        issued.sum("assay_certificates_issued_total", &labels)
    };
    assert_eq!([kinds("first"), kinds("renewal")], [4.0, 1.0]);
    scene.installation.stop().await?;
    scene.installation.serve().await?;
    let signer = &scene.installation.ready().metrics.signer;
    let metrics = wait::until("the counts", wait::REACTION, async || {
        let metrics = Metrics::scrape(signer).await?;
        Ok(metrics.has("assay_certificates_lapsed").then_some(metrics))
    })
    .await?;
    let ending = |profile: &str| {
        let profile = format!("profile=\"{profile}\"");
        ["1d", "7d", "30d"].map(|within| {
            let within = format!("within=\"{within}\"");
            metrics.sum("assay_certificates_ending", &[&profile, &within])
        })
    };
    assert_eq!(ending("days"), [0.0, 2.0, 2.0]);
    assert_eq!(ending("weeks"), [0.0, 0.0, 1.0]);
    assert_eq!(ending("devices"), [0.0; 3]);
    let lapsed = |labels: &[&str]| metrics.sum("assay_certificates_lapsed", labels);
    assert_eq!([lapsed(&["profile=\"seconds\""]), lapsed(&[])], [1.0, 1.0]);
    let told = details(&scene.installation).await?;
    let wanted = "2 certificates end within 7 days without a successor, 1 ended so in the last 7";
    assert_eq!(told["expiry"], wanted);
    Ok(())
}

#[tokio::test]
async fn a_list_is_cut_and_goes_on_and_an_alarm_ends_with_its_code() -> Result<()> {
    const COPIES: u32 = 2_500;
    let mut installation = Installation::start().await?;
    let anchors = Anchors::of(&installation)?;
    let challenge = installation.challenge("CN=pump-1,O=Example", &[]).await?;
    let url = installation.url("devices")?;
    let device = Device::new()?;
    device
        .enrol(url, &anchors, "CN=pump-1,O=Example", &challenge)
        .await?
        .certificate()?;
    let quarter = ["cert", "expiring", "--within", "91d"];
    let run = async |installation: &Installation, further: &[&str]| {
        installation.assay(&[&quarter[..], further].concat()).await
    };
    installation.stop().await?;
    store::multiply_certificates(&installation.ready().dir, COPIES).await?;
    installation.serve().await?;

    // More than the signer tells in one page, all of which end in one second.
    let all: Vec<Value> =
        serde_json::from_slice(&run(&installation, &["--json"]).await?.succeeded()?.stdout)?;
    let all = serials(&all)?;
    let mut operator = Operator::connect(&installation.ready().dir).await?;
    assert!(all.len() > COPIES as usize);
    assert_eq!(all.len(), operator.certificates().await?.len());
    let first = run(&installation, &["--json", "--limit", "1100"]).await?;
    let cut: Vec<Value> = serde_json::from_slice(&first.succeeded()?.stdout)?;
    let cut = serials(&cut)?;
    let ran = run(&installation, &["--limit", "1100"])
        .await?
        .succeeded()?;
    let token = ran.stderr.split("--page ").nth(1).context("no token")?;
    let token = token.trim_end();
    let rest = run(&installation, &["--json", "--page", token]).await?;
    let rest = rest.succeeded()?;
    assert_eq!(rest.stderr, "");
    let rest: Vec<Value> = serde_json::from_slice(&rest.stdout)?;
    assert_eq!([cut, serials(&rest)?].concat(), all);
    let other = run(&installation, &["--renewed", "--page", token]).await?;
    assert_eq!(other.status.code(), Some(1));
    assert!(other.stderr.contains("other filters"), "{}", other.stderr);

    let alarm = run(&installation, &["--fail-if-any", "--limit", "1"]).await?;
    assert_eq!(alarm.status.code(), Some(1));
    assert_eq!(alarm.text().lines().count(), 2, "the head and one line");
    let alarm = run(&installation, &["--fail-if-any", "--summary"]).await?;
    assert_eq!(alarm.status.code(), Some(1));
    let none = ["cert", "expiring", "--within", "7d", "--fail-if-any"];
    let quiet = installation.assay(&none).await?.succeeded()?;
    assert!(quiet.stdout.is_empty());
    let told = "no certificate ends within 7d without having been renewed\n";
    assert_eq!(quiet.stderr, told);
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused_in_words() -> Result<()> {
    let installation = Installation::start().await?;
    for (arguments, code, said) in [
        (&["--within", "0"][..], 2, "write a time as 12h, 30d or 8w"),
        (&["--within", "0d"], 2, "at least 1s"),
        (&["--within", "abc"], 2, "write a time as 12h, 30d or 8w"),
        (&["--within", "500y"], 1, "100 years"),
        (&["--within", "1000y"], 2, "too long"),
        (
            &["--profile", "devcies"],
            1,
            "no profile `devcies`; the known profiles are devices, fleet",
        ),
        (
            &["--summary", "--profile", "devcies"],
            1,
            "no profile `devcies`",
        ),
        (&["--page", "0102"], 1, "start again without a token"),
        (&["--page", "pump"], 1, "start again without a token"),
        (&["--limit", "0"], 2, "--limit"),
        (&["--summary", "--renewed"], 2, "--renewed"),
    ] {
        let ran = installation
            .assay(&[&["cert", "expiring"], arguments].concat())
            .await?;
        assert_eq!(ran.status.code(), Some(code), "{arguments:?}");
        assert!(ran.stderr.contains(said), "{arguments:?}: {}", ran.stderr);
    }
    let mut operator = Operator::connect(&installation.ready().dir).await?;
    let client = operator.client();
    for seconds in [0, -1, i64::MAX] {
        let request = assay_proto::v1::ListExpiringRequest {
            within: Some(assay_proto::Duration { seconds, nanos: 0 }),
            ..Default::default()
        };
        let refused = client.list_expiring(request).await.err();
        let refused = refused.context("taken")?;
        assert_eq!(refused.code(), tonic::Code::InvalidArgument);
    }
    Ok(())
}
