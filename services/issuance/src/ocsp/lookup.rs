//! Answers to frontends: from the store, within bounds of their own, which no enrolment shares.

use assay_ocsp::{BasicResponse, Issuer};
use assay_runtime::buckets::Buckets;
use assay_store::{OcspFound, OcspRow};
use assay_types::{CertIdHash, Serial, Timestamp};
use tokio::sync::Semaphore;

use super::Ocsp;
use crate::admission::MAX_FRONTENDS;

/// Questions at the store at a time: a part of its readers' queue, so that there is always room for enrolments.
const AT_A_TIME: usize = 32;
/// When a frontend may ask again.
const RETRY_AFTER_SECONDS: u32 = 1;

/// What is known of a certificate's status.
#[derive(Debug)]
pub enum OcspAnswer {
    /// A response.
    Signed {
        /// OCSPResponse, DER.
        response: Vec<u8>,
        /// thisUpdate.
        this_update: Timestamp,
        /// nextUpdate.
        next_update: Timestamp,
    },
    /// No unexpired certificate has the serial.
    Unknown,
    /// There is no response yet.
    Waiting,
    /// There is no room now.
    Busy {
        /// When to come back.
        retry_after_seconds: u32,
    },
}

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
    /// The response for `serial`; `None` where `issuer` is another CA or `serial` is not a serial number.
    pub async fn answer(
        &self,
        frontend: &str,
        issuer: &Issuer,
        serial: &[u8],
    ) -> Option<OcspAnswer> {
        self.issuers.contains(issuer).then_some(())?;
        let serial = Serial::try_from(serial).ok()?;
        Some(self.look_up(frontend, issuer.hash, serial).await)
    }

    async fn look_up(&self, frontend: &str, hash: CertIdHash, serial: Serial) -> OcspAnswer {
        let busy = OcspAnswer::Busy {
            retry_after_seconds: RETRY_AFTER_SECONDS,
        };
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
            Ok(OcspFound::Unknown) => OcspAnswer::Unknown,
            Ok(OcspFound::Waiting) => OcspAnswer::Waiting,
            Ok(OcspFound::Signed(row)) => signed(&row),
            Err(error) => {
                tracing::warn!(%error, "an OCSP response cannot be read");
                busy
            }
        }
    }
}

fn signed(row: &OcspRow) -> OcspAnswer {
    let whole = BasicResponse::from_der(&row.response).and_then(|kept| {
        BasicResponse {
            certificate: Some(row.certificate.clone()),
            ..kept
        }
        .to_response()
    });
    match whole {
        Ok(response) => OcspAnswer::Signed {
            response,
            this_update: row.this_update,
            next_update: row.next_update,
        },
        Err(error) => {
            tracing::error!(%error, "a kept OCSP response cannot be decoded");
            OcspAnswer::Waiting
        }
    }
}
