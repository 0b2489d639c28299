//! An operator: Administration over mutual TLS with the installation's own operator certificate.

use std::path::Path;

use anyhow::{Context, Result};
use assay_proto::MAX_PAGE;
use assay_proto::v1::administration_client::AdministrationClient;
use assay_proto::v1::{
    CertificateInfo, GetCertificateReply, GetCertificateRequest, ListAuditRequest,
    ListCertificatesRequest, PageRequest, StatusReply, StatusRequest,
};
use assay_runtime::identity::Identity;
use assay_runtime::mtls::{self, TlsFiles};
use tonic::transport::Channel;

use crate::audit::Record;
use crate::installation::value;

/// Larger than a page of audit records of at most 4 KiB each.
const MAX_REPLY: usize = 64 * 1024 * 1024;

/// A connection to the Administration listener.
#[derive(Debug)]
pub struct Operator(AdministrationClient<Channel>);

impl Operator {
    /// Connects as the operator that the ceremony made.
    ///
    /// # Errors
    ///
    /// When `assay.toml` or the credentials are not there.
    pub async fn connect(dir: &Path) -> Result<Self> {
        let files = TlsFiles {
            certificate: dir.join("transport/operator.pem"),
            private_key: dir.join("transport/operator.key"),
            trust_anchors: dir.join("transport/anchors-signers.pem"),
        };
        let (address, signer) = administration(dir)?;
        let channel = mtls::connect(&address, &files, signer).await?;
        Ok(Self(
            AdministrationClient::new(channel).max_decoding_message_size(MAX_REPLY),
        ))
    }

    /// The connection itself, for calls that have no method here.
    pub fn client(&mut self) -> &mut AdministrationClient<Channel> {
        &mut self.0
    }

    /// The signer's report on itself.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub async fn status(&mut self) -> Result<StatusReply> {
        Ok(self.0.status(StatusRequest {}).await?.into_inner())
    }

    /// All audit records after a sequence number, oldest first.
    ///
    /// # Errors
    ///
    /// When the signer does not answer, or a record is no JSON.
    pub async fn audit(&mut self, after: u64) -> Result<Vec<Record>> {
        let mut records: Vec<Record> = Vec::new();
        let mut token = String::new();
        loop {
            let request = ListAuditRequest {
                page: whole_page(token),
                ..ListAuditRequest::default()
            };
            let reply = self.0.list_audit(request).await?.into_inner();
            let newer = reply
                .records
                .iter()
                .filter(|record| record.sequence > after);
            let before = records.len();
            for record in newer {
                records.push(Record::parse(&record.json)?);
            }
            let all_newer = records.len() - before == reply.records.len();
            token = reply.page.unwrap_or_default().next_token;
            if token.is_empty() || !all_newer {
                records.reverse();
                return Ok(records);
            }
        }
    }

    /// All certificates, newest first.
    ///
    /// # Errors
    ///
    /// When the signer does not answer.
    pub async fn certificates(&mut self) -> Result<Vec<CertificateInfo>> {
        let mut certificates: Vec<CertificateInfo> = Vec::new();
        let mut token = String::new();
        loop {
            let request = ListCertificatesRequest {
                page: whole_page(token),
                ..ListCertificatesRequest::default()
            };
            let reply = self.0.list_certificates(request).await?.into_inner();
            certificates.extend(reply.certificates);
            token = reply.page.unwrap_or_default().next_token;
            if token.is_empty() {
                return Ok(certificates);
            }
        }
    }

    /// One certificate, by its serial in hex.
    ///
    /// # Errors
    ///
    /// When the signer does not know it.
    pub async fn certificate(&mut self, serial: &str) -> Result<GetCertificateReply> {
        let request = GetCertificateRequest {
            serial: serial.to_owned(),
        };
        Ok(self.0.get_certificate(request).await?.into_inner())
    }
}

fn whole_page(token: String) -> Option<PageRequest> {
    let size = MAX_PAGE;
    Some(PageRequest { size, token })
}

/// Address of the Administration listener, and who must answer there.
///
/// # Errors
///
/// When `assay.toml` does not say.
pub fn administration(dir: &Path) -> Result<(String, Identity)> {
    let file = dir.join("assay.toml");
    let text = |key| -> Result<String> {
        let value = value(&file, &["administration", key])?;
        Ok(value
            .as_str()
            .with_context(|| format!("administration.{key} is no string"))?
            .to_owned())
    };
    Ok((text("address")?, Identity::parse(&text("identity")?)?))
}
