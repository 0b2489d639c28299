//! What follows a first enrolment: renewal, queries, revocation. Each step is a message at the real
//! processes, and the audit log must tell of it.

mod challenges;
mod from_journal;
mod long_crl;
mod renewal;
mod revocation;
mod struck_off;
#[path = "../../shared/tier.rs"]
mod tier;

use anyhow::{Context, Result};
use assay_proto::Named;
use assay_scep::FailInfo;
use assay_tests::audit::{Record, terminal};
use assay_tests::device::{Anchors, Answer, Device, Message};
use assay_tests::installation::Installation;
use assay_tests::operator::Operator;
use assay_tests::query::serial_hex;
use openssl::x509::X509;

/// An installation, what devices know of its CA, and an operator who watches.
struct Scene {
    installation: Installation,
    anchors: Anchors,
    ca: X509,
    operator: Operator,
}

impl Scene {
    async fn set() -> Result<Self> {
        let installation = Installation::start().await?;
        Ok(Self {
            anchors: Anchors::of(&installation)?,
            ca: X509::from_pem(&std::fs::read(&installation.ready().ca_pem)?)?,
            operator: Operator::connect(&installation.ready().dir).await?,
            installation,
        })
    }

    /// A device with its first certificate, by a one-time challenge.
    async fn enrol(&self, profile: &str, name: &str) -> Result<Device> {
        let subject = subject(name);
        let challenge = self.installation.challenge_of(profile, &subject).await?;
        let device = Device::new()?;
        let url = self.installation.url_of(profile)?;
        let answer = device
            .enrol(&url, &self.anchors, &subject, &challenge)
            .await?;
        Ok(device.holding(answer.certificate()?))
    }

    /// Posts a message; what it got, and the one terminal record of it, if it came to an end.
    async fn post(
        &mut self,
        profile: &str,
        device: &Device,
        message: &Message,
    ) -> Result<(Answer, Option<Record>)> {
        let last = self.last_sequence().await?;
        let url = self.installation.url_of(profile)?;
        let answer = device.post(&url, &self.anchors, message).await?;
        let records = self.operator.audit(last).await?;
        let ended = terminal(&records);
        assert!(ended.len() <= 1, "{records:?}");
        Ok((answer, ended.first().map(|record| (*record).clone())))
    }

    /// The message must be refused by this rule, and nothing must have been issued.
    async fn refused(
        &mut self,
        profile: &str,
        device: &Device,
        message: &Message,
        (fail_info, rule): (FailInfo, &str),
    ) -> Result<()> {
        let before = self.operator.certificates().await?.len();
        let (answer, record) = self.post(profile, device, message).await?;
        let record = record.context("a refusal that is not recorded")?;
        assert_eq!(record.text("rule"), rule, "{record:?}");
        assert_eq!(answer, Answer::Refused(fail_info), "{record:?}");
        assert_eq!(self.operator.certificates().await?.len(), before);
        Ok(())
    }

    /// The state of a certificate in the index, and what superseded it.
    async fn state(&mut self, certificate: &[u8]) -> Result<(String, String)> {
        let serial = serial_hex(certificate)?;
        let info = self.operator.certificate(&serial).await?.info;
        let info = info.context("a certificate without its record")?;
        Ok((info.state().as_str().to_owned(), info.superseded_by))
    }

    async fn last_sequence(&mut self) -> Result<u64> {
        let records = self.operator.audit(0).await?;
        Ok(records.last().context("an empty log")?.sequence())
    }
}

fn subject(name: &str) -> String {
    format!("CN={name},O=Example")
}
