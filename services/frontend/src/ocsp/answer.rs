//! Responses as HTTP carries and caches them (RFC 6960 appendix A, RFC 5019 sections 5 and 6).

use std::time::SystemTime;

use assay_ocsp::Unsuccessful;
use assay_proto::Timestamp;
use assay_proto::v1::OcspSigned;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG, EXPIRES, HeaderMap, HeaderValue,
    LAST_MODIFIED,
};
use hyper::{Response, StatusCode};

use crate::cache::{etag, is_known_by};

const RESPONSE_TYPE: HeaderValue = HeaderValue::from_static("application/ocsp-response");

/// A signed response with its headers.
#[derive(Debug)]
pub(super) struct Status {
    content: Bytes,
    etag: HeaderValue,
    last_modified: HeaderValue,
    expires: HeaderValue,
    modified: SystemTime,
    next_update: SystemTime,
    max_age: u64,
}

/// Why a response of the signer's cannot be served.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("its times are to be from 1970 to 9999")]
pub(super) struct BadTimes;

impl Status {
    /// Past it the response tells nothing any more.
    pub(super) fn holds(&self) -> bool {
        SystemTime::now() < self.next_update
    }

    pub(super) fn len(&self) -> usize {
        self.content.len()
    }

    /// The answer to a GET or POST, or to a HEAD, which gets the same but for the content.
    pub(super) fn respond(&self, conditions: &HeaderMap, head: bool) -> Response<Full<Bytes>> {
        let unchanged = is_known_by(conditions, &self.etag, self.modified);
        let content = if unchanged || head {
            Bytes::new()
        } else {
            self.content.clone()
        };
        let mut response = Response::new(Full::new(content));
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, self.cache_control());
        headers.insert(ETAG, self.etag.clone());
        headers.insert(LAST_MODIFIED, self.last_modified.clone());
        headers.insert(EXPIRES, self.expires.clone());
        if unchanged {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        } else {
            headers.insert(CONTENT_TYPE, RESPONSE_TYPE);
            headers.insert(CONTENT_LENGTH, HeaderValue::from(self.content.len()));
        }
        response
    }

    /// RFC 5019 section 6.2; never longer than the response holds.
    fn cache_control(&self) -> HeaderValue {
        let left = self.next_update.duration_since(SystemTime::now());
        let age = left.unwrap_or_default().as_secs().min(self.max_age);
        HeaderValue::try_from(format!(
            "max-age={age}, public, no-transform, must-revalidate"
        ))
        .unwrap_or(HeaderValue::from_static("no-store"))
    }
}

impl TryFrom<OcspSigned> for Status {
    type Error = BadTimes;

    fn try_from(signed: OcspSigned) -> Result<Self, BadTimes> {
        let OcspSigned {
            response,
            this_update,
            next_update,
            max_age_seconds,
        } = signed;
        let modified = time(this_update)?;
        let next_update = time(next_update)?;
        let date = |at| HeaderValue::try_from(httpdate::fmt_http_date(at)).map_err(|_| BadTimes);
        Ok(Self {
            etag: etag(&response).map_err(|_| BadTimes)?,
            last_modified: date(modified)?,
            expires: date(next_update)?,
            max_age: max_age_seconds.into(),
            content: response.into(),
            modified,
            next_update,
        })
    }
}

fn time(time: Option<Timestamp>) -> Result<SystemTime, BadTimes> {
    SystemTime::try_from(time.ok_or(BadTimes)?).map_err(|_| BadTimes)
}

/// The outcome's name in metrics and log lines.
pub(super) fn outcome(unsuccessful: Unsuccessful) -> &'static str {
    match unsuccessful {
        Unsuccessful::MalformedRequest => "ocsp-malformed",
        Unsuccessful::TryLater => "ocsp-try-later",
        Unsuccessful::Unauthorized => "ocsp-unauthorized",
    }
}

/// An answer without a signature (RFC 6960 section 2.3), which nobody keeps; HTTP itself has worked.
pub(super) fn without_status(unsuccessful: Unsuccessful, head: bool) -> Response<Full<Bytes>> {
    let content = Bytes::copy_from_slice(&unsuccessful.to_der());
    let length = HeaderValue::from(content.len());
    let mut response = Response::new(Full::new(if head { Bytes::new() } else { content }));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, RESPONSE_TYPE);
    headers.insert(CONTENT_LENGTH, length);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
