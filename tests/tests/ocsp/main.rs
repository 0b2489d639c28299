//! OCSP end to end: what relying parties are told, what it costs, and what it survives.

mod bad_input;
mod freshness;
mod load;
mod log;
mod refresh;
mod renewal;
mod schedule;
mod statuses;

use anyhow::Result;
use assay_tests::device::{Anchors, Device};
use assay_tests::installation::Installation;
use assay_tests::metrics::Metrics;
use assay_tests::ocsp::Responder;
use assay_tests::{http, wait};
use serde_json::Value;

/// An installation with a responder.
struct Scene {
    installation: Installation,
    responder: Responder,
}

impl Scene {
    async fn set() -> Result<Self> {
        let installation = Installation::start_with(&["--ocsp"]).await?;
        Ok(Self {
            responder: Responder::of(&installation)?,
            installation,
        })
    }

    async fn serve(&mut self) -> Result<()> {
        self.installation.serve().await?;
        self.responder = Responder::of(&self.installation)?;
        Ok(())
    }

    /// A device's certificate, DER, whose response is signed.
    async fn enrolled(&self, name: &str) -> Result<Vec<u8>> {
        let certificate = enrol(&self.installation, name).await?;
        self.until(&certificate, "good").await?;
        Ok(certificate)
    }

    /// Waits until OpenSSL is told this status.
    async fn until(&self, certificate: &[u8], status: &str) -> Result<()> {
        wait::until(status, wait::REACTION, async || {
            // While there is no response it fails by `tryLater`.
            let said = self.responder.status(certificate).await;
            Ok(said.is_ok_and(|said| said == status).then_some(()))
        })
        .await
    }

    async fn signer(&self) -> Result<Metrics> {
        Metrics::scrape(&self.installation.ready().metrics.signer).await
    }
}

/// What `/readyz` of the signer says.
async fn ready(installation: &Installation) -> Result<Value> {
    let metrics = &installation.ready().metrics.signer;
    let ready = metrics.replace("/metrics", "/readyz");
    Ok(serde_json::from_slice(&http::get(&ready).await?.body)?)
}

async fn enrol(installation: &Installation, name: &str) -> Result<Vec<u8>> {
    let subject = format!("CN={name},O=Example");
    let challenge = installation.challenge_of("devices", &subject).await?;
    let anchors = Anchors::of(installation)?;
    let url = installation.url("devices")?;
    let answer = Device::new()?
        .enrol(url, &anchors, &subject, &challenge)
        .await?;
    Ok(answer.certificate()?.to_vec())
}
