//! Requesters with elliptic-curve keys: replies opened by OpenSSL, our own client, and a signer that lost its replies. The
//! in-memory tests of the signer cover what is refused.

mod enrolment;
mod renewal;

use anyhow::{Context, Result};
use assay_tests::audit::{Record, terminal};
use assay_tests::device::{Anchors, Answer, Device, Message};
use assay_tests::installation::Installation;
use assay_tests::metrics::Metrics;
use assay_tests::operator::Operator;
use openssl::nid::Nid;

/// A profile that takes P-256 and P-384.
const PROFILE: &str = "elliptic";
const P256: Nid = Nid::X9_62_PRIME256V1;
const P384: Nid = Nid::SECP384R1;

/// An installation with such a profile, and an operator who watches.
struct Scene {
    installation: Installation,
    anchors: Anchors,
    operator: Operator,
}

impl Scene {
    async fn set() -> Result<Self> {
        let installation = Installation::start().await?;
        installation.add_elliptic_profile(PROFILE).await?;
        Ok(Self {
            anchors: Anchors::of(&installation)?,
            operator: Operator::connect(&installation.ready().dir).await?,
            installation,
        })
    }

    async fn challenge(&self, name: &str) -> Result<String> {
        let subject = subject(name);
        self.installation.challenge_of(PROFILE, &subject).await
    }

    /// Posts a message; what it got, and the one terminal record of it.
    async fn post(
        &mut self,
        profile: &str,
        device: &Device,
        message: &Message,
    ) -> Result<(Answer, Record)> {
        let records = self.operator.audit(0).await?;
        let last = records.last().context("an empty log")?.sequence();
        let url = self.installation.url_of(profile)?;
        let answer = device.post(&url, &self.anchors, message).await?;
        let records = self.operator.audit(last).await?;
        let [record] = terminal(&records)[..] else {
            anyhow::bail!("not one terminal record: {records:?}");
        };
        Ok((answer, record.clone()))
    }

    async fn metrics(&self) -> Result<Metrics> {
        Metrics::scrape(&self.installation.ready().metrics.signer).await
    }
}

fn subject(name: &str) -> String {
    format!("CN={name},O=Example")
}
