//! HTTP to a SCEP server (RFC 8894, section 4): one connection, kept alive.
//!
//! The pool of hyper-util's client does not promise one connection: when a request comes before the last connection is back
//! in the pool, it opens another. A pool of one made 500 connections for 5,000 requests sent in turn, and a load test would
//! measure that.

use http_body_util::{BodyExt, Collected, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST, RETRY_AFTER};
use hyper::http::response::Parts;
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::{ANSWER_DEADLINE, Cause, Error, Result};

/// Largest answer taken: a certificate list of a deep chain is a hundred times smaller.
const MAX_ANSWER: usize = 1024 * 1024;
const HTTP_PORT: u16 = 80;
/// Answered only while a CA is to take over.
pub(crate) const NEXT_CA: &str = "GetNextCACert";

/// A SCEP URL, http only: SCEP protects its messages itself.
#[derive(Clone, Debug)]
pub struct Url {
    text: String,
    host: String,
    port: u16,
    path: String,
}

impl Url {
    /// Reads `http://HOST[:PORT]/PATH`.
    ///
    /// # Errors
    /// The text is something else.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = || Error::Url(text.to_owned());
        let uri: Uri = text.parse().map_err(|_| wrong())?;
        let (Some("http"), Some(host)) = (uri.scheme_str(), uri.host()) else {
            return Err(wrong());
        };
        Ok(Self {
            text: text.to_owned(),
            host: host.to_owned(),
            port: uri.port_u16().unwrap_or(HTTP_PORT),
            path: uri.path().to_owned(),
        })
    }

    fn unreachable(&self, source: impl Into<Cause>) -> Error {
        Error::Unreachable {
            url: self.text.clone(),
            source: Some(source.into()),
        }
    }

    /// Nothing came within the deadline.
    fn late(&self) -> Error {
        self.unreachable("no answer in time")
    }
}

impl std::fmt::Display for Url {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// An open connection; opened anew when the server has closed it between two requests.
pub struct Connection {
    url: Url,
    sender: SendRequest<Full<Bytes>>,
    /// Whether it has brought an answer: only then can the server have closed it for its age or for having been idle.
    answered: bool,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// The server cannot be reached within 30 s.
    pub async fn open(url: &Url) -> Result<Self> {
        Ok(Self {
            url: url.clone(),
            sender: dial(url).await?,
            answered: false,
        })
    }

    /// GetCACert, GetCACaps and the like; returns the body.
    ///
    /// # Errors
    /// The server cannot be reached, or answers with another status than 200.
    pub async fn get(&mut self, operation: &str) -> Result<Bytes> {
        self.send(Method::GET, operation, Bytes::new()).await
    }

    /// PKIOperation by POST; returns the body.
    ///
    /// # Errors
    /// As for [`Connection::get`].
    pub async fn post(&mut self, message: Bytes) -> Result<Bytes> {
        self.send(Method::POST, "PKIOperation", message).await
    }

    /// The same, with the head of the answer.
    ///
    /// # Errors
    /// As for [`Connection::get`].
    pub async fn post_whole(&mut self, message: Bytes) -> Result<(Parts, Bytes)> {
        self.exchange(Method::POST, "PKIOperation", message).await
    }

    async fn send(&mut self, method: Method, operation: &str, body: Bytes) -> Result<Bytes> {
        Ok(self.exchange(method, operation, body).await?.1)
    }

    async fn exchange(
        &mut self,
        method: Method,
        operation: &str,
        body: Bytes,
    ) -> Result<(Parts, Bytes)> {
        let failed = |source: Cause| Error::Exchange {
            operation: operation.to_owned(),
            source,
        };
        let request = Request::builder()
            .method(method)
            .uri(format!("{}?operation={operation}", self.url.path))
            .header(HOST, format!("{}:{}", self.url.host, self.url.port))
            .header(CONTENT_TYPE, "application/x-pki-message")
            .body(Full::new(body))
            .map_err(|error| failed(error.into()))?;
        let answer = match self.once(request.clone()).await? {
            Err(closed) if self.answered && is_closed(&closed) => {
                self.sender = dial(&self.url).await?;
                self.once(request).await?
            }
            answer => answer,
        };
        let (head, body) = answer.map_err(|error| self.url.unreachable(error))?;
        self.answered = true;
        let body = body.map_err(failed)?.to_bytes();
        if head.status == StatusCode::OK {
            return Ok((head, body));
        }
        Err(Error::Status {
            url: self.url.text.clone(),
            operation: operation.to_owned(),
            status: head.status,
            reason: String::from_utf8_lossy(&body).trim().to_owned(),
            retry_after: head
                .headers
                .get(RETRY_AFTER)
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned),
        })
    }

    /// One try, with the errors of the connection apart: some of them ask for another.
    async fn once(&mut self, request: Request<Full<Bytes>>) -> Result<hyper::Result<Answer>> {
        let exchange = async {
            self.sender.ready().await?;
            let answer = self.sender.send_request(request).await?;
            let (head, body) = answer.into_parts();
            Ok((head, Limited::new(body, MAX_ANSWER).collect().await))
        };
        tokio::time::timeout(ANSWER_DEADLINE, exchange)
            .await
            .map_err(|_| self.url.late())
    }
}

/// The head, and the body or why there is none.
type Answer = (Parts, Result<Collected<Bytes>, Cause>);

async fn dial(url: &Url) -> Result<SendRequest<Full<Bytes>>> {
    let connect = TcpStream::connect((url.host.trim_matches(['[', ']']), url.port));
    let stream = tokio::time::timeout(ANSWER_DEADLINE, connect)
        .await
        .map_err(|_| url.late())?
        .map_err(|error| url.unreachable(error))?;
    stream
        .set_nodelay(true)
        .map_err(|error| url.unreachable(error))?;
    let (sender, connection) = handshake(TokioIo::new(stream))
        .await
        .map_err(|error| url.unreachable(error))?;
    // Ends with the connection, whose errors the sender reports.
    tokio::spawn(connection);
    Ok(sender)
}

/// Whether the server closed the connection before it took the request. Sending a pkiMessage again is safe even if it did
/// take it: a retransmission is answered as the first was (RFC 8894, section 3.2.1.1).
fn is_closed(error: &hyper::Error) -> bool {
    error.is_closed() || error.is_canceled() || error.is_incomplete_message()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// A server that answers as many requests on each connection as given, and closes it without a word after the last;
    /// with the URL comes the number of connections that it will have taken.
    async fn server(answers: &'static [usize]) -> (Url, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/scep/any", listener.local_addr().unwrap());
        let serve = tokio::spawn(async move {
            for answers in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut bytes = [0; 4096];
                for _ in 0..*answers {
                    assert_ne!(stream.read(&mut bytes).await.unwrap(), 0);
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
                    stream.write_all(answer).await.unwrap();
                }
            }
        });
        (Url::parse(&url).unwrap(), serve)
    }

    #[tokio::test]
    async fn a_connection_closed_between_two_requests_is_opened_again() {
        let (url, serve) = server(&[2, 1]).await;
        let mut connection = Connection::open(&url).await.unwrap();
        for _ in 0..3 {
            assert_eq!(connection.get("GetCACaps").await.unwrap().as_ref(), b"ok");
        }
        serve.await.unwrap();
    }

    #[tokio::test]
    async fn a_server_that_closes_without_a_first_answer_is_not_asked_again() {
        let (url, serve) = server(&[0, 1]).await;
        let mut connection = Connection::open(&url).await.unwrap();
        let failure = connection.get("GetCACaps").await.unwrap_err();
        assert!(failure.is_passing(), "{failure}");
        assert!(!serve.is_finished(), "a second connection was made");
    }
}
