//! One HTTP request to one answer, by the rules of RFC 8894 section 4 or from the files of the cache.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use assay_proto::v1::PkiOperationRequest;
use assay_runtime::accept::Arriving;
use assay_runtime::drain::Shutdown;
use assay_scep_http::{Operation, decode_get_message};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Bytes};
use hyper::header::HeaderValue;
use hyper::http::request::Parts;
use hyper::{Method, Request, Response};
use tokio::sync::Semaphore;

use crate::addresses::{AddressLimit, AtWorkLimit};
use crate::answer::{Allowed, Answer, Refusal};
use crate::cache::{Missing, Profile, PublicCache};
use crate::config::LimitsConfig;
use crate::observe::{Exchange, RequestIds};
use crate::ocsp::{self, Asked, Ocsp};
use crate::proxies::Proxies;
use crate::route::{Query, Selector, select};
use crate::signer::Signer;

const REQUEST_ID: &str = "x-request-id";
/// The operation of metrics and log lines where it is none of SCEP's.
const FILE: &str = "file";
const OCSP: &str = "ocsp";

/// Most clients send head and body at once; who has not by now waits for the answer.
const DISCARD_TIMEOUT: Duration = Duration::from_millis(500);

/// What all connections share.
pub(crate) struct Service {
    cache: PublicCache,
    signer: Signer,
    ocsp: Ocsp,
    pub(crate) limits: LimitsConfig,
    /// PKIOperations that may be at the signer at once.
    slots: Arc<Semaphore>,
    addresses: Option<AddressLimit>,
    at_work: AtWorkLimit,
    pub(crate) proxies: Proxies,
    ids: RequestIds,
    shutdown: Shutdown,
}

impl Service {
    pub(crate) fn new(
        cache: PublicCache,
        signer: Signer,
        limits: LimitsConfig,
        proxies: Proxies,
        shutdown: Shutdown,
    ) -> anyhow::Result<Self> {
        let mut process = [0; 4];
        rustls::crypto::ring::default_provider()
            .secure_random
            .fill(&mut process)
            .map_err(|_| anyhow::anyhow!("no random numbers to be had"))?;
        Ok(Self {
            cache,
            ocsp: Ocsp::new(signer.clone()),
            signer,
            slots: Arc::new(Semaphore::new(limits.concurrency)),
            addresses: AddressLimit::new(limits.address_rate, limits.address_burst),
            at_work: AtWorkLimit::new(limits.address_concurrency),
            proxies,
            limits,
            ids: RequestIds::new(process),
            shutdown,
        })
    }

    /// Answers a request; whatever happens there is an answer, a log line and a count.
    pub(crate) async fn respond(
        &self,
        request: Request<Arriving>,
        peer: SocketAddr,
    ) -> Response<Full<Bytes>> {
        let client = self.proxies.client(peer, request.headers());
        let mut exchange = Exchange::begin(
            self.ids.next(),
            client,
            request.method(),
            request.uri().path(),
        );
        let id = HeaderValue::try_from(exchange.id.as_str());
        let (head, body) = request.into_parts();
        let mut body = Some(body);
        let answer = match self.at_work.begin(client.ip()) {
            Some(_at_work) => self.answer(&head, &mut body, client, &mut exchange).await,
            None => Err(Refusal::AddressLimit),
        };
        if let Some(unread) = body {
            self.discard(unread).await;
        }
        let (mut response, outcome, reason) = match answer {
            Ok(response) => (response, exchange.outcome, None),
            Err(refusal) => (
                refusal.clone().into_response(),
                refusal.outcome(),
                Some(refusal),
            ),
        };
        if let Ok(id) = id {
            response.headers_mut().insert(REQUEST_ID, id);
        }
        let sent = response.body().size_hint().lower();
        exchange.end(
            response.status().as_u16(),
            outcome,
            sent,
            reason.as_ref().map(|reason| reason as _),
        );
        response
    }

    /// Takes the body only where it is read.
    async fn answer(
        &self,
        head: &Parts,
        body: &mut Option<Arriving>,
        client: SocketAddr,
        exchange: &mut Exchange,
    ) -> Result<Response<Full<Bytes>>, Refusal> {
        let length = head
            .uri
            .path_and_query()
            .map_or(0, |text| text.as_str().len());
        if length > self.limits.max_uri {
            return Err(Refusal::UriTooLong);
        }
        let path = head.uri.path();
        match (select(path), ocsp::path(path)) {
            (Some(selector), _) => self
                .scep(selector, head, body, client, exchange)
                .await
                .map(Answer::into_response),
            (None, Some(rest)) => self.ocsp(rest, head, body, exchange).await,
            (None, None) => self.file(head, exchange),
        }
    }

    /// The status of a certificate. No limit by address: relying parties ask for the devices of a whole site, and no
    /// question makes a key operation.
    async fn ocsp(
        &self,
        rest: &str,
        head: &Parts,
        body: &mut Option<Arriving>,
        exchange: &mut Exchange,
    ) -> Result<Response<Full<Bytes>>, Refusal> {
        let issuers = self.cache.ocsp_issuers().map_err(|missing| match missing {
            Missing::Empty => Refusal::SignerAway,
            Missing::Unknown => Refusal::UnknownPath,
        })?;
        exchange.operation = OCSP;
        let only_head = head.method == Method::HEAD;
        let posted;
        let asked = if head.method == Method::POST {
            posted = match body.take() {
                Some(body) => self.read(body, assay_ocsp::MAX_REQUEST).await?,
                None => Bytes::new(),
            };
            exchange.received = posted.len();
            Asked::Post(&posted)
        } else if only_head || head.method == Method::GET {
            if rest.len() > ocsp::MAX_GET {
                return Err(Refusal::UriTooLong);
            }
            exchange.received = rest.len();
            Asked::Get(rest)
        } else {
            return Err(Refusal::Method(Allowed::OCSP));
        };
        let (response, outcome) = self
            .ocsp
            .respond(asked, &issuers, &head.headers, only_head)
            .await;
        exchange.outcome = outcome;
        Ok(response)
    }

    /// What relying parties fetch; it asks nothing of the signer.
    fn file(
        &self,
        head: &Parts,
        exchange: &mut Exchange,
    ) -> Result<Response<Full<Bytes>>, Refusal> {
        let path = head.uri.path().strip_prefix('/').unwrap_or_default();
        let file = self.cache.file(path).map_err(|missing| match missing {
            Missing::Empty => Refusal::SignerAway,
            Missing::Unknown => Refusal::UnknownPath,
        })?;
        exchange.operation = FILE;
        let only_head = head.method == Method::HEAD;
        if !only_head && head.method != Method::GET {
            return Err(Refusal::Method(Allowed::FILE));
        }
        Ok(file.respond(&head.headers, only_head))
    }

    async fn scep(
        &self,
        selector: Selector<'_>,
        head: &Parts,
        body: &mut Option<Arriving>,
        client: SocketAddr,
        exchange: &mut Exchange,
    ) -> Result<Answer, Refusal> {
        let post = head.method == Method::POST;
        if !post && head.method != Method::GET {
            return Err(Refusal::Method(Allowed::SCEP));
        }
        let query = Query::parse(head.uri.query().unwrap_or_default());
        let operation = operation(query.operation, post)?;
        exchange.operation = operation.as_str();
        let profile = self.profile(selector).await?;
        exchange.profile = Some(Arc::clone(&profile.name));

        match operation {
            Operation::GetCaCaps => Ok(profile.capabilities.clone()),
            Operation::GetCaCert => Ok(profile.ca_certificates.clone()),
            Operation::GetNextCaCert => profile
                .next_ca_certificates
                .clone()
                .ok_or(Refusal::NoNextCa),
            Operation::PkiOperation => {
                self.check_address(client)?;
                self.check_slots()?;
                let message = match body.take().filter(|_| post) {
                    Some(body) => self.read(body, self.limits.max_body).await?,
                    None => self.decode(query.message)?,
                };
                exchange.received = message.len();
                self.relay(message, &profile, exchange.id.clone(), client)
                    .await
            }
        }
    }

    async fn profile(&self, selector: Selector<'_>) -> Result<Arc<Profile>, Refusal> {
        self.cache
            .profile(selector)
            .await
            .map_err(|missing| match missing {
                Missing::Empty => Refusal::SignerAway,
                Missing::Unknown => Refusal::UnknownProfile,
            })
    }

    /// Before the slots, so that one address past its limit takes none of the others'.
    fn check_address(&self, client: SocketAddr) -> Result<(), Refusal> {
        match &self.addresses {
            Some(limit) if !limit.admit(client.ip()) => Err(Refusal::AddressLimit),
            Some(_) | None => Ok(()),
        }
    }

    /// Turns a request away before its body is read. A slow body holds no slot, so this is a look only.
    fn check_slots(&self) -> Result<(), Refusal> {
        if self.slots.available_permits() == 0 {
            Err(Refusal::Overloaded)
        } else {
            Ok(())
        }
    }

    /// Closing with octets unread resets the connection, and some clients then lose the answer.
    async fn discard(&self, body: Arriving) {
        if body.size_hint().lower() <= self.limits.max_body as u64 {
            let rest = Limited::new(body, self.limits.max_body).collect();
            let _ = tokio::time::timeout(DISCARD_TIMEOUT, rest).await;
        }
    }

    async fn read(&self, body: Arriving, most: usize) -> Result<Bytes, Refusal> {
        let announced = body.size_hint().lower();
        if usize::try_from(announced).map_or(true, |octets| octets > most) {
            return Err(Refusal::BodyTooLarge);
        }
        let body = Limited::new(body, most).collect();
        match tokio::time::timeout(self.limits.body_timeout, body).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Refusal::BodyTooLarge),
            Ok(Err(_)) => Err(Refusal::BodyLost),
            Err(_) => Err(Refusal::BodyTimeout),
        }
    }

    fn decode(&self, message: Option<&str>) -> Result<Bytes, Refusal> {
        let message = message
            .filter(|message| !message.is_empty())
            .ok_or(Refusal::Message)?;
        let message = decode_get_message(message.as_bytes()).map_err(|_| Refusal::Message)?;
        if message.len() > self.limits.max_body {
            return Err(Refusal::BodyTooLarge);
        }
        Ok(message.into())
    }

    /// Runs in a task of its own: a device that hangs up does not stop what the signer has begun, and its slot stays
    /// taken until the signer is done.
    async fn relay(
        &self,
        message: Bytes,
        profile: &Profile,
        request_id: String,
        client: SocketAddr,
    ) -> Result<Answer, Refusal> {
        let slot = Arc::clone(&self.slots)
            .try_acquire_owned()
            .map_err(|_| Refusal::Overloaded)?;
        let request = PkiOperationRequest {
            pki_message: message.into(),
            profile: profile.name.to_string(),
            request_id,
            client_address: client.ip().to_string(),
        };
        let signer = self.signer.clone();
        let relayed = self.shutdown.spawn(async move {
            let answer = signer.pki_operation(request).await;
            drop(slot);
            answer
        });
        relayed.await.unwrap_or(Err(Refusal::SignerFailed))
    }
}

/// A POST without an operation is PKIOperation (RFC 8894 section 4.1).
fn operation(name: Option<&str>, post: bool) -> Result<Operation, Refusal> {
    match name {
        Some(name) => name.parse().map_err(|_| Refusal::Operation),
        None if post => Ok(Operation::PkiOperation),
        None => Err(Refusal::Operation),
    }
}
