//! OCSP: responses signed ahead of those who ask (RFC 5019), refreshed before they end, at once on a change of status.
//!
//! Whoever asks is answered from the store: no number of questions makes a token operation.

mod lookup;
mod responder;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use assay_hsm::{OperationError, Priority, Token};
use assay_ocsp::{BasicResponse, CertId, Issuer, ResponseData, Status};
use assay_store::{DueResponse, SignedResponse, Store, StoreError};
use assay_types::{CertIdHash, Serial, Timestamp};
use der::Decode;
use openssl::error::ErrorStack;
use openssl::sha::{sha1, sha256};
use x509_cert::Certificate;

use crate::clock::ClockJumped;
use crate::generation::Place;
use crate::issuing_ca::IssuingCa;
use crate::metrics;
use crate::recorder::Recorder;
use crate::revocation::x509_reason;
use crate::settings::{OcspSchedule, ResponderSettings};
use lookup::Lookups;
pub use lookup::OcspAnswer;
use responder::Responder;

/// The request id of a response's token operation.
const REQUEST_ID: &str = "ocsp";

/// Responses are spread over this part of the time from one to the next, so that those of one day do not all come due in
/// one hour for ever.
const SPREAD: u32 = 4;

/// A response is not signed again sooner than this, however near its responder's end is.
const LEAST_REFRESH: Duration = Duration::from_secs(5);

/// The responder of one CA.
pub struct Ocsp {
    token: Arc<dyn Token>,
    store: Store,
    recorder: Arc<Recorder>,
    ca_id: String,
    place: Place,
    issuers: Vec<Issuer>,
    responder: Responder,
    schedule: OcspSchedule,
    lookups: Lookups,
}

/// Why there is no new response. The one before stays, if the status did not change.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OcspError {
    #[error("the store gave nothing, or does not keep the response")]
    Store(#[from] StoreError),
    #[error("the responder's certificate, or that of the CA, cannot be decoded")]
    Certificate(#[from] der::Error),
    #[error("the response cannot be encoded")]
    Encoding(#[from] assay_ocsp::Error),
    #[error("the response was not signed")]
    Sign(#[from] OperationError),
    #[error("the token's signature does not verify")]
    Signature,
    #[error(
        "the responder's certificate has ended; `assay-ceremony ocsp` renews it, then restart the signer"
    )]
    ResponderExpired,
    #[error("the HSM service has no responder of this CA: hsm.toml has no [ca.ocsp]")]
    NoKey,
    #[error("OpenSSL failed")]
    OpenSsl(#[from] ErrorStack),
    #[error("no response is signed")]
    Clock(#[from] ClockJumped),
}

impl Ocsp {
    /// From here on what is issued waits for a response.
    pub(crate) async fn start(
        token: Arc<dyn Token>,
        store: Store,
        ca: &IssuingCa,
        place: Place,
        recorder: Arc<Recorder>,
        settings: ResponderSettings,
    ) -> Result<Self, OcspError> {
        let ResponderSettings {
            certificate,
            schedule,
        } = settings;
        let algorithm = token.ocsp_signature_algorithm().ok_or(OcspError::NoKey)?;
        let responder = Responder::new(certificate, algorithm)?;
        let ca_id = ca.id.clone();
        store
            .enable_ocsp(
                ca_id.clone(),
                responder.sha256,
                responder.certificate.clone(),
            )
            .await?;
        Ok(Self {
            issuers: issuers(&ca.certificate, schedule.sha256)?,
            lookups: Lookups::new(schedule.lookup_rate),
            token,
            store,
            recorder,
            ca_id,
            place,
            responder,
            schedule,
        })
    }

    /// The certificate of the responder, DER.
    pub(crate) fn certificate(&self) -> &[u8] {
        &self.responder.certificate
    }

    /// Whose certificates there are responses for.
    pub fn issuers(&self) -> &[Issuer] {
        &self.issuers
    }

    /// Signs and keeps the response of one certificate whose status has changed just now. Where that fails, the schedule
    /// does it as soon as it can.
    pub(crate) async fn renew(&self, serial: Serial) {
        if let Err(error) = self.renew_one(serial.clone()).await {
            tracing::error!(
                %serial,
                error = assay_runtime::telemetry::chain(&error),
                "no OCSP response for a changed status yet"
            );
        }
    }

    async fn renew_one(&self, serial: Serial) -> Result<(), OcspError> {
        let Some(due) = self.store.due_ocsp_of(serial).await? else {
            return Ok(());
        };
        let signed = self.sign(&due, Priority::Normal).await?;
        self.keep(vec![signed]).await?;
        Ok(())
    }

    async fn keep(&self, signed: Vec<SignedResponse>) -> Result<usize, StoreError> {
        self.store.keep_ocsp(self.responder.sha256, signed).await
    }

    /// One response for each hash algorithm, verified.
    async fn sign(
        &self,
        due: &DueResponse,
        priority: Priority,
    ) -> Result<SignedResponse, OcspError> {
        self.recorder.check_clock()?;
        let this_update = self.recorder.timestamp();
        let end = self.responder.not_after.into();
        let next_update = (this_update + self.schedule.validity).min(end);
        if next_update <= this_update {
            return Err(OcspError::ResponderExpired);
        }
        let status = match due.revoked {
            None => Status::Good,
            Some((at, reason)) => Status::Revoked {
                at,
                reason: Some(x509_reason(reason)),
            },
        };
        let mut signed = SignedResponse {
            serial: due.serial.clone(),
            version: due.version,
            sha1: Vec::new(),
            sha256: None,
            this_update,
            next_update,
            refresh_at: self.refresh_at(&due.serial, this_update, next_update),
        };
        for issuer in &self.issuers {
            let data = ResponseData {
                responder: self.responder.key_hash.to_vec(),
                produced_at: this_update,
                cert_id: CertId {
                    issuer: issuer.clone(),
                    serial: due.serial.as_bytes().to_vec(),
                },
                status,
                this_update,
                next_update,
            }
            .to_der()?;
            let signature = self.token.sign_ocsp(REQUEST_ID, priority, &data).await?;
            self.responder.verify(&data, &signature)?;
            let basic = BasicResponse {
                data,
                algorithm: self.responder.algorithm.to_der().to_vec(),
                signature,
                // The same in all responses: it is added when one is sent.
                certificate: None,
            };
            match issuer.hash {
                CertIdHash::Sha1 => signed.sha1 = basic.to_der()?,
                CertIdHash::Sha256 => signed.sha256 = Some(basic.to_der()?),
            }
        }
        metrics::ocsp_signed();
        Ok(signed)
    }

    /// By schedule, a little earlier by serial; and in time before an end that the responder's own certificate sets.
    fn refresh_at(
        &self,
        serial: &Serial,
        this_update: Timestamp,
        next_update: Timestamp,
    ) -> Timestamp {
        let refresh = self.schedule.refresh;
        let share = match serial.as_bytes() {
            [.., a, b] => u32::from(u16::from_be_bytes([*a, *b])),
            [_] | [] => 0,
        };
        let earlier = (refresh / SPREAD).saturating_mul(share) / (1 << u16::BITS);
        let after = (refresh - earlier)
            .min(next_update.since(this_update) / 2)
            .max(LEAST_REFRESH);
        this_update + after
    }
}

/// The CA as CertIDs name it.
fn issuers(ca: &[u8], with_sha256: bool) -> Result<Vec<Issuer>, OcspError> {
    let ca = Certificate::from_der(ca)?;
    let of_sha1 = Issuer::of(&ca, CertIdHash::Sha1, |octets| sha1(octets).to_vec())?;
    let mut issuers = vec![of_sha1];
    if with_sha256 {
        let of_sha256 = Issuer::of(&ca, CertIdHash::Sha256, |octets| sha256(octets).to_vec())?;
        issuers.push(of_sha256);
    }
    Ok(issuers)
}
