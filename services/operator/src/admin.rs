//! The signer's Administration service as commands use it: one connection, one deadline, failures explained in words.

use std::error::Error;
use std::time::Duration;

use assay_console::failure::{Exit, Failure, Outcome};
use assay_proto::v1::administration_client::AdministrationClient;
use assay_proto::v1::{IssueChallengesRequest, IssuedChallenge, StatusReply, StatusRequest};
use assay_runtime::mtls::{self, TlsFiles};
use assay_types::MAX_CRL;
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};

use crate::installation::Installation;

/// No administrative call works longer; the longest, 10,000 inventory names, is meant to take a second.
const DEADLINE: Duration = Duration::from_secs(30);
/// Largest reply taken: a CRL, which is larger than a page of 1,000 audit records of at most 4 KiB each, and what is around it.
const MAX_REPLY: usize = MAX_CRL + (4 << 20);

/// The Administration service, as calls name it.
pub type Client = AdministrationClient<Channel>;

/// A connection to the signer as the installation's operator.
#[derive(Clone)]
pub struct Admin {
    client: Client,
    address: String,
}

impl Admin {
    /// Opens the connection that `assay.toml` describes.
    ///
    /// # Errors
    /// The settings or the files that they name cannot be used, or the signer cannot be reached.
    pub async fn connect(installation: &Installation) -> Outcome<Self> {
        let settings = installation.settings()?.administration;
        let file = installation.settings_file();
        let files = TlsFiles {
            certificate: installation.path(settings.certificate),
            private_key: installation.path(settings.private_key),
            trust_anchors: installation.path(settings.trust_anchors),
        };
        let channel = mtls::connect(&settings.address, &files, settings.identity)
            .await
            .map_err(|error| {
                Failure::usage("cannot set up the connection to the signer")
                    .because(error)
                    .next(format!(
                        "the paths stand in {}; `assay-ceremony transport` makes the files",
                        file.display()
                    ))
            })?;
        Ok(Self {
            client: AdministrationClient::new(channel).max_decoding_message_size(MAX_REPLY),
            address: settings.address,
        })
    }

    /// HOST:PORT of the signer, as it is configured.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Makes one call: `admin.call(request, AdministrationClient::status)`.
    ///
    /// # Errors
    /// The signer refused, failed, or did not answer within the deadline of 30 s.
    pub async fn call<Q, A>(
        &mut self,
        request: Q,
        method: impl AsyncFnOnce(&mut Client, Request<Q>) -> Result<Response<A>, Status>,
    ) -> Outcome<A> {
        let mut request = Request::new(request);
        request.set_timeout(DEADLINE);
        let call = tokio::time::timeout(DEADLINE, method(&mut self.client, request));
        match call.await {
            Ok(Ok(reply)) => Ok(reply.into_inner()),
            Ok(Err(status)) => Err(explain(&status, &self.address)),
            Err(_) => Err(explain(
                &Status::deadline_exceeded("no answer in time"),
                &self.address,
            )),
        }
    }

    /// What the signer says of itself.
    ///
    /// # Errors
    /// As for [`Admin::call`].
    pub async fn status(&mut self) -> Outcome<StatusReply> {
        self.call(StatusRequest {}, AdministrationClient::status)
            .await
    }

    /// Issues all the challenges of a request or none; they come in the order of its items.
    ///
    /// # Errors
    /// As for [`Admin::call`], or another number of challenges came than was asked for.
    pub async fn issue_challenges(
        &mut self,
        request: IssueChallengesRequest,
    ) -> Outcome<Vec<IssuedChallenge>> {
        let expected = request
            .items
            .len()
            .max(usize::from(request.static_challenge));
        let reply = self
            .call(request, AdministrationClient::issue_challenges)
            .await?;
        if reply.challenges.len() != expected {
            return Err(Failure::failed(format!(
                "the signer sent {} challenges for {expected}",
                reply.challenges.len()
            ))
            .next("see `assay challenge list`; signer and assay must be of one version"));
        }
        Ok(reply.challenges)
    }
}

/// A status of the signer at `address` as one line that says what happened, and one that says what to do.
pub fn explain(status: &Status, address: &str) -> Failure {
    let message = match root_cause(status) {
        Some(cause) if !status.message().contains(&cause) => {
            format!("{}: {cause}", status.message())
        }
        _ => status.message().to_owned(),
    };
    match status.code() {
        // Without a source it is the signer's own answer.
        Code::Unavailable if status.source().is_none() => {
            Failure::failed(format!("the signer cannot do that now: {message}"))
                .next("see `assay status` for its causes")
        }
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Unknown => {
            Failure::new(
                Exit::Unreachable,
                format!("the signer at {address} does not answer: {message}"),
            )
            .next("see that assay-signer runs and listens there (assay.toml, [administration]), and its log")
        }
        Code::Unauthenticated | Code::PermissionDenied => {
            Failure::failed(format!("the signer at {address} refuses this operator: {message}"))
                .next("its identity must stand in [administration] allow of signer.toml, its anchor in the operators' bundle")
        }
        Code::ResourceExhausted | Code::Aborted => {
            Failure::failed(format!("the signer is busy: {message}")).next("try again in a moment")
        }
        Code::Internal | Code::DataLoss | Code::Unimplemented => {
            Failure::failed(format!("the signer failed: {message}")).next("see the signer's log")
        }
        Code::Ok
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::FailedPrecondition
        | Code::OutOfRange => Failure::failed(format!("refused: {message}")),
    }
}

/// Tonic says "transport error" and keeps the reason ("connection refused") in the chain of sources.
fn root_cause(status: &Status) -> Option<String> {
    let mut cause = status.source()?;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    Some(cause.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_signer_cannot_do_now_is_not_a_signer_that_is_away() {
        let own = Status::unavailable("02 is recorded and not published yet");
        let failure = explain(&own, "192.0.2.1:9000");
        assert_eq!(failure.exit(), Exit::Failed);
        let said = failure.to_string();
        assert!(said.contains("recorded and not published"), "{said}");
        assert!(!said.contains("does not answer"), "{said}");

        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let away = Status::from_error(Box::new(refused));
        assert!(away.source().is_some());
        let failure = explain(&away, "192.0.2.1:9000");
        assert_eq!(failure.exit(), Exit::Unreachable);
        assert!(
            failure
                .to_string()
                .contains("192.0.2.1:9000 does not answer")
        );
    }
}
