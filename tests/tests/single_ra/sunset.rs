//! At its end the exception is gone: from GetCACert, from what is opened, and from who answers.

use std::time::{Duration, SystemTime};

use anyhow::Result;
use assay_scep::FailInfo;
use assay_tests::device::{Anchors, Answer, Device};
use assay_tests::installation::{Installation, pem};
use assay_tests::wait;
use der::DateTime;

use crate::{ca_certificates, installation, legacy, single};

/// How long the exception is in force in the first attempt. Where it ends before the one enrolment under it is done, another
/// attempt has twice as long, so that no machine is too slow.
const IN_FORCE_FOR: Duration = Duration::from_secs(8);
const ATTEMPTS: u32 = 6;
const SUBJECT: &str = "CN=sensor-1,O=Example";

#[tokio::test]
async fn at_its_end_the_usual_certificates_are_back_and_the_single_one_opens_nothing() -> Result<()>
{
    let (mut installation, device) = enrolled_before_the_end().await?;
    let url = installation.url_of("single")?;
    let anchors = single(&installation)?;
    let ready = installation.ready();
    let usual = [pem(&ready.ra_enc_pem)?, pem(&ready.ra_sign_pem)?];
    until_listed(&installation, &usual).await?;
    // Answered by the usual RA, whom a device with the list of today trusts.
    let late = Anchors {
        ra_enc: anchors.ra_enc,
        ra_sign: Anchors::of(&installation)?.ra_sign,
    };
    let refused = device.enrol(&url, &late, SUBJECT, "any").await?;
    assert_eq!(refused, Answer::Refused(FailInfo::BadRequest));
    let kept = legacy(&installation).await?;
    assert_eq!(kept, [(SUBJECT.to_owned(), false)]);

    let challenge = installation
        .challenge_of("single", "CN=sensor-2,O=Example")
        .await?;
    let usual = Anchors::of(&installation)?;
    let answer = Device::new()?
        .enrol(&url, &usual, "CN=sensor-2,O=Example", &challenge)
        .await?;
    answer.certificate()?;

    // Nothing of a single key is needed any more, so a signer without one starts.
    installation.stop().await?;
    let file = installation.path("signer.toml");
    let without: Vec<String> = std::fs::read_to_string(&file)?
        .lines()
        .filter(|line| !line.starts_with("ra-single") && !line.starts_with("ra_single"))
        .map(str::to_owned)
        .collect();
    std::fs::write(&file, without.join("\n"))?;
    installation.serve().await
}

/// An installation, and a device that enrolled while the exception was in force.
async fn enrolled_before_the_end() -> Result<(Installation, Device)> {
    let mut last = anyhow::anyhow!("no attempt");
    for attempt in 0..ATTEMPTS {
        let installation = installation("").await?;
        let until = SystemTime::now() + IN_FORCE_FOR * 2_u32.pow(attempt);
        let done = enrol_until(&installation, until).await;
        if SystemTime::now() < until {
            return Ok((installation, done?));
        }
        last = done.err().unwrap_or(last);
    }
    Err(last.context("the exception ended first in each attempt"))
}

async fn enrol_until(installation: &Installation, until: SystemTime) -> Result<Device> {
    let until = DateTime::from_system_time(until)?;
    let quirks = format!("version = 2\n[quirks.single_ra]\nvalue = true\nuntil = {until}\n");
    installation
        .add_profile("single", "devices", &quirks)
        .await?;
    let url = installation.url_of("single")?;
    let anchors = single(installation)?;
    until_listed(installation, std::slice::from_ref(&anchors.ra_enc)).await?;
    let challenge = installation.challenge_of("single", SUBJECT).await?;
    let device = Device::new()?;
    let answer = device.enrol(&url, &anchors, SUBJECT, &challenge).await?;
    answer.certificate()?;
    Ok(device)
}

/// Waits until GetCACert begins with these certificates.
async fn until_listed(installation: &Installation, ra: &[Vec<u8>]) -> Result<()> {
    wait::until("the RA's certificates", wait::REACTION, async || {
        let list = ca_certificates(installation, "single").await?;
        Ok(list.starts_with(ra).then_some(()))
    })
    .await
}
