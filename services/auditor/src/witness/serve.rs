//! The witness on the network: HTTP/1.1, one operation, everything bounded.
//!
//! It does not use the accept loop of `assay-runtime`, which comes with gRPC, metrics and rate limits: 75 more crates for
//! those who are to review and build this program by itself. Both share `assay-connections`, which says who gives way.

use std::convert::Infallible;
use std::fmt::Display;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use assay_audit::MAX_SUBMISSION;
use assay_connections::{Bounds, Handle, Network, Place, Places};
use assay_console::failure::{Failure, OrFail, Outcome};
use assay_console::output::{self, Output};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::judge::{Cosigned, Refusal, Witness};

/// Connections at a time; a log opens one now and then. Past either bound the one that has been idle the longest is closed.
const CONNECTIONS: Bounds = Bounds { all: 256, each: 64 };
/// Request line and header fields; hyper's own least is 8 KiB.
const MAX_HEAD: usize = 16 << 10;
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection that was kept for so long is closed between two requests.
const CONNECTION_AGE: Duration = Duration::from_secs(600);
/// How long requests may take to end once the witness is to stop.
const DRAIN: Duration = Duration::from_secs(5);
/// Wait after a failed `accept`, which mostly means that file descriptors have run out.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

const PATH: &str = "/add-checkpoint";
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
/// A size and nothing else (C2SP tlog-witness).
const SIZE: HeaderValue = HeaderValue::from_static("text/x.tlog.size");

/// What there is to tell once it listens.
#[derive(Debug, Serialize)]
struct Listening {
    listen: SocketAddr,
    vkey: String,
    logs: usize,
    known: usize,
}

/// Serves until SIGTERM or SIGINT.
pub(super) async fn serve(witness: Witness, listen: SocketAddr, out: Output) -> Outcome {
    let what = "cannot take signals";
    let mut terminate = signal(SignalKind::terminate()).or_fail(what)?;
    let mut interrupt = signal(SignalKind::interrupt()).or_fail(what)?;
    let listener = TcpListener::bind(listen)
        .await
        .or_fail(format!("cannot listen on {listen}"))?;
    let (logs, known) = witness.counts();
    let listening = Listening {
        listen: listener.local_addr().or_fail("cannot listen")?,
        vkey: witness.key().to_string(),
        logs,
        known,
    };
    out.one(&listening, |listening| {
        vec![
            format!("witness {}", listening.vkey),
            format!(
                "listens on http://{}, watches over {} logs, knows checkpoints of {}",
                listening.listen, listening.logs, listening.known
            ),
        ]
    })?;
    let witness = Arc::new(witness);
    let connections = Places::new(CONNECTIONS);
    let (stop, stopping) = watch::channel(());
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = accept(&listener, &witness, &connections, &stopping) => {}
    }
    drop(listener);
    stop.send_replace(());
    // Each connection drops its receiver when it ends.
    drop(stopping);
    match tokio::time::timeout(DRAIN, stop.closed()).await {
        Ok(()) => Ok(()),
        Err(_) => Err(Failure::failed(format!(
            "stopped with {} connections still at work",
            connections.len()
        ))),
    }
}

async fn accept(
    listener: &TcpListener,
    witness: &Arc<Witness>,
    connections: &Places<Network>,
    stopping: &watch::Receiver<()>,
) {
    loop {
        match listener.accept().await {
            Ok((stream, client)) => {
                // Where all have a request at work the new one is closed.
                let Some(taken) = connections.take(client.ip().into(), false) else {
                    continue;
                };
                let (witness, stopping) = (Arc::clone(witness), stopping.clone());
                tokio::spawn(converse(stream, client, taken.place, witness, stopping));
            }
            Err(error) => {
                output::note(&format!("cannot accept: {error}"));
                tokio::time::sleep(ACCEPT_BACKOFF).await;
            }
        }
    }
}

async fn converse(
    stream: TcpStream,
    client: SocketAddr,
    place: Place<Network>,
    witness: Arc<Witness>,
    mut stopping: watch::Receiver<()>,
) {
    let handle = place.handle();
    let service = service_fn(|request| {
        let response = respond(request, client, Arc::clone(&witness), handle.clone());
        async { Ok::<_, Infallible>(response.await) }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(MAX_HEAD)
            .serve_connection(TokioIo::new(stream), service)
    );
    tokio::select! {
        // A client that breaks off has nobody to be told.
        _ = connection.as_mut() => return,
        () = place.closed() => return,
        // An error is the end of the witness itself.
        _ = stopping.changed() => {}
        () = tokio::time::sleep(CONNECTION_AGE) => {}
    }
    connection.as_mut().graceful_shutdown();
    // The same.
    let _ = tokio::time::timeout(DRAIN, connection).await;
}

async fn respond(
    request: Request<Incoming>,
    client: SocketAddr,
    witness: Arc<Witness>,
    handle: Handle<Network>,
) -> Response<Full<Bytes>> {
    if request.uri().path() != PATH {
        return answer(
            StatusCode::NOT_FOUND,
            TEXT,
            "a witness has POST /add-checkpoint\n",
        );
    }
    if request.method() != Method::POST {
        let mut refused = answer(StatusCode::METHOD_NOT_ALLOWED, TEXT, "POST only\n");
        let allow = HeaderValue::from_static("POST");
        refused.headers_mut().insert(ALLOW, allow);
        return refused;
    }
    let body = Limited::new(request.into_body(), MAX_SUBMISSION).collect();
    let body = match tokio::time::timeout(BODY_TIMEOUT, body).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            let text = format!("at most {MAX_SUBMISSION} bytes\n");
            return answer(StatusCode::PAYLOAD_TOO_LARGE, TEXT, text);
        }
        Ok(Err(_)) => return answer(StatusCode::BAD_REQUEST, TEXT, "the body broke off\n"),
        Err(_) => return answer(StatusCode::REQUEST_TIMEOUT, TEXT, "the body is late\n"),
    };
    // From here on the connection is kept, until there is an answer.
    let _at_work = handle.at_work();
    // It writes to the disk and waits for it.
    let judged = tokio::task::spawn_blocking(move || {
        witness.add_checkpoint(&body, SystemTime::now().into())
    });
    match judged.await {
        Ok(Ok(Cosigned { checkpoint, line })) => {
            tell(
                client,
                format_args!("cosigned {} at size {}", checkpoint.origin, checkpoint.size),
            );
            answer(StatusCode::OK, TEXT, format!("{line}\n"))
        }
        Ok(Err(refusal)) => {
            let cause = std::error::Error::source(&refusal);
            let cause = cause.map(|cause| format!(": {cause}")).unwrap_or_default();
            tell(client, format_args!("refused: {refusal}{cause}"));
            refuse(&refusal)
        }
        Err(error) => {
            tell(client, error);
            answer(StatusCode::INTERNAL_SERVER_ERROR, TEXT, "failed\n")
        }
    }
}

/// The status codes of C2SP tlog-witness.
fn refuse(refusal: &Refusal) -> Response<Full<Bytes>> {
    let status = match refusal {
        Refusal::OtherSize { latest } => {
            return answer(StatusCode::CONFLICT, SIZE, format!("{latest}\n"));
        }
        Refusal::Malformed(_) | Refusal::NoCheckpoint(_) | Refusal::OldTooLarge { .. } => {
            StatusCode::BAD_REQUEST
        }
        Refusal::UnknownLog(_) => StatusCode::NOT_FOUND,
        Refusal::Unsigned => StatusCode::FORBIDDEN,
        Refusal::Fork => StatusCode::CONFLICT,
        Refusal::Inconsistent(_) | Refusal::ProofOfNothing | Refusal::EmptyRoot => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
        Refusal::Storage(_) | Refusal::Signing(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    answer(status, TEXT, format!("{refusal}\n"))
}

fn answer(status: StatusCode, kind: HeaderValue, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// A line of the witness's own log, on standard error.
fn tell(client: SocketAddr, what: impl Display) {
    let now = humantime::format_rfc3339_seconds(SystemTime::now());
    output::note(&output::printable(&format!("{now} {client} {what}")));
}
