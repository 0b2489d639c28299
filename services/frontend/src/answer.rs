//! What a device is told: the one place where outcomes become HTTP.

use std::fmt;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};

/// Overload passes in about the time of the operations in flight.
const RETRY_OVERLOADED: u32 = 2;
/// A bucket of any rate holds a place again by then.
const RETRY_ADDRESS: u32 = 1;
/// A signer that restarts is back within seconds.
const RETRY_AWAY: u32 = 5;
/// A signer's own advice is bounded, so that a mistake there cannot send devices away for good.
const MAX_RETRY: u32 = 3_600;

const PLAIN: HeaderValue = HeaderValue::from_static("text/plain");

/// A body of the type that RFC 8894 wants, exactly and without parameters.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) body: Bytes,
    pub(crate) content_type: &'static str,
}

impl Answer {
    pub(crate) fn into_response(self) -> Response<Full<Bytes>> {
        response(
            StatusCode::OK,
            HeaderValue::from_static(self.content_type),
            self.body,
        )
    }
}

/// The methods of a path, as Allow lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Allowed(&'static str);

impl Allowed {
    /// RFC 8894 section 4.1.
    pub(crate) const SCEP: Self = Self("GET, POST");
    pub(crate) const FILE: Self = Self("GET, HEAD");
    /// RFC 6960 appendix A.1.
    pub(crate) const OCSP: Self = Self("GET, HEAD, POST");
}

impl fmt::Display for Allowed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.replace(", ", " or "))
    }
}

/// Why there is no answer; the text is the body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("nothing at this path; SCEP is at /scep/PROFILE")]
    UnknownPath,
    #[error("no such profile")]
    UnknownProfile,
    #[error("no next CA certificate")]
    NoNextCa,
    #[error("{0} only")]
    Method(Allowed),
    #[error("operation is to be GetCACaps, GetCACert, GetNextCACert or PKIOperation")]
    Operation,
    #[error("PKIOperation by GET needs message=, in base64")]
    Message,
    #[error("{0}")]
    Malformed(String),
    #[error("the URI is too long; use POST")]
    UriTooLong,
    #[error("the message is too large")]
    BodyTooLarge,
    #[error("the body did not arrive in time")]
    BodyTimeout,
    #[error("the body did not arrive whole")]
    BodyLost,
    #[error("too many requests from this address, try again")]
    AddressLimit,
    #[error("overloaded, try again")]
    Overloaded,
    #[error("the signer is overloaded, try again")]
    SignerBusy(u32),
    #[error("the signer cannot be reached, try again")]
    SignerAway,
    #[error("the signer could not answer")]
    SignerFailed,
}

impl Refusal {
    /// The status, and the outcome's name in metrics and log lines.
    fn class(&self) -> (StatusCode, &'static str) {
        match self {
            Self::UnknownPath => (StatusCode::NOT_FOUND, "unknown-path"),
            Self::UnknownProfile => (StatusCode::NOT_FOUND, "unknown-profile"),
            Self::NoNextCa => (StatusCode::NOT_FOUND, "no-next-ca"),
            Self::Method(_) => (StatusCode::METHOD_NOT_ALLOWED, "method"),
            Self::Operation => (StatusCode::BAD_REQUEST, "unknown-operation"),
            Self::Message => (StatusCode::BAD_REQUEST, "bad-message"),
            Self::Malformed(_) => (StatusCode::BAD_REQUEST, "malformed"),
            Self::UriTooLong => (StatusCode::URI_TOO_LONG, "too-large"),
            Self::BodyTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too-large"),
            Self::BodyTimeout => (StatusCode::REQUEST_TIMEOUT, "body-timeout"),
            Self::BodyLost => (StatusCode::BAD_REQUEST, "body-lost"),
            Self::AddressLimit => (StatusCode::SERVICE_UNAVAILABLE, "address-limit"),
            Self::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, "overloaded"),
            Self::SignerBusy(_) => (StatusCode::SERVICE_UNAVAILABLE, "signer-busy"),
            Self::SignerAway => (StatusCode::SERVICE_UNAVAILABLE, "signer-away"),
            Self::SignerFailed => (StatusCode::BAD_GATEWAY, "signer-failed"),
        }
    }

    pub(crate) fn outcome(&self) -> &'static str {
        self.class().1
    }

    fn retry_after(&self) -> Option<u32> {
        match self {
            Self::AddressLimit => Some(RETRY_ADDRESS),
            Self::Overloaded => Some(RETRY_OVERLOADED),
            Self::SignerBusy(seconds) => Some((*seconds).clamp(1, MAX_RETRY)),
            Self::SignerAway => Some(RETRY_AWAY),
            Self::UnknownPath
            | Self::UnknownProfile
            | Self::NoNextCa
            | Self::Method(_)
            | Self::Operation
            | Self::Message
            | Self::Malformed(_)
            | Self::UriTooLong
            | Self::BodyTooLarge
            | Self::BodyTimeout
            | Self::BodyLost
            | Self::SignerFailed => None,
        }
    }

    pub(crate) fn into_response(self) -> Response<Full<Bytes>> {
        let mut response = response(self.class().0, PLAIN, Bytes::from(format!("{self}\n")));
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after() {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Self::Method(allowed) = self {
            headers.insert(ALLOW, HeaderValue::from_static(allowed.0));
        }
        // What remains of the body is not worth reading.
        if matches!(
            self,
            Self::BodyTooLarge | Self::BodyTimeout | Self::BodyLost
        ) {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// A whole body has a Content-Length: HTTP/1.0 clients such as Cisco IOS know no chunking.
fn response(status: StatusCode, content_type: HeaderValue, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, content_type);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
