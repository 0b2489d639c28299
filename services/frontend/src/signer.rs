//! The relay to the signer.

use std::time::Duration;

use assay_proto::v1::enrolment_client::EnrolmentClient;
use assay_proto::v1::pki_operation_reply::Outcome;
use assay_proto::v1::{
    Busy, FileContentPart, FileContentRequest, Malformed, OcspResponseReply, OcspResponseRequest,
    PkiOperationReply, PkiOperationRequest, PublicInfoReply, PublicInfoRequest, UnknownProfile,
};
use assay_scep_http::PKI_MESSAGE_TYPE;
use assay_types::MAX_CRL;
use hyper::body::Bytes;
use openssl::sha::sha256;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::answer::{Answer, Refusal};

/// A public answer is small and comes from the signer's memory.
const PUBLIC_INFO_TIMEOUT: Duration = Duration::from_secs(3);
/// A look-up by an index. Whoever asks has a time-out of seconds.
const OCSP_TIMEOUT: Duration = Duration::from_secs(1);
/// Largest public answer: 1,000 profiles with their certificates.
const MAX_PUBLIC_INFO: usize = 16 << 20;
/// The largest CRL within a site.
const CONTENT_TIMEOUT: Duration = Duration::from_secs(30);

/// The signer, as this tier knows it.
#[derive(Debug, Clone)]
pub(crate) struct Signer {
    client: EnrolmentClient<Channel>,
    timeout: Duration,
}

impl Signer {
    pub(crate) fn new(channel: Channel, timeout: Duration) -> Self {
        Self {
            client: EnrolmentClient::new(channel),
            timeout,
        }
    }

    /// Hands a pkiMessage over and waits for the CertRep.
    pub(crate) async fn pki_operation(
        &self,
        request: PkiOperationRequest,
    ) -> Result<Answer, Refusal> {
        let request_id = request.request_id.clone();
        let mut client = self.client.clone();
        let reply = bounded(self.timeout, client.pki_operation(request)).await;
        match reply {
            Ok(reply) => answer(reply.into_inner()),
            Err(status) => {
                tracing::warn!(request_id, code = ?status.code(), reason = status.message(), "no reply");
                Err(refusal(status.code()))
            }
        }
    }

    /// The response for one certificate, which the signer only looks up.
    pub(crate) async fn ocsp_response(
        &self,
        request: OcspResponseRequest,
    ) -> Result<OcspResponseReply, Status> {
        let mut client = self.client.clone();
        let call = client.ocsp_response(request);
        Ok(bounded(OCSP_TIMEOUT, call).await?.into_inner())
    }

    /// What this tier may answer by itself.
    pub(crate) async fn public_info(
        &self,
        known_revision: String,
    ) -> Result<PublicInfoReply, Status> {
        let client = self.client.clone();
        let mut client = client.max_decoding_message_size(MAX_PUBLIC_INFO);
        let call = client.public_info(PublicInfoRequest { known_revision });
        Ok(bounded(PUBLIC_INFO_TIMEOUT, call).await?.into_inner())
    }

    /// The content of a file, which has this SHA-256 and size.
    pub(crate) async fn file_content(&self, wanted: &[u8], size: u64) -> Result<Bytes, NoContent> {
        let mut client = self.client.clone();
        let request = FileContentRequest {
            sha256: wanted.to_vec(),
        };
        // No public file is larger than the largest CRL.
        let size = usize::try_from(size).ok().filter(|size| *size <= MAX_CRL);
        let size = size.ok_or(NoContent::Differs)?;
        let received = async {
            let mut parts = client.file_content(request).await?.into_inner();
            let mut content = Vec::with_capacity(size);
            while let Some(FileContentPart { content: part }) = parts.message().await? {
                if content.len() + part.len() > size {
                    return Ok(None);
                }
                content.extend_from_slice(&part);
            }
            Ok(Some(content))
        };
        let content = bounded(CONTENT_TIMEOUT, received).await?;
        match content {
            Some(content) if content.len() == size && sha256(&content) == *wanted => {
                Ok(content.into())
            }
            Some(_) | None => Err(NoContent::Differs),
        }
    }
}

/// Why the content of a file is not had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoContent {
    #[error("the signer has not sent it")]
    Lost(#[from] Status),
    #[error("the signer sent another content than it announced")]
    Differs,
}

/// Also bounds the wait for a connection, which a gRPC deadline does not.
async fn bounded<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, Status>>,
) -> Result<T, Status> {
    match tokio::time::timeout(limit, call).await {
        Ok(result) => result,
        Err(_) => Err(Status::deadline_exceeded("no reply in time")),
    }
}

fn answer(reply: PkiOperationReply) -> Result<Answer, Refusal> {
    let PkiOperationReply { outcome } = reply;
    match outcome {
        Some(Outcome::CertRep(der)) => Ok(Answer {
            body: der.into(),
            content_type: PKI_MESSAGE_TYPE,
        }),
        Some(Outcome::Malformed(Malformed { reason })) => Err(Refusal::Malformed(reason)),
        Some(Outcome::Busy(Busy {
            retry_after_seconds,
        })) => Err(Refusal::SignerBusy(retry_after_seconds)),
        Some(Outcome::UnknownProfile(UnknownProfile {})) => Err(Refusal::UnknownProfile),
        None => Err(Refusal::SignerFailed),
    }
}

/// A device may try again where the signer or the way to it is at fault for a while; a refusal of this tier itself is
/// for its operator to repair.
fn refusal(code: Code) -> Refusal {
    match code {
        Code::Unavailable
        | Code::DeadlineExceeded
        | Code::ResourceExhausted
        | Code::Cancelled
        | Code::Aborted
        | Code::Unknown => Refusal::SignerAway,
        Code::Ok
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::Internal
        | Code::DataLoss
        | Code::Unauthenticated => Refusal::SignerFailed,
    }
}
