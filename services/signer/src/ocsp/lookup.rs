//! Answers to frontends: from the store, within bounds of their own, which no enrolment shares.

use assay_ocsp::{BasicResponse, Issuer};
use assay_proto::v1::ocsp_response_reply::Outcome;
use assay_proto::v1::{
    Busy, OcspHash, OcspIssuer, OcspResponseRequest, OcspSigned, OcspUnknown, OcspWaiting,
};
use assay_runtime::buckets::Buckets;
use assay_store::{OcspFound, OcspRow};
use assay_types::{CertIdHash, Serial};
use tokio::sync::Semaphore;

use super::Ocsp;
use crate::admission::MAX_FRONTENDS;

/// Questions at the store at a time: a part of its readers' queue, so that there is always room for enrolments.
const AT_A_TIME: usize = 32;
/// When a frontend may ask again.
const RETRY_AFTER_SECONDS: u32 = 1;
/// A revocation is to be seen within this by whoever asks through an HTTP cache.
const MAX_AGE_SECONDS: u32 = 300;

pub(super) struct Lookups {
    at_a_time: Semaphore,
    frontends: Buckets<String>,
}

impl Lookups {
    pub(super) fn new(rate: u32) -> Self {
        Self {
            at_a_time: Semaphore::new(AT_A_TIME),
            frontends: Buckets::new(rate, rate, MAX_FRONTENDS),
        }
    }
}

impl Ocsp {
    /// The response that a frontend asks for; `None` where it is of another CA.
    pub(crate) async fn answer(
        &self,
        frontend: &str,
        request: &OcspResponseRequest,
    ) -> Option<Outcome> {
        let (hash, serial) = self.of_ours(request)?;
        Some(self.look_up(frontend, hash, serial).await)
    }

    async fn look_up(&self, frontend: &str, hash: CertIdHash, serial: Serial) -> Outcome {
        let busy = Outcome::Busy(Busy {
            retry_after_seconds: RETRY_AFTER_SECONDS,
        });
        let Ok(_one_of_few) = self.lookups.at_a_time.try_acquire() else {
            return busy;
        };
        if !self.lookups.frontends.take(&frontend.to_owned()) {
            return busy;
        }
        let now = self.recorder.timestamp();
        match self
            .store
            .find_ocsp(self.ca_id.clone(), serial, hash, now)
            .await
        {
            Ok(OcspFound::Unknown) => Outcome::Unknown(OcspUnknown {}),
            Ok(OcspFound::Waiting) => Outcome::Waiting(OcspWaiting {}),
            Ok(OcspFound::Signed(row)) => signed(&row),
            Err(error) => {
                tracing::warn!(%error, "an OCSP response cannot be read");
                busy
            }
        }
    }

    fn of_ours(&self, request: &OcspResponseRequest) -> Option<(CertIdHash, Serial)> {
        let OcspResponseRequest { issuer, serial } = request;
        let issuer = issuer.as_ref()?;
        let hash = match issuer.hash() {
            OcspHash::Sha1 => CertIdHash::Sha1,
            OcspHash::Sha256 => CertIdHash::Sha256,
            OcspHash::Unspecified => return None,
        };
        let OcspIssuer {
            name_hash,
            key_hash,
            ..
        } = issuer;
        let asked = Issuer {
            hash,
            name_hash: name_hash.clone(),
            key_hash: key_hash.clone(),
        };
        self.issuers.contains(&asked).then_some(())?;
        Some((hash, Serial::try_from(serial.as_slice()).ok()?))
    }
}

fn signed(row: &OcspRow) -> Outcome {
    let whole = BasicResponse::from_der(&row.response).and_then(|kept| {
        BasicResponse {
            certificate: Some(row.certificate.clone()),
            ..kept
        }
        .to_response()
    });
    match whole {
        Ok(response) => Outcome::Signed(OcspSigned {
            response,
            this_update: Some(row.this_update.into()),
            next_update: Some(row.next_update.into()),
            max_age_seconds: MAX_AGE_SECONDS,
        }),
        Err(error) => {
            tracing::error!(%error, "a kept OCSP response cannot be decoded");
            Outcome::Waiting(OcspWaiting {})
        }
    }
}
