//! A frontend in an attacker's hands: its credentials, and gRPC calls of his own making.

use std::path::Path;

use anyhow::{Context, Result};
use assay_proto::v1::PkiOperationRequest;
use assay_proto::v1::enrolment_client::EnrolmentClient;
use assay_proto::v1::pki_operation_reply::Outcome;
use assay_runtime::identity::Identity;
use assay_runtime::mtls::{self, TlsFiles};
use tempfile::NamedTempFile;
use tonic::transport::Channel;

use crate::installation::value;

/// A client with everything that the real frontend holds.
#[derive(Clone, Debug)]
pub struct HostileFrontend(EnrolmentClient<Channel>);

impl HostileFrontend {
    /// Connects to the Enrolment listener as the frontend does.
    ///
    /// # Errors
    ///
    /// When its configuration or credentials are not there.
    pub async fn connect(dir: &Path) -> Result<Self> {
        let file = dir.join("frontend.toml");
        let text = |key| -> Result<String> {
            let value = value(&file, &["signer", key])?;
            Ok(value
                .as_str()
                .with_context(|| format!("signer.{key} is no string"))?
                .to_owned())
        };
        let channel = channel(dir, &text("address")?, Identity::parse(&text("identity")?)?).await?;
        Ok(Self(EnrolmentClient::new(channel)))
    }

    /// Hands a message to the signer under a profile of the attacker's choice.
    ///
    /// # Errors
    ///
    /// When the call itself fails.
    pub async fn pki_operation(&mut self, profile: &str, message: &[u8]) -> Result<Outcome> {
        let request = PkiOperationRequest {
            pki_message: message.to_vec(),
            profile: profile.to_owned(),
            request_id: "hostile".to_owned(),
            client_address: "192.0.2.1".to_owned(),
        };
        let reply = self.0.pki_operation(request).await?.into_inner();
        reply.outcome.context("a reply without an outcome")
    }
}

/// A channel with the frontend's credentials to any listener of the signer.
///
/// # Errors
///
/// When the credentials are not there.
pub async fn channel(dir: &Path, address: &str, signer: Identity) -> Result<Channel> {
    // The frontend's own key belongs to its user, and a key that is used has to belong to the user of the process.
    let key = NamedTempFile::new()?;
    std::fs::copy(dir.join("transport/frontend.key"), key.path())?;
    let files = TlsFiles {
        certificate: dir.join("transport/frontend.pem"),
        private_key: key.path().to_owned(),
        trust_anchors: dir.join("transport/anchors-signers.pem"),
    };
    Ok(mtls::connect(address, &files, signer).await?)
}
