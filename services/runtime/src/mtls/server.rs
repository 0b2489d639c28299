//! The accepting side.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected;

use super::allow::{AllowList, Peer};
use super::files::TlsFiles;
use super::{ALPN_H2, MtlsError, VERSIONS, provider};
use crate::identity::Role;

/// Connections at once, those in a handshake included: a few per frontend or operator, on a closed network.
const MAX_CONNECTIONS: usize = 256;

/// A handshake is two round trips.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// Wait after a failed `accept`, which mostly means that file descriptors have run out.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// Finished handshakes that wait for tonic to take them.
const ACCEPTED_QUEUE: usize = 16;

/// A bound listener for one gRPC service.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    acceptor: TlsAcceptor,
    allow: AllowList,
}

impl Server {
    /// Loads the files and binds the address; port 0 takes a free port.
    ///
    /// # Errors
    /// Where a file is missing, open to others or of the wrong role, or the address is taken.
    pub async fn bind(
        address: SocketAddr,
        files: &TlsFiles,
        allow: AllowList,
    ) -> Result<Self, MtlsError> {
        let acceptor = TlsAcceptor::from(Arc::new(server_config(files)?));
        let bind = |source| MtlsError::Bind { address, source };
        let listener = TcpListener::bind(address).await.map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        Ok(Self {
            listener,
            address,
            acceptor,
            allow,
        })
    }

    /// The address really bound.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Accepted connections for tonic's `serve_with_incoming_shutdown`; the stream ends when `stop` is cancelled.
    /// A handshake that fails is logged and is no item.
    pub fn incoming(
        self,
        stop: CancellationToken,
    ) -> impl Stream<Item = io::Result<Connection>> + Send + Unpin + 'static {
        let (accepted, stream) = mpsc::channel(ACCEPTED_QUEUE);
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.accept(accepted) => {}
            }
        });
        ReceiverStream::new(stream)
    }

    async fn accept(self, accepted: mpsc::Sender<io::Result<Connection>>) {
        let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let handshake = Arc::new(Handshake {
            acceptor: self.acceptor,
            allow: self.allow,
        });
        loop {
            let Ok(permit) = Arc::clone(&connections).acquire_owned().await else {
                return;
            };
            match self.listener.accept().await {
                Ok((stream, address)) => {
                    let (handshake, accepted) = (Arc::clone(&handshake), accepted.clone());
                    tokio::spawn(async move {
                        match handshake.run(stream, address, permit).await {
                            // The receiver is gone only when the server stops.
                            Ok(connection) => drop(accepted.send(Ok(connection)).await),
                            Err(error) => {
                                metrics::counter!("assay_mtls_failed_handshakes_total")
                                    .increment(1);
                                tracing::warn!(%address, %error, "handshake failed");
                            }
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept");
                    tokio::time::sleep(ACCEPT_BACKOFF).await;
                }
            }
        }
    }
}

struct Handshake {
    acceptor: TlsAcceptor,
    allow: AllowList,
}

impl Handshake {
    async fn run(
        &self,
        stream: TcpStream,
        address: SocketAddr,
        permit: OwnedSemaphorePermit,
    ) -> io::Result<Connection> {
        stream.set_nodelay(true)?;
        let stream =
            tokio::time::timeout(HANDSHAKE_TIMEOUT, self.acceptor.accept(stream)).await??;
        let leaf = stream
            .get_ref()
            .1
            .peer_certificates()
            .and_then(<[_]>::first);
        let decision = self.allow.decide(leaf.map(AsRef::as_ref));
        Ok(Connection {
            stream,
            peer: Peer::new(decision, address),
            _permit: permit,
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
#[derive(Debug)]
pub struct Connection {
    stream: TlsStream<TcpStream>,
    peer: Peer,
    _permit: OwnedSemaphorePermit,
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
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
