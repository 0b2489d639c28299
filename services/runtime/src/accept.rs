//! One way to accept connections, for every listener: so many at a time, each for so long.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Wait after a failed `accept`, which mostly means that file descriptors have run out.
const BACKOFF: Duration = Duration::from_millis(100);

/// Connections that wait to be accepted, as tokio has it. The kernel takes less where net.core.somaxconn is less.
const QUEUE: i32 = 1_024;

/// hyper's default, named: no client sends a dozen.
const MAX_HEADER_FIELDS: usize = 100;

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

/// The place of one connection among those that a listener has at a time; dropping it frees the place.
#[derive(Debug)]
pub struct Place {
    _permit: OwnedSemaphorePermit,
}

impl Listener {
    /// Accepts until it is dropped, up to `connections` at a time. `begin` must return at once: it starts a task that
    /// holds the [`Place`] for as long as the connection lasts.
    pub async fn accept(self, connections: usize, begin: impl Fn(TcpStream, SocketAddr, Place)) {
        let places = Arc::new(Semaphore::new(connections));
        // The semaphore is never closed.
        while let Ok(permit) = Arc::clone(&places).acquire_owned().await {
            match self.listener.accept().await {
                Ok((stream, client)) => begin(stream, client, Place { _permit: permit }),
                Err(error) => {
                    tracing::warn!(address = %self.address, %error, "cannot accept");
                    tokio::time::sleep(BACKOFF).await;
                }
            }
        }
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

/// Serves one HTTP/1.1 connection until the client ends it, it reaches its age, or `stop` ends.
pub async fn serve_http<F: Future<Output = Response<Full<Bytes>>>>(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    client: SocketAddr,
    limits: &HttpLimits,
    stop: impl Future<Output = ()>,
    respond: impl Fn(Request<Incoming>) -> F,
) {
    let service = service_fn(|request| {
        let response = respond(request);
        async move { Ok::<_, Infallible>(response.await) }
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
        () = stop => None,
        () = tokio::time::sleep(limits.age) => None,
    };
    let ended = match ended {
        Some(ended) => Ok(ended),
        None => {
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(limits.closing, connection).await
        }
    };
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%client, %error, "connection ended"),
        Err(_) => tracing::debug!(%client, "connection cut off"),
    }
}
