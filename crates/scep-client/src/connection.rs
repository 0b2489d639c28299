//! HTTP to a SCEP server (RFC 8894, section 4): one connection, kept alive.

use http_body_util::{BodyExt, Collected, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST, RETRY_AFTER};
use hyper::http::response::Parts;
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::ANSWER_DEADLINE;
use crate::failure::{Exit, Failure, OrFail, Outcome};

/// Largest answer taken: a certificate list of a deep chain is a hundred times smaller.
const MAX_ANSWER: usize = 1024 * 1024;
const HTTP_PORT: u16 = 80;
/// Answered only while a CA is to take over.
pub(super) const NEXT_CA: &str = "GetNextCACert";

/// A SCEP URL, http only: SCEP protects its messages itself.
#[derive(Clone, Debug)]
pub(crate) struct Url {
    text: String,
    host: String,
    port: u16,
    path: String,
}

impl Url {
    pub(crate) fn parse(text: &str) -> Outcome<Self> {
        let wrong = || {
            Failure::usage(format!("{text} is no URL that this client can use"))
                .next("give http://HOST[:PORT]/scep/PROFILE")
        };
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

    fn unreachable(&self) -> Failure {
        Failure::new(
            Exit::Unreachable,
            format!("{} cannot be reached", self.text),
        )
        .next("see that assay-frontend runs and listens there")
    }
}

impl std::fmt::Display for Url {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// An open connection; opened anew when the server has closed it between two requests.
pub(crate) struct Connection {
    url: Url,
    sender: SendRequest<Full<Bytes>>,
    /// Whether it has brought an answer: only then can the server have closed it for its age or for having been idle.
    answered: bool,
}

impl Connection {
    pub(crate) async fn open(url: &Url) -> Outcome<Self> {
        Ok(Self {
            url: url.clone(),
            sender: dial(url).await?,
            answered: false,
        })
    }

    /// GetCACert, GetCACaps and the like.
    pub(crate) async fn get(&mut self, operation: &str) -> Outcome<Bytes> {
        self.send(Method::GET, operation, Bytes::new()).await
    }

    /// PKIOperation by POST.
    pub(crate) async fn post(&mut self, message: Bytes) -> Outcome<Bytes> {
        self.send(Method::POST, "PKIOperation", message).await
    }

    /// The same, with the head of the answer.
    pub(crate) async fn post_whole(&mut self, message: Bytes) -> Outcome<(Parts, Bytes)> {
        self.exchange(Method::POST, "PKIOperation", message).await
    }

    async fn send(&mut self, method: Method, operation: &str, body: Bytes) -> Outcome<Bytes> {
        Ok(self.exchange(method, operation, body).await?.1)
    }

    async fn exchange(
        &mut self,
        method: Method,
        operation: &str,
        body: Bytes,
    ) -> Outcome<(Parts, Bytes)> {
        let what = || format!("{operation} failed");
        let request = Request::builder()
            .method(method)
            .uri(format!("{}?operation={operation}", self.url.path))
            .header(HOST, format!("{}:{}", self.url.host, self.url.port))
            .header(CONTENT_TYPE, "application/x-pki-message")
            .body(Full::new(body))
            .or_fail(what())?;
        let answer = match self.once(request.clone()).await? {
            Err(closed) if self.answered && is_closed(&closed) => {
                self.sender = dial(&self.url).await?;
                self.once(request).await?
            }
            answer => answer,
        };
        let (head, body) = answer.map_err(|error| self.url.unreachable().because(error))?;
        self.answered = true;
        let body = body.or_fail(what())?.to_bytes();
        if head.status == StatusCode::OK {
            return Ok((head, body));
        }
        let reason = String::from_utf8_lossy(&body).trim().to_owned();
        let failure = Failure::new(
            if head.status == StatusCode::SERVICE_UNAVAILABLE {
                Exit::Unreachable
            } else {
                Exit::Failed
            },
            format!("{} answers {operation} with {}", self.url, head.status),
        );
        let failure = if reason.is_empty() {
            failure
        } else {
            failure.because(reason)
        };
        Err(
            match head
                .headers
                .get(RETRY_AFTER)
                .and_then(|value| value.to_str().ok())
            {
                Some(seconds) => failure.next(format!("try again in {seconds} s")),
                None if operation == NEXT_CA => {
                    failure.next("there is none to take over, or it has: see GetCACert")
                }
                None => failure.next("see that the URL names a profile that is in force"),
            },
        )
    }

    /// One try, with the errors of the connection apart: some of them ask for another.
    async fn once(&mut self, request: Request<Full<Bytes>>) -> Outcome<hyper::Result<Answer>> {
        let exchange = async {
            self.sender.ready().await?;
            let answer = self.sender.send_request(request).await?;
            let (head, body) = answer.into_parts();
            Ok((head, Limited::new(body, MAX_ANSWER).collect().await))
        };
        tokio::time::timeout(ANSWER_DEADLINE, exchange)
            .await
            .map_err(|_| self.url.unreachable().because("no answer in time"))
    }
}

/// The head, and the body or why there is none.
type Answer = (
    Parts,
    Result<Collected<Bytes>, Box<dyn std::error::Error + Send + Sync>>,
);

async fn dial(url: &Url) -> Outcome<SendRequest<Full<Bytes>>> {
    let connect = TcpStream::connect((url.host.trim_matches(['[', ']']), url.port));
    let stream = tokio::time::timeout(ANSWER_DEADLINE, connect)
        .await
        .map_err(|_| url.unreachable())?
        .map_err(|error| url.unreachable().because(error))?;
    stream
        .set_nodelay(true)
        .or_fail("cannot set up the connection")?;
    let (sender, connection) = handshake(TokioIo::new(stream))
        .await
        .map_err(|error| url.unreachable().because(error))?;
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

    /// A server that answers as many requests on each connection as told, and closes it without a word after the last;
    /// with the URL comes the number of connections that it will have taken.
    async fn server(answers: &'static [usize]) -> (Url, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/scep/any", listener.local_addr().unwrap());
        let serve = tokio::spawn(async move {
            for answers in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut octets = [0; 4096];
                for _ in 0..*answers {
                    assert_ne!(stream.read(&mut octets).await.unwrap(), 0);
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
        assert_eq!(failure.exit(), Exit::Unreachable);
        assert!(!serve.is_finished(), "a second connection was made");
    }
}
