//! ResponseData (RFC 6960 section 4.2.1): what a responder signs. One status, by key, without a version (which is v1) and
//! without extensions; nothing that has either is decoded.

use std::time::Duration;

use assay_types::Timestamp;
use der::asn1::{GeneralizedTime, Null, OctetString};
use der::{Choice, Decode, Encode, Sequence};
use x509_cert::ext::pkix::CrlReason;

use crate::cert_id::CertIdDer;
use crate::{CertId, Error};

/// Maximum length of a ResponseData in octets. One with SHA-256 hashes and a serial number of 20 octets has about 250.
pub const MAX_RESPONSE_DATA: usize = 1_024;

/// The status of one certificate, and for how long it may be relied on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponseData {
    /// SHA-1 of the responder's public key: its ResponderID.
    pub responder: Vec<u8>,
    /// producedAt: when the response was signed.
    pub produced_at: Timestamp,
    /// The certificate.
    pub cert_id: CertId,
    /// Its status at `this_update`.
    pub status: Status,
    /// The time at which the status is known to be correct.
    pub this_update: Timestamp,
    /// The time at which a newer response is available.
    pub next_update: Timestamp,
}

/// CertStatus. A CA does not answer `unknown` about its own certificates, so it is not decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// The certificate is in force.
    Good,
    /// The certificate is revoked or on hold.
    Revoked {
        /// Since when.
        at: Timestamp,
        /// Why; `None` where no reason is given. An `unspecified` reason is left out when it is encoded, as in CRLs
        /// (RFC 5280 section 5.3.1).
        reason: Option<CrlReason>,
    },
}

#[derive(Sequence)]
struct ResponseDataDer {
    #[asn1(context_specific = "2", tag_mode = "EXPLICIT")]
    by_key: OctetString,
    produced_at: GeneralizedTime,
    responses: Vec<SingleResponse>,
}

#[derive(Sequence)]
struct SingleResponse {
    cert_id: CertIdDer,
    status: StatusDer,
    this_update: GeneralizedTime,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    next_update: GeneralizedTime,
}

#[derive(Choice)]
enum StatusDer {
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT")]
    Good(Null),
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", constructed = "true")]
    Revoked(RevokedInfo),
}

#[derive(Sequence)]
struct RevokedInfo {
    at: GeneralizedTime,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    reason: Option<CrlReason>,
}

impl ResponseData {
    /// Reads DER. The accepted encoding is unique: the same value encodes to the same octets.
    ///
    /// # Errors
    /// The input is not the DER of one status in the form above, is longer than [`MAX_RESPONSE_DATA`], or names the
    /// issuer by a hash algorithm that this crate does not know.
    pub fn from_der(der: &[u8]) -> Result<Self, Error> {
        if der.len() > MAX_RESPONSE_DATA {
            return Err(Error::Malformed);
        }
        let data = ResponseDataDer::from_der(der).map_err(|_| Error::Malformed)?;
        // The decoder is more lenient than DER in places, such as the sign octet of a number.
        if data.to_der().map_err(|_| Error::Malformed)? != der {
            return Err(Error::Malformed);
        }
        let [response] = data.responses.as_slice() else {
            return Err(Error::Malformed);
        };
        let cert_id = CertId::try_from(&response.cert_id)?;
        if !response.cert_id.has_null_parameters() {
            return Err(Error::Malformed);
        }
        Ok(Self {
            responder: data.by_key.as_bytes().to_vec(),
            produced_at: from_time(data.produced_at),
            cert_id,
            status: match &response.status {
                StatusDer::Good(Null) => Status::Good,
                StatusDer::Revoked(RevokedInfo { at, reason }) => Status::Revoked {
                    at: from_time(*at),
                    reason: *reason,
                },
            },
            this_update: from_time(response.this_update),
            next_update: from_time(response.next_update),
        })
    }

    /// The DER, which a responder signs.
    ///
    /// # Errors
    /// A time is before 1970 or after 9999, or the serial number is empty.
    pub fn to_der(&self) -> Result<Vec<u8>, Error> {
        let data = ResponseDataDer {
            by_key: OctetString::new(self.responder.as_slice()).map_err(|_| Error::Unencodable)?,
            produced_at: to_time(self.produced_at)?,
            responses: vec![SingleResponse {
                cert_id: CertIdDer::try_from(&self.cert_id)?,
                status: match self.status {
                    Status::Good => StatusDer::Good(Null),
                    Status::Revoked { at, reason } => StatusDer::Revoked(RevokedInfo {
                        at: to_time(at)?,
                        reason: reason.filter(|reason| *reason != CrlReason::Unspecified),
                    }),
                },
                this_update: to_time(self.this_update)?,
                next_update: to_time(self.next_update)?,
            }],
        };
        data.to_der().map_err(|_| Error::Unencodable)
    }
}

fn from_time(time: GeneralizedTime) -> Timestamp {
    Timestamp::default() + time.to_unix_duration()
}

/// In whole seconds (RFC 5019 section 2.2.4).
fn to_time(time: Timestamp) -> Result<GeneralizedTime, Error> {
    let seconds = u64::try_from(time.seconds()).map_err(|_| Error::Unencodable)?;
    GeneralizedTime::from_unix_duration(Duration::from_secs(seconds))
        .map_err(|_| Error::Unencodable)
}
