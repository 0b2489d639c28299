//! The accepting side.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

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

use super::allow::{AllowList, Peer};
use super::files::TlsFiles;
use super::{ALPN_H2, MtlsError, VERSIONS, provider};
use crate::accept::{Bound, Place};
use crate::identity::Role;

/// Connections at once, those in a handshake included: a few per frontend or operator, on a closed network.
const MAX_CONNECTIONS: usize = 256;

/// A handshake is two round trips.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// Finished handshakes that wait for tonic to take them.
const ACCEPTED_QUEUE: usize = 16;

/// A bound listener for one gRPC service.
pub struct Server {
    listener: Bound,
    acceptor: TlsAcceptor,
    allow: AllowList,
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
    ) -> Result<Self, MtlsError> {
        let acceptor = TlsAcceptor::from(Arc::new(server_config(files)?));
        let listener =
            Bound::bind(address).map_err(|source| MtlsError::Bind { address, source })?;
        Ok(Self {
            listener,
            acceptor,
            allow,
        })
    }

    /// The address really bound.
    pub fn local_addr(&self) -> SocketAddr {
        self.listener.local_addr()
    }

    /// Accepted connections for tonic's `serve_with_incoming_shutdown`; the stream ends when `stop` is cancelled.
    /// A handshake that fails is logged and is no item.
    ///
    /// # Errors
    /// Where the runtime cannot watch the socket.
    pub fn incoming(
        self,
        stop: CancellationToken,
    ) -> io::Result<impl Stream<Item = io::Result<Connection>> + Send + Unpin + 'static> {
        let listener = self.listener.listen()?;
        let (accepted, stream) = mpsc::channel(ACCEPTED_QUEUE);
        let handshake = Arc::new(Handshake {
            acceptor: self.acceptor,
            allow: self.allow,
        });
        let begin = move |stream, address, place| {
            let (handshake, accepted) = (Arc::clone(&handshake), accepted.clone());
            tokio::spawn(async move {
                match handshake.run(stream, address, place).await {
                    // The receiver is gone only when the server stops.
                    Ok(connection) => drop(accepted.send(Ok(connection)).await),
                    Err(error) => {
                        metrics::counter!("assay_mtls_failed_handshakes_total").increment(1);
                        tracing::warn!(%address, %error, "handshake failed");
                    }
                }
            });
        };
        tokio::spawn(stop.run_until_cancelled_owned(listener.accept(MAX_CONNECTIONS, begin)));
        Ok(ReceiverStream::new(stream))
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
        place: Place,
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
#[derive(Debug)]
pub struct Connection {
    stream: TlsStream<TcpStream>,
    peer: Peer,
    _place: Place,
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
