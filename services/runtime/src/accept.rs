//! One way to accept connections, for every listener: a bound in all and for each network, each for so long.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use assay_connections::{Handle, Taken};
use http_body_util::Full;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

use crate::telemetry::Throttle;

pub use assay_connections::{AtWork, Bounds, Network, Places};

/// The place of one connection among those that a listener has; dropping it frees the place.
pub type Place = assay_connections::Place<Network>;

/// Wait after a failed `accept`, which mostly means that file descriptors have run out.
const BACKOFF: Duration = Duration::from_millis(100);

/// Connections that wait to be accepted, as tokio has it. The kernel takes less where net.core.somaxconn is less.
const QUEUE: i32 = 1_024;

/// hyper's default, named: no client sends a dozen.
const MAX_HEADER_FIELDS: usize = 100;

const SHED: &str = "assay_connections_shed_total";
const REFUSED: &str = "assay_connections_refused_total";

/// A bound address, at which connections wait in the kernel's queue. It needs no runtime, so that a service can bind before
/// it gives up making sockets.
#[derive(Debug)]
pub struct Bound {
    listener: std::net::TcpListener,
    address: SocketAddr,
}

impl Bound {
    /// Binds the address; port 0 takes a free port.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(address)?;
        // The standard library's queue of 128 is short for a fleet that comes back at once.
        rustix::net::listen(&listener, QUEUE)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// The address really bound.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Hands the socket to the runtime around the caller.
    ///
    /// # Errors
    /// Where the runtime cannot watch it.
    pub fn listen(self) -> io::Result<Listener> {
        Ok(Listener {
            listener: TcpListener::from_std(self.listener)?,
            address: self.address,
        })
    }
}

/// A listener of the runtime.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Accepts until it is dropped, within `bounds`: a connection past them has an idle one closed in its favour, or is
    /// closed itself where none is idle. Addresses that `exempt` holds for are bounded in all only. `begin` must return at
    /// once: it starts a task that holds the [`Place`] for as long as the connection lasts, and ends it when told to.
    pub async fn accept(
        self,
        name: &'static str,
        bounds: Bounds,
        exempt: impl Fn(IpAddr) -> bool,
        begin: impl Fn(TcpStream, SocketAddr, Place),
    ) {
        let places = Places::new(bounds);
        let full = Throttle::default();
        loop {
            match self.listener.accept().await {
                Ok((stream, client)) => {
                    let network = Network::from(client.ip());
                    let taken = places.take(network, exempt(client.ip()));
                    tell(name, network, taken.as_ref().map(|taken| taken.shed), &full);
                    if let Some(Taken { place, .. }) = taken {
                        begin(stream, client, place);
                    }
                }
                Err(error) => {
                    tracing::warn!(address = %self.address, %error, "cannot accept");
                    tokio::time::sleep(BACKOFF).await;
                }
            }
        }
    }
}

/// Counts a connection that was closed for a new one, or a new one that was refused (`None`).
pub(crate) fn tell(
    listener: &'static str,
    peer: impl std::fmt::Display,
    shed: Option<bool>,
    throttle: &Throttle,
) {
    let (counter, message) = match shed {
        Some(false) => return,
        Some(true) => (
            SHED,
            "too many connections: an idle one was closed for a new one",
        ),
        None => (
            REFUSED,
            "too many connections with a request at work: a new one was closed",
        ),
    };
    metrics::counter!(counter, "listener" => listener).increment(1);
    if let Some(unsaid) = throttle.may_speak() {
        tracing::warn!(listener, %peer, unsaid, message);
    }
}

/// What one HTTP/1.1 connection may take.
#[derive(Debug, Clone, Copy)]
pub struct HttpLimits {
    /// Longest wait for the whole header of a request.
    pub header_timeout: Duration,
    /// Bytes of a request line with its header fields; hyper's own minimum is 8 KiB.
    pub max_head: usize,
    /// A connection of this age is closed after the request that it is in.
    pub age: Duration,
    /// How long that request has to end.
    pub closing: Duration,
}

/// The body of a request. Its connection is at work from the end of the body to the answer.
#[derive(Debug)]
pub struct Arriving {
    body: Incoming,
    work: Arc<Work>,
}

/// A request that may be at work on its connection.
#[derive(Debug)]
struct Work {
    handle: Handle<Network>,
    at_work: OnceLock<AtWork<Network>>,
}

impl Arriving {
    fn new(body: Incoming, handle: Handle<Network>) -> Self {
        let at_work = OnceLock::new();
        let work = Arc::new(Work { handle, at_work });
        let arriving = Self { body, work };
        arriving.look();
        arriving
    }

    fn look(&self) {
        if self.body.is_end_stream() {
            self.begin();
        }
    }

    fn begin(&self) {
        self.work.at_work.get_or_init(|| self.work.handle.at_work());
    }
}

impl Body for Arriving {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        match &frame {
            Poll::Ready(None) => self.begin(),
            Poll::Ready(Some(_)) => self.look(),
            Poll::Pending => {}
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Serves one HTTP/1.1 connection until the client ends it, it reaches its age, `stop` ends, or its place is needed. A
/// connection is idle between two answers, and so is one whose request has not come in as a whole or whose answer is not read.
pub async fn serve_http<F: Future<Output = Response<Full<Bytes>>>>(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    client: SocketAddr,
    place: &Place,
    limits: &HttpLimits,
    stop: impl Future<Output = ()>,
    respond: impl Fn(Request<Arriving>) -> F,
) {
    let handle = place.handle();
    let service = service_fn(|request: Request<Incoming>| {
        let request = request.map(|body| Arriving::new(body, handle.clone()));
        let work = Arc::clone(&request.body().work);
        let response = respond(request);
        async move {
            let response = response.await;
            drop(work);
            Ok::<_, Infallible>(response)
        }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_timeout)
            .max_buf_size(limits.max_head)
            .max_headers(MAX_HEADER_FIELDS)
            .serve_connection(TokioIo::new(stream), service)
    );
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = place.closed() => return,
        () = stop => None,
        () = tokio::time::sleep(limits.age) => None,
    };
    let ended = match ended {
        Some(ended) => Ok(ended),
        None => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = tokio::time::timeout(limits.closing, connection) => ended,
                () = place.closed() => return,
            }
        }
    };
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%client, %error, "connection ended"),
        Err(_) => tracing::debug!(%client, "connection cut off"),
    }
}
