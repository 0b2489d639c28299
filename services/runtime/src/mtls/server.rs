//! The accepting side.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use assay_connections::{Bounds, Places};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected;
use tower::Service;

use super::admission::{Admission, Admitted, CallLimits};
use super::allow::{AllowList, Caller, Peer};
use super::files::TlsFiles;
use super::{ALPN_H2, MtlsError, VERSIONS, provider};
use crate::accept::{Bound, Place, tell};
use crate::drain::Shutdown;
use crate::identity::Role;
use crate::telemetry::{Throttle, chain};

/// Connections whose handshake is done. An identity has one, or two while a process is replaced.
const CONNECTIONS: Bounds = Bounds { all: 128, each: 8 };

/// Unfinished handshakes, by network. The oldest gives way to a new one, so that bare connections lock nobody out.
const HANDSHAKES: Bounds = Bounds { all: 64, each: 32 };

/// A handshake is two round trips.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// Finished handshakes that wait for tonic to take them.
const ACCEPTED_QUEUE: usize = 16;

/// Largest number of calls at a time that any listener takes of one identity.
pub const MAX_CALLS: usize = 1_024;

/// Bytes that a caller may send on one stream before the service takes them.
const STREAM_WINDOW: u32 = 256 << 10;
/// The same on all streams of a connection together: what a connection can make the service hold beside what its calls are
/// charged for, whatever the number of streams.
const CONNECTION_WINDOW: u32 = 2 * STREAM_WINDOW;
/// The header fields of one call; gRPC's own take some 300 bytes.
const MAX_HEADERS: u32 = 8 << 10;
/// A peer that vanished without a word is noticed after both.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// A bound listener for one gRPC service.
pub struct Server {
    listener: Bound,
    acceptor: TlsAcceptor,
    allow: AllowList,
    limits: CallLimits,
}

impl Server {
    /// Loads the files and binds the address; port 0 takes a free port.
    ///
    /// # Errors
    /// Where a file is missing, open to others or of the wrong role, or the address is taken.
    pub fn bind(
        address: SocketAddr,
        files: &TlsFiles,
        allow: AllowList,
        limits: CallLimits,
    ) -> Result<Self, MtlsError> {
        let acceptor = TlsAcceptor::from(Arc::new(server_config(files)?));
        let listener =
            Bound::bind(address).map_err(|source| MtlsError::Bind { address, source })?;
        Ok(Self {
            listener,
            acceptor,
            allow,
            limits,
        })
    }

    /// The address really bound.
    pub fn local_addr(&self) -> SocketAddr {
        self.listener.local_addr()
    }

    /// Serves `service` until the shutdown, which waits for the calls that have begun. Handlers find the identity of the
    /// caller by [`caller`](super::caller).
    ///
    /// # Errors
    /// Where the runtime cannot watch the socket.
    pub fn serve<S>(self, name: &'static str, service: S, shutdown: &Shutdown) -> io::Result<()>
    where
        S: Service<
                http::Request<tonic::body::Body>,
                Response = http::Response<tonic::body::Body>,
                Error = Infallible,
            > + Clone
            + Send
            + 'static,
        S::Future: Send + 'static,
    {
        let streams = u32::try_from(self.limits.calls).unwrap_or(u32::MAX);
        let service = Admitted::new(service, Admission::new(self.limits, &self.allow));
        let incoming = self.incoming(name, shutdown.token())?;
        let server = tonic::transport::Server::builder()
            .max_concurrent_streams(streams)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .http2_max_header_list_size(MAX_HEADERS)
            .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
            .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT));
        let stop = shutdown.clone();
        shutdown.spawn(async move {
            let served = server
                .serve_with_incoming_shutdown(service, incoming, async move {
                    stop.requested().await;
                })
                .await;
            if let Err(error) = served {
                tracing::error!(listener = name, error = chain(&error), "listener ended");
            }
        });
        Ok(())
    }

    /// Accepted connections; the stream ends when `stop` is cancelled. A handshake that fails is logged and is no item.
    fn incoming(
        self,
        name: &'static str,
        stop: CancellationToken,
    ) -> io::Result<impl Stream<Item = io::Result<Connection>> + Send + Unpin + 'static> {
        let listener = self.listener.listen()?;
        let (accepted, stream) = mpsc::channel(ACCEPTED_QUEUE);
        let handshake = Arc::new(Handshake {
            name,
            acceptor: self.acceptor,
            allow: self.allow,
            callers: Places::new(CONNECTIONS),
            failed: Throttle::default(),
            full: Throttle::default(),
        });
        let begin = move |stream, address, place| {
            let (handshake, accepted) = (Arc::clone(&handshake), accepted.clone());
            tokio::spawn(async move {
                if let Some(connection) = handshake.run(stream, address, place).await {
                    // The receiver is gone only when the server stops.
                    drop(accepted.send(Ok(connection)).await);
                }
            });
        };
        let accept = listener.accept(name, HANDSHAKES, |_| false, begin);
        tokio::spawn(stop.run_until_cancelled_owned(accept));
        Ok(ReceiverStream::new(stream))
    }
}

struct Handshake {
    name: &'static str,
    acceptor: TlsAcceptor,
    allow: AllowList,
    callers: Places<Caller>,
    failed: Throttle,
    full: Throttle,
}

impl Handshake {
    async fn run(
        &self,
        stream: TcpStream,
        address: SocketAddr,
        place: Place,
    ) -> Option<Connection> {
        let handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, self.greet(stream));
        let stream = tokio::select! {
            stream = handshake => stream.map_err(io::Error::from).flatten(),
            () = place.closed() => return None,
        };
        drop(place);
        match stream {
            Ok(stream) => self.admit(stream, address),
            Err(error) => {
                metrics::counter!("assay_mtls_failed_handshakes_total").increment(1);
                if let Some(unsaid) = self.failed.may_speak() {
                    tracing::warn!(listener = self.name, %address, %error, unsaid, "handshake failed");
                }
                None
            }
        }
    }

    async fn greet(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        stream.set_nodelay(true)?;
        self.acceptor.accept(stream).await
    }

    /// A place for the connection among those of its identity.
    fn admit(&self, stream: TlsStream<TcpStream>, address: SocketAddr) -> Option<Connection> {
        let leaf = stream
            .get_ref()
            .1
            .peer_certificates()
            .and_then(<[_]>::first);
        let decision = self.allow.decide(leaf.map(AsRef::as_ref));
        let caller = decision.as_ref().ok().cloned();
        let taken = self.callers.take(caller, false);
        let shed = taken.as_ref().map(|taken| taken.shed);
        tell(self.name, address, shed, &self.full);
        let place = taken?.place;
        Some(Connection {
            stream,
            peer: Peer::new(decision, address, Some(place.handle())),
            closed: Box::pin(place.closed_owned()),
            _place: place,
        })
    }
}

fn server_config(files: &TlsFiles) -> Result<rustls::ServerConfig, MtlsError> {
    let provider = provider();
    let verifier = WebPkiClientVerifier::builder_with_provider(
        Arc::new(files.anchors()?),
        Arc::clone(&provider),
    )
    .build()
    .map_err(MtlsError::Verifier)?;
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&VERSIONS)
        .map_err(MtlsError::Tls)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(files.own_chain(&[Role::Signer])?, files.key()?)
        .map_err(MtlsError::Tls)?;
    config.alpn_protocols = vec![ALPN_H2.to_vec()];
    // A resumed session would outlive the certificate that opened it: every connection proves itself anew.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// A connection whose peer proved to hold a certificate of our anchors; whether it may call is in its [`Peer`].
struct Connection {
    stream: TlsStream<TcpStream>,
    peer: Peer,
    closed: Pin<Box<dyn Future<Output = ()> + Send>>,
    _place: assay_connections::Place<Caller>,
}

impl Connection {
    /// Fails once the connection is to be closed; a task that waits for the peer is woken by it.
    fn poll_open(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.closed.as_mut().poll(context) {
            Poll::Pending => Ok(()),
            Poll::Ready(()) => {
                // It is asked again while HTTP/2 winds up.
                self.closed = Box::pin(std::future::ready(()));
                Err(io::ErrorKind::TimedOut.into())
            }
        }
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.poll_open(context)?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_open(context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_open(context)?;
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_open(context)?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_open(context)?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
