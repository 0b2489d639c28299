//! A CRL or a CA certificate as relying parties fetch it: cacheable, and not sent twice (RFC 9110, RFC 9111).

use std::time::SystemTime;

use assay_proto::v1::PublicFile;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, LAST_MODIFIED,
};
use hyper::{Response, StatusCode};
use openssl::sha::sha256;

/// Octets of the content's digest in its ETag: no two contents of one path meet in 128 bits.
const TAG_OCTETS: usize = 16;

/// Content with its headers, ready to be sent.
#[derive(Debug)]
pub(crate) struct File {
    content: Bytes,
    content_type: HeaderValue,
    cache_control: HeaderValue,
    etag: HeaderValue,
    last_modified: HeaderValue,
    modified: SystemTime,
}

/// Why a file of the signer's cannot be served.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FileError {
    #[error("its content type is to be visible ASCII")]
    ContentType,
    #[error("the time of its last change is to be from 1970 to 9999")]
    LastModified,
}

impl File {
    /// The answer to a GET, or to a HEAD, which gets the same but for the content.
    pub(crate) fn respond(&self, conditions: &HeaderMap, head: bool) -> Response<Full<Bytes>> {
        let unchanged = is_known_by(conditions, &self.etag, self.modified);
        let content = if unchanged || head {
            Bytes::new()
        } else {
            self.content.clone()
        };
        let mut response = Response::new(Full::new(content));
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, self.cache_control.clone());
        headers.insert(ETAG, self.etag.clone());
        headers.insert(LAST_MODIFIED, self.last_modified.clone());
        if unchanged {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        } else {
            headers.insert(CONTENT_TYPE, self.content_type.clone());
            headers.insert(CONTENT_LENGTH, HeaderValue::from(self.content.len()));
        }
        response
    }
}

/// RFC 9110 section 13.2.2: If-None-Match, where it is there, counts alone.
pub(crate) fn is_known_by(
    conditions: &HeaderMap,
    etag: &HeaderValue,
    modified: SystemTime,
) -> bool {
    let mut tags = conditions.get_all(IF_NONE_MATCH).iter().peekable();
    if tags.peek().is_some() {
        return tags
            .filter_map(|list| list.to_str().ok())
            .flat_map(|list| list.split(','))
            .map(str::trim)
            .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag);
    }
    conditions
        .get(IF_MODIFIED_SINCE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| httpdate::parse_http_date(value).ok())
        .is_some_and(|since| modified <= since)
}

/// A digest of the content.
pub(crate) fn etag(content: &[u8]) -> Result<HeaderValue, FileError> {
    let tag: String = sha256(content)
        .iter()
        .take(TAG_OCTETS)
        .map(|octet| format!("{octet:02x}"))
        .collect();
    header(format!("\"{tag}\""))
}

/// Of the four only the content type is the signer's own text.
fn header(text: String) -> Result<HeaderValue, FileError> {
    HeaderValue::try_from(text).map_err(|_| FileError::ContentType)
}

impl File {
    /// The file with its content, which the caller has compared with the hash.
    pub(super) fn new(file: PublicFile, content: Bytes) -> Result<Self, FileError> {
        let PublicFile {
            path: _,
            content_type,
            sha256: _,
            size: _,
            max_age_seconds,
            last_modified,
            further_paths: _,
        } = file;
        let modified = last_modified.ok_or(FileError::LastModified)?;
        let modified = SystemTime::try_from(modified).map_err(|_| FileError::LastModified)?;
        Ok(Self {
            content_type: header(content_type)?,
            cache_control: header(format!("public, max-age={max_age_seconds}"))?,
            etag: etag(&content)?,
            last_modified: header(httpdate::fmt_http_date(modified))?,
            content,
            modified,
        })
    }
}
