//! HTTP as the plainest SCEP clients speak it: HTTP/1.0 without a Host header, one request a connection.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, lookup_host};

/// The frontend answers, if only with 503, long before this.
const EXCHANGE: Duration = Duration::from_secs(60);

/// A whole HTTP response.
#[derive(Debug)]
pub struct Response {
    /// Status code.
    pub status: u16,
    headers: Vec<(String, String)>,
    /// Body, whole.
    pub body: Vec<u8>,
}

impl Response {
    /// A header's value, by its lowercase name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// GET of a whole URL.
///
/// # Errors
///
/// When no response comes.
pub async fn get(url: &str) -> Result<Response> {
    exchange(Ipv4Addr::LOCALHOST, url, "GET", &[], &[]).await
}

/// POST of anything to a whole URL.
///
/// # Errors
///
/// When no response comes.
pub async fn post_as(url: &str, content_type: &str, body: &[u8]) -> Result<Response> {
    let headers = [("Content-Type", content_type)];
    exchange(Ipv4Addr::LOCALHOST, url, "POST", &headers, body).await
}

/// POST of a pkiMessage to a SCEP URL, RFC 8894 section 4.1.
///
/// # Errors
///
/// When no response comes.
pub async fn post(url: &str, body: &[u8]) -> Result<Response> {
    post_from(Ipv4Addr::LOCALHOST, url, body).await
}

/// POST of a text to a URL as it stands.
///
/// # Errors
///
/// When no response comes.
pub async fn post_text(url: &str, body: &str) -> Result<Response> {
    let headers = [("Content-Type", "text/plain; charset=utf-8")];
    exchange(Ipv4Addr::LOCALHOST, url, "POST", &headers, body.as_bytes()).await
}

/// A POST of a pkiMessage from another address of this machine: all of 127.0.0.0/8 are.
///
/// # Errors
///
/// When no response comes.
pub async fn post_from(client: Ipv4Addr, url: &str, body: &[u8]) -> Result<Response> {
    let url = format!("{url}?operation=PKIOperation");
    let headers = [("Content-Type", "application/x-pki-message")];
    exchange(client, &url, "POST", &headers, body).await
}

async fn exchange(
    client: Ipv4Addr,
    url: &str,
    method: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Result<Response> {
    let rest = url
        .strip_prefix("http://")
        .with_context(|| format!("no plain HTTP URL: {url}"))?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let mut request = format!(
        "{method} /{path} HTTP/1.0\r\nContent-Length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");

    let talk = async {
        let server = lookup_host(authority).await?.next();
        let socket = TcpSocket::new_v4()?;
        socket.bind((client, 0).into())?;
        let mut stream = socket.connect(server.context("no address")?).await?;
        stream.write_all(request.as_bytes()).await?;
        stream.write_all(body).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        parse(&answer)
    };
    let answer = tokio::time::timeout(EXCHANGE, talk).await;
    answer.with_context(|| format!("{method} {url}: no answer within {EXCHANGE:?}"))?
}

fn parse(answer: &[u8]) -> Result<Response> {
    const END_OF_HEAD: &[u8] = b"\r\n\r\n";
    let end = answer
        .windows(END_OF_HEAD.len())
        .position(|window| window == END_OF_HEAD);
    let Some((head, rest)) = end.and_then(|end| answer.split_at_checked(end)) else {
        bail!(
            "not a whole HTTP response: {:?}",
            String::from_utf8_lossy(answer)
        );
    };
    let body = rest.get(END_OF_HEAD.len()..).unwrap_or_default().to_vec();
    let head = std::str::from_utf8(head)?;
    let mut lines = head.lines();
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1))
        .context("no status line")?;
    let headers: Vec<_> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let response = Response {
        status: status.parse()?,
        headers,
        body,
    };
    if let Some(length) = response.header("content-length") {
        anyhow::ensure!(
            length.parse::<usize>()? == response.body.len(),
            "Content-Length is {length}, the body has {} bytes",
            response.body.len(),
        );
    }
    Ok(response)
}
