//! Connections of devices: how many, how long, and in TLS where so configured.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use assay_runtime::accept::{self, Bounds, HttpLimits, Place, serve_http};
use assay_runtime::drain::Shutdown;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::observe::{self, Counted};
use crate::proxies::read_header;
use crate::service::Service;
use crate::settings::Settings;

/// Room for request line and header fields beside the URI; hyper's own minimum is 8 KiB.
const HEAD_BYTES: usize = 16 << 10;
/// Two round trips over a slow link.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// After a connection's age is reached it has this long to finish the request it is in.
const CLOSING_TIME: Duration = Duration::from_secs(30);

/// The bound listener.
pub(crate) struct Listener {
    listener: accept::Bound,
    tls: Option<TlsAcceptor>,
}

impl Listener {
    pub(crate) fn bind(settings: &Settings) -> io::Result<Self> {
        Ok(Self {
            listener: accept::Bound::bind(settings.listen)?,
            tls: settings.tls.clone(),
        })
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.listener.local_addr()
    }

    /// Accepts until the shutdown; each connection is a task that the drain waits for.
    pub(crate) fn serve(
        self,
        service: Arc<Service>,
        shutdown: &Shutdown,
    ) -> io::Result<JoinHandle<()>> {
        let (stop, shutdown) = (shutdown.token(), shutdown.clone());
        let (listener, tls) = (self.listener.listen()?, self.tls);
        let bounds = Bounds {
            all: service.limits.connections,
            each: service.limits.address_connections,
        };
        let proxies = service.proxies.clone();
        let begin = move |stream, client, place| {
            let connection = Connection {
                service: Arc::clone(&service),
                client,
                shutdown: shutdown.clone(),
            };
            let tls = tls.clone();
            shutdown.spawn(async move {
                let _counted = Counted::connection();
                connection.run(stream, tls, place).await;
            });
        };
        Ok(tokio::spawn(async move {
            let exempt = |address| proxies.trusts(address);
            stop.run_until_cancelled(listener.accept("scep", bounds, exempt, begin))
                .await;
        }))
    }
}

struct Connection {
    service: Arc<Service>,
    client: SocketAddr,
    shutdown: Shutdown,
}

impl Connection {
    async fn run(mut self, mut stream: TcpStream, tls: Option<TlsAcceptor>, place: Place) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(client = %self.client, %error, "connection lost");
            return;
        }
        if !self.service.proxies.announces(self.client.ip()) {
            return self.secure(stream, tls, place).await;
        }
        let header = tokio::time::timeout(HANDSHAKE_TIMEOUT, read_header(&mut stream));
        let header = tokio::select! {
            () = self.shutdown.requested() => return,
            () = place.closed() => return,
            header = header => header.map_err(io::Error::from).flatten(),
        };
        let rest = match header {
            Ok((client, rest)) => {
                if let Some(client) = client {
                    self.client = client;
                    if place.belongs_to(client.ip().into()).is_none() {
                        observe::refused_behind_proxy();
                        return;
                    }
                }
                rest
            }
            Err(error) => {
                tracing::debug!(client = %self.client, %error, "no PROXY header");
                return;
            }
        };
        let (read, write) = stream.into_split();
        let stream = tokio::io::join(io::Cursor::new(rest).chain(read), write);
        self.secure(stream, tls, place).await;
    }

    async fn secure(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin,
        tls: Option<TlsAcceptor>,
        place: Place,
    ) {
        let Some(tls) = tls else {
            return self.serve(stream, &place).await;
        };
        let handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(stream));
        let stream = tokio::select! {
            () = self.shutdown.requested() => return,
            () = place.closed() => return,
            stream = handshake => stream,
        };
        match stream.map_err(io::Error::from).flatten() {
            Ok(stream) => self.serve(stream, &place).await,
            Err(error) => tracing::debug!(client = %self.client, %error, "TLS handshake failed"),
        }
    }

    async fn serve(&self, stream: impl AsyncRead + AsyncWrite + Unpin, place: &Place) {
        let limits = &self.service.limits;
        let limits = HttpLimits {
            header_timeout: limits.header_timeout,
            max_head: limits.max_uri + HEAD_BYTES,
            age: limits.connection_age,
            closing: CLOSING_TIME,
        };
        let respond = |request| self.service.respond(request, self.client);
        serve_http(
            stream,
            self.client,
            place,
            &limits,
            self.shutdown.requested(),
            respond,
        )
        .await;
    }
}
