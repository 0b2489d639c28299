//! The frontend is in the attacker's hands: he has its mTLS key and says to the signer what he likes.
//!
//! Whatever he says, no certificate off policy comes out, and each request ends in exactly one terminal audit record.

mod challenges;
mod credentials;
mod messages;

use anyhow::{Context, Result, bail};
use assay_proto::v1::pki_operation_reply::Outcome;
use assay_tests::audit::{Record, terminal};
use assay_tests::device::{Anchors, Message};
use assay_tests::frontend::HostileFrontend;
use assay_tests::installation::Installation;
use assay_tests::metrics::Metrics;
use assay_tests::operator::Operator;
use openssl::sha::sha256;

/// An installation, an operator who watches, and the attacker.
struct Scene {
    installation: Installation,
    anchors: Anchors,
    operator: Operator,
    attacker: HostileFrontend,
}

impl Scene {
    async fn set() -> Result<Self> {
        let installation = Installation::start().await?;
        let dir = &installation.ready().dir;
        let operator = Operator::connect(dir).await?;
        let attacker = HostileFrontend::connect(dir).await?;
        let anchors = Anchors::of(&installation)?;
        Ok(Self {
            installation,
            anchors,
            operator,
            attacker,
        })
    }

    /// Hands a message to the signer; exactly one terminal record must tell of it.
    async fn send(&mut self, profile: &str, message: &Message) -> Result<(Vec<u8>, Record)> {
        let last = self.last_sequence().await?;
        let outcome = self.attacker.pki_operation(profile, &message.bytes).await?;
        let Outcome::CertRep(cert_rep) = outcome else {
            bail!("no CertRep: {outcome:?}");
        };
        let records = self.operator.audit(last).await?;
        let [record] = terminal(&records)[..] else {
            bail!("not one terminal record: {records:?}");
        };
        assert_eq!(
            record.text("request_digest"),
            hex::encode(sha256(&message.bytes))
        );
        Ok((cert_rep, record.clone()))
    }

    async fn issued(&mut self) -> Result<usize> {
        Ok(self.operator.certificates().await?.len())
    }

    async fn last_sequence(&mut self) -> Result<u64> {
        Ok(self
            .operator
            .audit(0)
            .await?
            .last()
            .context("an empty log")?
            .sequence())
    }

    /// Private-key operations so far, as the signer counts them when each is done, except for those that time brings: heads of the log
    /// and probes.
    async fn key_operations(&self) -> Result<f64> {
        let metrics = Metrics::scrape(&self.installation.ready().metrics.signer).await?;
        let of = |labels: &[&str]| metrics.sum("assay_token_operation_seconds_count", labels);
        Ok(of(&[]) - of(&["role=\"log-sign\""]) - of(&["role=\"probe\""]))
    }
}
