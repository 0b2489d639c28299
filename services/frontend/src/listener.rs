//! Connections of devices: how many, how long, and in TLS where so configured.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use assay_runtime::drain::Shutdown;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::observe::Counted;
use crate::service::Service;
use crate::settings::Settings;

/// Room for request line and header fields beside the URI; hyper's own least is 8 KiB.
const HEAD_OCTETS: usize = 16 << 10;
/// hyper's default, named: no client sends a dozen.
const MAX_HEADER_FIELDS: usize = 100;
/// Two round trips over a slow link.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// After a connection's age is reached it has this long to finish the request it is in.
const CLOSING_TIME: Duration = Duration::from_secs(30);
/// Wait after a failed `accept`, which mostly means that file descriptors have run out.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// The bound listener.
pub(crate) struct Listener {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
}

impl Listener {
    pub(crate) async fn bind(settings: &Settings) -> io::Result<Self> {
        let listener = TcpListener::bind(settings.listen).await?;
        let address = listener.local_addr()?;
        Ok(Self {
            listener,
            address,
            tls: settings.tls.clone(),
        })
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Accepts until the shutdown; each connection is a task that the drain waits for.
    pub(crate) fn serve(self, service: Arc<Service>, shutdown: &Shutdown) -> JoinHandle<()> {
        let shutdown = shutdown.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = shutdown.requested() => {}
                () = self.accept(&service, &shutdown) => {}
            }
        })
    }

    async fn accept(&self, service: &Arc<Service>, shutdown: &Shutdown) {
        let connections = Arc::new(Semaphore::new(service.limits.connections));
        loop {
            let Ok(permit) = Arc::clone(&connections).acquire_owned().await else {
                return;
            };
            match self.listener.accept().await {
                Ok((stream, client)) => {
                    let connection = Connection {
                        service: Arc::clone(service),
                        client,
                        shutdown: shutdown.clone(),
                    };
                    let tls = self.tls.clone();
                    shutdown.spawn(async move {
                        let _counted = Counted::connection();
                        connection.run(stream, tls).await;
                        drop(permit);
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

struct Connection {
    service: Arc<Service>,
    client: SocketAddr,
    shutdown: Shutdown,
}

impl Connection {
    async fn run(&self, stream: TcpStream, tls: Option<TlsAcceptor>) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(client = %self.client, %error, "connection lost");
            return;
        }
        let Some(tls) = tls else {
            return self.serve(stream).await;
        };
        let handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(stream));
        let stream = tokio::select! {
            () = self.shutdown.requested() => return,
            stream = handshake => stream,
        };
        match stream.map_err(io::Error::from).flatten() {
            Ok(stream) => self.serve(stream).await,
            Err(error) => tracing::info!(client = %self.client, %error, "TLS handshake failed"),
        }
    }

    async fn serve(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send) {
        let limits = &self.service.limits;
        let service = service_fn(|request| async move {
            Ok::<_, Infallible>(self.service.respond(request, self.client).await)
        });
        let mut connection = pin!(
            http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(limits.header_timeout)
                .max_buf_size(limits.max_uri + HEAD_OCTETS)
                .max_headers(MAX_HEADER_FIELDS)
                .serve_connection(TokioIo::new(stream), service)
        );
        let ended = tokio::select! {
            ended = connection.as_mut() => Some(ended),
            () = self.shutdown.requested() => None,
            () = tokio::time::sleep(limits.connection_age) => None,
        };
        let ended = match ended {
            Some(ended) => Ok(ended),
            None => {
                connection.as_mut().graceful_shutdown();
                tokio::time::timeout(CLOSING_TIME, connection).await
            }
        };
        match ended {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(client = %self.client, %error, "connection ended"),
            Err(_) => tracing::debug!(client = %self.client, "connection cut off"),
        }
    }
}
