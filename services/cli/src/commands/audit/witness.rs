//! The client of a witness (C2SP tlog-witness): posts a checkpoint, one request on a connection of its own.

mod tls;

use std::fmt;
use std::io;
use std::time::Duration;

use assay_audit::Submission;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::handshake;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

pub(super) use self::tls::{Anchors, SYSTEM_ANCHORS};
use crate::failure::{Exit, Failure, OrFail, Outcome};

/// A witness that waits for its disk answers well within.
const DEADLINE: Duration = Duration::from_secs(20);
/// Octets of an answer: some lines of cosignatures.
const MAX_ANSWER: usize = 16 << 10;
/// Characters of a refusal that are shown.
const MAX_REASON: usize = 300;
const HTTP_PORT: u16 = 80;
const HTTPS_PORT: u16 = 443;
const SIZE: &str = "text/x.tlog.size";

/// Submission prefix of a witness. A cosignature proves itself; TLS is for witnesses that offer nothing else.
#[derive(Clone, Debug)]
pub(super) struct Url {
    text: String,
    is_https: bool,
    host: String,
    port: u16,
    path: String,
}

impl Url {
    pub(super) fn parse(text: &str) -> Outcome<Self> {
        let wrong = || {
            Failure::usage(format!("{text} is no URL of a witness"))
                .next("give http://HOST[:PORT][/PREFIX], or the same with https")
        };
        let uri: Uri = text.parse().map_err(|_| wrong())?;
        let (Some(scheme), Some(host), None) = (uri.scheme_str(), uri.host(), uri.query()) else {
            return Err(wrong());
        };
        let (is_https, port) = match scheme {
            "http" => (false, HTTP_PORT),
            "https" => (true, HTTPS_PORT),
            _ => return Err(wrong()),
        };
        Ok(Self {
            text: text.to_owned(),
            is_https,
            host: host.trim_matches(['[', ']']).to_owned(),
            port: uri.port_u16().unwrap_or(port),
            path: format!("{}/add-checkpoint", uri.path().trim_end_matches('/')),
        })
    }

    /// Whether anchors are needed.
    pub(super) fn is_https(&self) -> bool {
        self.is_https
    }

    /// For the Host header.
    fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    fn unreachable(&self) -> Failure {
        Failure::new(
            Exit::Unreachable,
            format!("{} cannot be reached", self.text),
        )
        .next("see that the witness runs and listens there")
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What a witness makes of a checkpoint.
#[derive(Debug)]
pub(super) enum Verdict {
    /// Lines of signatures, not verified.
    Cosigned(String),
    /// The latest that it cosigned has this size.
    OtherSize(u64),
    Refused {
        status: u16,
        reason: String,
    },
}

/// Posts a checkpoint; `anchors` are needed for an https URL.
pub(super) async fn submit(
    url: &Url,
    anchors: Option<&Anchors>,
    submission: &Submission,
) -> Outcome<Verdict> {
    let request = Request::builder()
        .method(Method::POST)
        .uri(&url.path)
        .header(HOST, url.authority())
        .header(CONTENT_TYPE, "text/plain; charset=utf-8")
        .body(Full::new(Bytes::from(submission.to_body())))
        .or_fail("cannot make the request")?;
    let exchange = async {
        let answer = send(url, anchors, request).await?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await;
        let body = body.map_err(|error| url.unreachable().because(error))?;
        Ok::<_, Failure>((head, body.to_bytes()))
    };
    let (head, body) = tokio::time::timeout(DEADLINE, exchange)
        .await
        .map_err(|_| url.unreachable().because("no answer in time"))??;
    let text = String::from_utf8_lossy(&body);
    let kind = head.headers.get(CONTENT_TYPE);
    let is_size = kind.is_some_and(|kind| kind.as_bytes() == SIZE.as_bytes());
    Ok(match head.status {
        StatusCode::OK => Verdict::Cosigned(text.into_owned()),
        StatusCode::CONFLICT if is_size => Verdict::OtherSize(
            text.strip_suffix('\n')
                .unwrap_or(&text)
                .parse()
                .or_fail(format!("{url} answers with no size"))?,
        ),
        status => Verdict::Refused {
            status: status.as_u16(),
            reason: text.trim().chars().take(MAX_REASON).collect(),
        },
    })
}

async fn send(
    url: &Url,
    anchors: Option<&Anchors>,
    request: Request<Full<Bytes>>,
) -> Outcome<Response<Incoming>> {
    let lost = |error: io::Error| url.unreachable().because(error);
    let stream = TcpStream::connect((url.host.as_str(), url.port))
        .await
        .map_err(lost)?;
    match anchors.filter(|_| url.is_https) {
        Some(anchors) => {
            let stream = anchors.connect(&url.host, stream).await.map_err(lost)?;
            exchange(url, stream, request).await
        }
        None if url.is_https => Err(url.unreachable().because("no trust anchors for https")),
        None => exchange(url, stream, request).await,
    }
}

async fn exchange(
    url: &Url,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
) -> Outcome<Response<Incoming>> {
    let lost = |error: hyper::Error| url.unreachable().because(error);
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(lost)?;
    // Ends with the connection, whose errors the sender reports.
    tokio::spawn(connection);
    sender.send_request(request).await.map_err(lost)
}

#[cfg(test)]
mod tests;
