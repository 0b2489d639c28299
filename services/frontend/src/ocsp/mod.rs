//! OCSP for relying parties: from memory while it is fresh, else from the signer, which has all responses signed already.

mod answer;
mod cache;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use assay_ocsp::{CertId, Error, Issuer, MAX_REQUEST, Unsuccessful};
use assay_proto::v1::ocsp_response_reply::Outcome;
use assay_proto::v1::{OcspHash, OcspIssuer, OcspResponseRequest};
use assay_runtime::buckets::Bucket;
use assay_scep_http::decode_get_message;
use assay_types::CertIdHash;
use http_body_util::Full;
use hyper::Response;
use hyper::body::Bytes;
use hyper::header::HeaderMap;
use tokio::sync::Semaphore;

use crate::observe;
use crate::signer::Signer;
use answer::{Status, outcome, without_status};
use cache::{Cache, Known};

/// Characters of a GET's request after `/ocsp/`: base64 of that, each character escaped. RFC 5019 has clients POST above
/// 255 octets.
pub(crate) const MAX_GET: usize = MAX_REQUEST.div_ceil(3) * 4 * 3;
/// Certificates that are not in memory, asked for a second; below the signer's own limit for a frontend by what refreshing
/// takes, so that a flood of serials that nobody has cannot keep the status of another certificate from being renewed.
const NEW_A_SECOND: u32 = 500;
/// Questions at the signer at a time, of either kind.
const NEW_AT_A_TIME: usize = 16;
const REFRESHES_AT_A_TIME: usize = 8;

/// Whether a path asks for OCSP, and what comes after it: a GET's request in base64.
pub(crate) fn path(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("/ocsp")?;
    if rest.is_empty() {
        return Some(rest);
    }
    // A responder's URL may end with a slash, and no DER begins with one.
    rest.starts_with('/').then(|| rest.trim_start_matches('/'))
}

/// An OCSP request as HTTP brought it.
pub(crate) enum Asked<'a> {
    /// Base64, percent-escaped (RFC 6960 appendix A.1).
    Get(&'a str),
    Post(&'a [u8]),
}

/// What all connections share.
pub(crate) struct Ocsp {
    signer: Signer,
    cache: Mutex<Cache>,
    new: Bucket,
    new_at_work: Semaphore,
    refreshes_at_work: Semaphore,
}

impl Ocsp {
    pub(crate) fn new(signer: Signer) -> Self {
        Self {
            signer,
            cache: Mutex::default(),
            new: Bucket::new(NEW_A_SECOND),
            new_at_work: Semaphore::new(NEW_AT_A_TIME),
            refreshes_at_work: Semaphore::new(REFRESHES_AT_A_TIME),
        }
    }

    /// The response, and the outcome's name in metrics and log lines.
    pub(crate) async fn respond(
        &self,
        asked: Asked<'_>,
        issuers: &[Issuer],
        conditions: &HeaderMap,
        head: bool,
    ) -> (Response<Full<Bytes>>, &'static str) {
        match self.status(asked, issuers).await {
            Ok(status) => (status.respond(conditions, head), "ok"),
            Err(unsuccessful) => (without_status(unsuccessful, head), outcome(unsuccessful)),
        }
    }

    async fn status(
        &self,
        asked: Asked<'_>,
        issuers: &[Issuer],
    ) -> Result<Arc<Status>, Unsuccessful> {
        let id = match asked {
            Asked::Post(request) => CertId::from_request(request),
            Asked::Get(text) => match decode_get_message(text.as_bytes()) {
                Ok(request) => CertId::from_request(&request),
                Err(_) => Err(Error::Malformed),
            },
        };
        let id = id.map_err(|error| match error {
            Error::Malformed | Error::Unencodable => Unsuccessful::MalformedRequest,
            Error::SeveralCertificates | Error::UnsupportedHash => Unsuccessful::Unauthorized,
        })?;
        if !issuers.contains(&id.issuer) {
            return Err(Unsuccessful::Unauthorized);
        }
        let known = self.lock().find(&id, Instant::now());
        match known {
            Known::Fresh(status) if status.holds() => Ok(status),
            Known::Fresh(status) | Known::Stale(status) => self.refresh(id, status).await,
            Known::Nothing => self.fetch(id).await,
        }
    }

    /// Asks again. Where there is no answer, what is at hand is told until it ends.
    async fn refresh(&self, id: CertId, status: Arc<Status>) -> Result<Arc<Status>, Unsuccessful> {
        let answered = match self.refreshes_at_work.try_acquire() {
            Ok(_one_of_few) => self.ask(&id).await,
            Err(_) => None,
        };
        match answered {
            Some(answer) => answer,
            None => {
                self.lock().unanswered(&id, Instant::now());
                if status.holds() {
                    Ok(status)
                } else {
                    Err(Unsuccessful::TryLater)
                }
            }
        }
    }

    async fn fetch(&self, id: CertId) -> Result<Arc<Status>, Unsuccessful> {
        let Ok(_one_of_few) = self.new_at_work.try_acquire() else {
            return Err(Unsuccessful::TryLater);
        };
        if !self.new.take() {
            return Err(Unsuccessful::TryLater);
        }
        self.ask(&id).await.unwrap_or(Err(Unsuccessful::TryLater))
    }

    /// The signer's answer, kept; `None` where it gives none.
    async fn ask(&self, id: &CertId) -> Option<Result<Arc<Status>, Unsuccessful>> {
        let CertId { issuer, serial } = id;
        let request = OcspResponseRequest {
            issuer: Some(OcspIssuer {
                hash: match issuer.hash {
                    CertIdHash::Sha1 => OcspHash::Sha1,
                    CertIdHash::Sha256 => OcspHash::Sha256,
                }
                .into(),
                name_hash: issuer.name_hash.clone(),
                key_hash: issuer.key_hash.clone(),
            }),
            serial: serial.clone(),
        };
        let outcome = match self.signer.ocsp_response(request).await {
            Ok(reply) => reply.outcome?,
            Err(status) => {
                tracing::debug!(code = ?status.code(), reason = status.message(), "no OCSP response");
                return None;
            }
        };
        let mut cache = self.lock();
        let answer = match outcome {
            Outcome::Signed(signed) => match Status::try_from(signed) {
                Ok(status) => {
                    let status = Arc::new(status);
                    cache.keep(id.clone(), Arc::clone(&status), Instant::now());
                    Ok(status)
                }
                Err(error) => {
                    tracing::error!(%error, "an OCSP response of the signer refused");
                    return None;
                }
            },
            // What was told before is not true any more.
            Outcome::Unknown(_) => {
                cache.forget(id);
                Err(Unsuccessful::Unauthorized)
            }
            Outcome::Waiting(_) => {
                cache.forget(id);
                Err(Unsuccessful::TryLater)
            }
            Outcome::Busy(_) => return None,
        };
        observe::ocsp_cached(cache.len());
        Some(answer)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_ocsp_may_hold_a_request() {
        for (given, found) in [
            ("/ocsp", Some("")),
            ("/ocsp/", Some("")),
            ("/ocsp/MFE%3D", Some("MFE%3D")),
            ("/ocsp//MFE/b", Some("MFE/b")),
            ("/ocspx", None),
            ("/crl/ca.crl", None),
        ] {
            assert_eq!(path(given), found, "{given}");
        }
    }
}
