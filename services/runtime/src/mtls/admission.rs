//! The limits of one identity on a listener: calls, bytes of unfinished requests, bytes of unread replies, and time.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{Request, Response};
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::body::Body;
use tower::Service;

use super::allow::{AllowList, Peer, Work};
use crate::identity::Identity;
use crate::telemetry::Throttle;

/// Identities that may exhaust what is theirs before the others notice.
const SHARES: usize = 4;
/// A reply is handed to HTTP/2 in pieces of this size, so that a reader is seen to be slow by each of them.
const PIECE: usize = 64 << 10;
/// Compressed flag and length (the gRPC protocol over HTTP/2, "Length-Prefixed-Message").
const PREFIX: usize = 5;

/// The limits of the callers of a listener.
#[derive(Debug, Clone, Copy)]
pub struct CallLimits {
    /// Calls of one identity at a time, until the last byte of the reply is in the kernel; also the streams of one connection.
    pub calls: usize,
    /// Calls of one method at a time of one identity, by its path, for those that cost more than others.
    pub calls_of: &'static [(&'static str, usize)],
    /// Bytes that the unfinished and unanswered requests of one identity announce or have.
    pub received: usize,
    /// Bytes of replies to one identity that were made and not sent yet.
    pub unsent: usize,
    /// Time from the head of a request to its last byte.
    pub request_time: Duration,
    /// Time from the head of a request to the reply.
    pub answer_time: Duration,
    /// Time that a caller has to read one piece of a reply.
    pub reply_time: Duration,
}

/// The remainder for the identities of one listener.
#[derive(Debug)]
pub(super) struct Admission {
    limits: CallLimits,
    accounts: BTreeMap<Identity, Account>,
    all: Account,
}

#[derive(Debug)]
struct Account {
    calls: Arc<Semaphore>,
    methods: Vec<(&'static str, Arc<Semaphore>)>,
    received: Arc<Semaphore>,
    unsent: Arc<Semaphore>,
}

impl Account {
    fn new(limits: &CallLimits, times: usize) -> Self {
        let semaphore = |limit: usize| Arc::new(Semaphore::new(limit.saturating_mul(times)));
        Self {
            calls: semaphore(limits.calls),
            methods: limits
                .calls_of
                .iter()
                .map(|(path, calls)| (*path, semaphore(*calls)))
                .collect(),
            received: semaphore(limits.received),
            unsent: semaphore(limits.unsent),
        }
    }

    fn begin(&self, path: &str) -> Option<Vec<OwnedSemaphorePermit>> {
        let of_method = self.methods.iter().find(|(of, _)| *of == path);
        [Some(&self.calls), of_method.map(|(_, calls)| calls)]
            .into_iter()
            .flatten()
            .map(|calls| Arc::clone(calls).try_acquire_owned().ok())
            .collect()
    }
}

impl Admission {
    pub(super) fn new(limits: CallLimits, allow: &AllowList) -> Self {
        let accounts = allow
            .identities()
            .map(|identity| (identity.clone(), Account::new(&limits, 1)))
            .collect();
        Self {
            limits,
            accounts,
            all: Account::new(&limits, SHARES),
        }
    }

    #[allow(clippy::result_large_err, reason = "tonic's own error type")]
    fn begin(self: &Arc<Self>, peer: Option<&Peer>, path: &str) -> Result<Arc<Call>, Status> {
        let peer =
            peer.ok_or_else(|| Status::permission_denied("the call did not come over mutual TLS"))?;
        let identity = peer.identity()?.clone();
        let too_many = || exhausted(&identity, "calls", "calls at a time");
        let own = self.accounts.get(&identity).ok_or_else(too_many)?;
        let mut permits = own.begin(path).ok_or_else(too_many)?;
        permits.extend(self.all.begin(path).ok_or_else(too_many)?);
        Ok(Arc::new(Call {
            admission: Arc::clone(self),
            identity,
            received: Mutex::default(),
            watch: Arc::new(Watch {
                state: Mutex::new((Instant::now(), Turn::Ours)),
                ended: CancellationToken::new(),
            }),
            _permits: permits,
            _work: peer.at_work(),
        }))
    }
}

/// The refusal of one more.
fn exhausted(identity: &Identity, limit: &'static str, of: &str) -> Status {
    metrics::counter!("assay_mtls_refused_calls_total", "limit" => limit).increment(1);
    Status::resource_exhausted(format!("{identity} has too many {of}: try again later"))
}

/// One call, from its head until the last byte of its reply is with the kernel. Dropping it gives back what it took.
#[derive(Debug)]
struct Call {
    admission: Arc<Admission>,
    identity: Identity,
    received: Mutex<Vec<OwnedSemaphorePermit>>,
    watch: Arc<Watch>,
    _permits: Vec<OwnedSemaphorePermit>,
    _work: Option<Work>,
}

impl Call {
    /// Takes bytes from what the identity has left and from what all have. No message takes more than there is in all.
    #[allow(clippy::result_large_err, reason = "tonic's own error type")]
    fn take(
        &self,
        bytes: usize,
        of: impl Fn(&Account) -> &Arc<Semaphore>,
        limit: usize,
        name: &'static str,
    ) -> Result<[OwnedSemaphorePermit; 2], Status> {
        let too_many = || exhausted(&self.identity, name, "bytes under way");
        let account = self
            .admission
            .accounts
            .get(&self.identity)
            .ok_or_else(too_many)?;
        let bytes = u32::try_from(bytes.min(limit)).map_err(|_| too_many())?;
        let take = |account: &Account| {
            Arc::clone(of(account))
                .try_acquire_many_owned(bytes)
                .map_err(|_| too_many())
        };
        Ok([take(account)?, take(&self.admission.all)?])
    }

    #[allow(clippy::result_large_err, reason = "tonic's own error type")]
    fn receives(&self, bytes: usize) -> Result<(), Status> {
        let limit = self.admission.limits.received;
        let taken = self.take(bytes, |account| &account.received, limit, "received")?;
        let mut received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        received.extend(taken);
        Ok(())
    }

    /// The request has been answered, and its bytes are gone.
    fn answered(&self) {
        let mut received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        received.clear();
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.watch.ended.cancel();
    }
}

/// Who has to act, and since when.
#[derive(Debug)]
struct Watch {
    state: Mutex<(Instant, Turn)>,
    ended: CancellationToken,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// This side makes the next piece of the reply.
    Ours,
    /// The caller has to read.
    Theirs,
}

impl Watch {
    fn turn(&self, turn: Turn) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = (Instant::now(), turn);
    }

    /// A piece has been sent, whoever has to act next.
    fn is_read(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 = Instant::now();
    }

    /// When it is too late to read on, unless this side has to act.
    fn deadline(&self, time: Duration) -> Option<Instant> {
        let (since, turn) = *self.state.lock().unwrap_or_else(PoisonError::into_inner);
        (turn == Turn::Theirs).then(|| since + time)
    }

    /// Waits until the caller has not read for `time`. HTTP/2 does not ask for the next piece of a reply that nobody reads, and
    /// keeps those that it has, so the reply itself cannot notice. Ends without result with the call.
    async fn is_unread(&self, time: Duration) -> Option<()> {
        let late = async {
            loop {
                let now = Instant::now();
                match self.deadline(time) {
                    Some(deadline) if deadline <= now => return,
                    Some(deadline) => tokio::time::sleep_until(deadline).await,
                    None => tokio::time::sleep(time).await,
                }
            }
        };
        self.ended.run_until_cancelled(late).await
    }
}

/// A gRPC service whose calls are admitted one by one, whatever their method.
#[derive(Debug, Clone)]
pub(super) struct Admitted<S> {
    inner: S,
    admission: Arc<Admission>,
    refused: Arc<Refused>,
}

#[derive(Default)]
struct Refused(Throttle);

impl std::fmt::Debug for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Refused")
    }
}

impl<S> Admitted<S> {
    pub(super) fn new(inner: S, admission: Admission) -> Self {
        Self {
            inner,
            admission: Arc::new(admission),
            refused: Arc::default(),
        }
    }
}

impl<S> Service<Request<Body>> for Admitted<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let peer = request.extensions().get::<Peer>().cloned();
        let call = match self.admission.begin(peer.as_ref(), request.uri().path()) {
            Ok(call) => call,
            Err(status) => {
                metrics::counter!("assay_mtls_denied_calls_total").increment(1);
                if let Some(unsaid) = self.refused.0.may_speak() {
                    let address = peer.map(|peer| peer.address().to_string());
                    tracing::warn!(address, unsaid, reason = status.message(), "call refused");
                }
                return Box::pin(async move { Ok(status.into_http()) });
            }
        };
        let limits = self.admission.limits;
        let request = request.map(|body| Body::new(RequestBody::new(body, Arc::clone(&call))));
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = tokio::time::timeout(limits.answer_time, answer).await;
            call.answered();
            let response = match answer {
                Ok(response) => response?,
                Err(_) => {
                    let time = limits.answer_time.as_secs();
                    let late = format!("the signer has not answered within {time} s");
                    return Ok(Status::deadline_exceeded(late).into_http());
                }
            };
            call.watch.turn(Turn::Theirs);
            if let Some(connection) = peer.as_ref().and_then(Peer::connection) {
                let watch = Arc::clone(&call.watch);
                tokio::spawn(async move {
                    if watch.is_unread(limits.reply_time).await.is_some() {
                        metrics::counter!("assay_mtls_unread_replies_total").increment(1);
                        connection.close();
                    }
                });
            }
            let (head, body) = response.into_parts();
            let mut reply = ReplyBody {
                body,
                rest: Bytes::new(),
                taken: None,
                next: None,
                call,
            };
            match std::future::poll_fn(|context| Poll::Ready(reply.begin(context))).await {
                Ok(()) => Ok(Response::from_parts(head, Body::new(reply))),
                Err(status) => Ok(status.into_http()),
            }
        })
    }
}

/// A request as it comes in: charged by the length that it announces, and in time.
struct RequestBody {
    body: Body,
    call: Arc<Call>,
    deadline: Pin<Box<Sleep>>,
    prefix: Vec<u8>,
    received: usize,
    charged: usize,
}

impl RequestBody {
    fn new(body: Body, call: Arc<Call>) -> Self {
        let deadline = Box::pin(tokio::time::sleep(call.admission.limits.request_time));
        Self {
            body,
            call,
            deadline,
            prefix: Vec::new(),
            received: 0,
            charged: 0,
        }
    }

    /// tonic makes room for a message once it knows its length, so that length counts before the bytes do.
    #[allow(clippy::result_large_err, reason = "tonic's own error type")]
    fn charge(&mut self, data: &[u8]) -> Result<(), Status> {
        self.received = self.received.saturating_add(data.len());
        let missing = PREFIX - self.prefix.len();
        self.prefix.extend(data.iter().take(missing));
        let mut due = self.received;
        if let [_, a, b, c, d] = *self.prefix {
            let announced = u32::from_be_bytes([a, b, c, d]);
            due = due.max(
                usize::try_from(announced).map_or(usize::MAX, |size| size.saturating_add(PREFIX)),
            );
        }
        if due > self.charged {
            self.call.receives(due - self.charged)?;
            self.charged = due;
        }
        Ok(())
    }
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) {
            return Poll::Ready(match frame {
                Some(Ok(frame)) => Some(match frame.data_ref() {
                    Some(data) => this.charge(data).map(|()| frame),
                    None => Ok(frame),
                }),
                other => other,
            });
        }
        ready!(this.deadline.as_mut().poll(context));
        Poll::Ready(Some(Err(Status::deadline_exceeded(
            "the request did not arrive in time",
        ))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A reply on its way out. What HTTP/2 holds of it stays charged until it has been sent.
struct ReplyBody {
    body: Body,
    rest: Bytes,
    taken: Option<Arc<[OwnedSemaphorePermit; 2]>>,
    /// The outcome of the first look, where it is not data.
    next: Option<Option<Result<Frame<Bytes>, Status>>>,
    call: Arc<Call>,
}

/// Bytes that HTTP/2 drops once they are sent.
struct Piece {
    bytes: Bytes,
    call: Arc<Call>,
    _taken: Option<Arc<[OwnedSemaphorePermit; 2]>>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.call.watch.is_read();
    }
}

impl ReplyBody {
    /// Charges the first message before HTTP/2 has a window for it: a caller without one must not have replies kept for free.
    #[allow(clippy::result_large_err, reason = "tonic's own error type")]
    fn begin(&mut self, context: &mut Context<'_>) -> Result<(), Status> {
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Pending => Ok(()),
            Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) => self.charge(data),
                Err(frame) => {
                    self.next = Some(Some(Ok(frame)));
                    Ok(())
                }
            },
            Poll::Ready(other) => {
                self.next = Some(other);
                Ok(())
            }
        }
    }

    #[allow(clippy::result_large_err, reason = "tonic's own error type")]
    fn charge(&mut self, data: Bytes) -> Result<(), Status> {
        let limit = self.call.admission.limits.unsent;
        let taken = self
            .call
            .take(data.len(), |account| &account.unsent, limit, "unsent")?;
        self.taken = Some(Arc::new(taken));
        self.rest = data;
        Ok(())
    }

    fn piece(&mut self) -> Frame<Bytes> {
        let bytes = self.rest.split_to(self.rest.len().min(PIECE));
        self.call.watch.turn(Turn::Theirs);
        let taken = if self.rest.is_empty() {
            self.taken.take()
        } else {
            self.taken.clone()
        };
        Frame::data(Bytes::from_owner(Piece {
            bytes,
            call: Arc::clone(&self.call),
            _taken: taken,
        }))
    }
}

impl http_body::Body for ReplyBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        if !this.rest.is_empty() {
            return Poll::Ready(Some(Ok(this.piece())));
        }
        if let Some(next) = this.next.take() {
            return Poll::Ready(next);
        }
        let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) else {
            this.call.watch.turn(Turn::Ours);
            return Poll::Pending;
        };
        Poll::Ready(match frame {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => Some(this.charge(data).map(|()| this.piece())),
                Err(frame) => Some(Ok(frame)),
            },
            other => other,
        })
    }

    /// True where the first look found the end, too: an error without a body has to end with its headers (Trailers-Only), or clients
    /// other than tonic's do not read it.
    fn is_end_stream(&self) -> bool {
        let ended = match &self.next {
            Some(outcome) => outcome.is_none(),
            None => self.body.is_end_stream(),
        };
        self.rest.is_empty() && ended
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
