//! A request that waits for approval: what it takes to poll for it, kept in a file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use assay_console::failure::{Next, OrFail, Outcome};
use assay_console::files;
use assay_scep_client::{self as client, Credential, DeviceKey, Prepared, Session, Url, Verdict};
use assay_types::Hash;
use openssl::x509::X509;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use crate::commands::server::fingerprint;
use crate::device::Explain;

/// The file, JSON. It holds no secret: keys stay where they are.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pending {
    pub(super) url: String,
    /// SHA-256 of the CA certificate of the first contact, hex.
    pub(super) ca_fingerprint: String,
    pub(super) transaction_id: String,
    /// PEM of the certificate that signed the request: transient, or the one to renew.
    pub(super) signer_certificate: String,
    pub(super) signer_key: PathBuf,
    /// The key to be certified.
    pub(super) key: PathBuf,
    /// Where its certificate goes.
    pub(super) certificate: PathBuf,
}

/// How long to poll, and how often.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    pub(super) wait: Duration,
    pub(super) interval: Duration,
}

/// What polls are made of, read once.
pub(super) struct Poller {
    url: Url,
    expected_ca: Hash,
    transaction_id: String,
    signer: Credential,
    key: DeviceKey,
}

impl Pending {
    pub(super) fn read(file: &Path) -> Outcome<Self> {
        let text =
            files::read(file).next("--resume continues a request that waited: name its file")?;
        serde_json::from_slice(&text)
            .or_fail(format!("{} is no request that waits", file.display()))
            .next("give the file that `assay enrol` named when the request began to wait")
    }

    pub(super) fn write(&self, file: &Path) -> Outcome {
        let text = serde_json::to_vec_pretty(self).or_fail("cannot write the request")?;
        files::create(file, &text, files::SECRET)
    }

    pub(super) fn poller(&self) -> Outcome<Poller> {
        let signer_certificate = X509::from_pem(self.signer_certificate.as_bytes())
            .and_then(|certificate| certificate.to_der())
            .or_fail("the file of the request holds no certificate")?;
        Ok(Poller {
            url: Url::parse(&self.url).explained()?,
            expected_ca: fingerprint(&self.ca_fingerprint)?,
            transaction_id: self.transaction_id.clone(),
            signer: Credential {
                key: DeviceKey::read(&self.signer_key).explained()?,
                certificate: signer_certificate,
            },
            key: DeviceKey::read(&self.key).explained()?,
        })
    }
}

impl Poller {
    /// Polls until there is a decision or patience ends, each time after a pause.
    pub(super) async fn wait(&self, patience: Patience) -> client::Result<Verdict> {
        let end = Instant::now() + patience.wait;
        let mut last = Ok(Verdict::Pending);
        while Instant::now() + patience.interval <= end {
            sleep(patience.interval).await;
            last = self.poll().await;
            match &last {
                Ok(Verdict::Pending) => {}
                // A server that is away for a while has decided nothing.
                Err(error) if error.is_passing() => {}
                Ok(Verdict::Issued(_) | Verdict::Refused(_)) | Err(_) => break,
            }
        }
        last
    }

    pub(super) async fn poll(&self) -> client::Result<Verdict> {
        let mut session = Session::open(&self.url, Some(self.expected_ca)).await?;
        let request = Prepared::poll(
            self.signer.clone(),
            self.transaction_id.clone(),
            &session.ca,
        )
        .await?;
        session.ask(&request, &self.key).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_and_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("device.pending");
        let pending = Pending {
            url: "http://127.0.0.1:8080/scep/devices".to_owned(),
            ca_fingerprint: "00".repeat(32),
            transaction_id: "ab".to_owned(),
            signer_certificate: String::new(),
            signer_key: "old.key".into(),
            key: "new.key".into(),
            certificate: "new.pem".into(),
        };
        pending.write(&file).unwrap();
        let read = Pending::read(&file).unwrap();
        assert_eq!(
            serde_json::to_value(&read).unwrap(),
            serde_json::to_value(&pending).unwrap()
        );
        assert!(pending.write(&file).is_err());
    }
}
