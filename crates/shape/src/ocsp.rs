//! A ResponseData (RFC 6960 section 4.2.1) with the status of one certificate of the CA that the responder answers for.

use std::time::Duration;

use assay_ocsp::{Issuer, ResponseData};
use assay_types::{CertIdHash, Hash, Serial, Timestamp};
use const_oid::AssociatedOid;
use const_oid::db::rfc5280::ID_KP_OCSP_SIGNING;
use const_oid::db::rfc6960::ID_PKIX_OCSP_NOCHECK;
use der::Decode;
use openssl::sha::{sha1, sha256};
use openssl::x509::X509;
use thiserror::Error;
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage};
use x509_cert::{Certificate, TbsCertificate};

use crate::CLOCK_TOLERANCE;
use crate::crl::Reason;

/// Whom a key answers as, and for which CA.
#[derive(Clone, Debug)]
pub struct Responder {
    key_hash: [u8; 20],
    /// The CA, by each hash algorithm of a CertID.
    issuers: [Issuer; 2],
    not_after: Timestamp,
    lifetime_max: Duration,
}

/// Why a configured responder cannot be used (RFC 6960 section 4.2.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ResponderError {
    /// Either of the two.
    #[error("the responder's certificate, or the CA's, cannot be decoded")]
    Unreadable,
    /// Another issuer, or a signature that does not verify.
    #[error("the responder's certificate is not issued by the CA")]
    NotIssued,
    /// Another purpose, or more than one.
    #[error("the responder's extendedKeyUsage is not OCSPSigning alone")]
    Purpose,
    /// It cannot sign.
    #[error("the responder's keyUsage lacks digitalSignature")]
    Usage,
    /// It could issue.
    #[error("the responder's certificate is that of a CA")]
    Ca,
    /// Clients would ask for its own status.
    #[error("the responder's certificate lacks id-pkix-ocsp-nocheck")]
    NoCheck,
}

/// A ResponseData that may be signed if it is the status of this certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusResponse {
    /// The certificate.
    pub serial: Serial,
    /// Its status.
    pub status: Status,
    /// When the status is known to be correct.
    pub this_update: Timestamp,
    /// When a newer response is available.
    pub next_update: Timestamp,
    /// SHA-256 of the ResponseData.
    pub digest: Hash,
}

/// The status of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// In force.
    Good,
    /// Revoked or on hold.
    Revoked {
        /// Since when.
        at: Timestamp,
        /// Why.
        reason: Reason,
    },
}

/// The rule that refused a ResponseData.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum OcspRefusal {
    /// Not DER, several statuses, extensions, `unknown`, or an explicit `unspecified`.
    #[error("the bytes are not the DER of a ResponseData with one status and without extensions")]
    Malformed,
    /// Another responder.
    #[error("the responderID is not the SHA-1 hash of the responder's key")]
    WrongResponder,
    /// Another CA.
    #[error("the certID does not name the CA that the responder answers for")]
    WrongIssuer,
    /// Longer than a certificate's can be.
    #[error("the certID's serial number is not a positive number of at most 20 bytes")]
    Serial,
    /// Made for another time.
    #[error(
        "thisUpdate or producedAt is more than {} from the service's clock",
        humantime::format_duration(CLOCK_TOLERANCE)
    )]
    WrongTime,
    /// Not in order.
    #[error("thisUpdate, producedAt and nextUpdate are not in this order")]
    TimeOrder,
    /// It would be relied on for too long.
    #[error("nextUpdate is more than {} after thisUpdate, the configured lifetime", humantime::format_duration(*.0))]
    TooLong(Duration),
    /// It would not verify.
    #[error("nextUpdate is later than the end of the responder's own certificate")]
    OutlivesResponder,
    /// A future date.
    #[error("the certificate is revoked in the future")]
    RevokedInFuture,
    /// removeFromCRL.
    #[error("the reason is not one that the service signs")]
    Reason,
}

impl Responder {
    /// The responder of this DER certificate for the CA of that one. That the key is the certificate's is the caller's to
    /// prove. No response is relied on for longer than `lifetime_max`.
    ///
    /// # Errors
    /// [`ResponderError`]: the certificate is not a delegation by the CA.
    pub fn new(
        ca: &[u8],
        responder: &[u8],
        lifetime_max: Duration,
    ) -> Result<Self, ResponderError> {
        let unreadable = |_| ResponderError::Unreadable;
        let ca_certificate = Certificate::from_der(ca).map_err(unreadable)?;
        let certificate = Certificate::from_der(responder).map_err(unreadable)?;
        let tbs = certificate.tbs_certificate();
        let is_signed = X509::from_der(ca)
            .and_then(|ca| X509::from_der(responder)?.verify(&*ca.public_key()?))
            .unwrap_or(false);
        if !is_signed || tbs.issuer() != ca_certificate.tbs_certificate().subject() {
            return Err(ResponderError::NotIssued);
        }
        if extension::<ExtendedKeyUsage>(tbs)?.is_none_or(|usage| usage.0 != [ID_KP_OCSP_SIGNING]) {
            return Err(ResponderError::Purpose);
        }
        if extension::<KeyUsage>(tbs)?.is_none_or(|usage| !usage.digital_signature()) {
            return Err(ResponderError::Usage);
        }
        if extension::<BasicConstraints>(tbs)?.is_some_and(|constraints| constraints.ca) {
            return Err(ResponderError::Ca);
        }
        let extensions = tbs.extensions().map_or(&[][..], Vec::as_slice);
        if !extensions
            .iter()
            .any(|extension| extension.extn_id == ID_PKIX_OCSP_NOCHECK)
        {
            return Err(ResponderError::NoCheck);
        }
        let of_sha1 = Issuer::of(&ca_certificate, CertIdHash::Sha1, |octets| {
            sha1(octets).to_vec()
        });
        let of_sha256 = Issuer::of(&ca_certificate, CertIdHash::Sha256, |octets| {
            sha256(octets).to_vec()
        });
        let key = &tbs.subject_public_key_info().subject_public_key;
        Ok(Self {
            key_hash: sha1(key.raw_bytes()),
            issuers: [
                of_sha1.map_err(|_| ResponderError::Unreadable)?,
                of_sha256.map_err(|_| ResponderError::Unreadable)?,
            ],
            not_after: tbs.validity().not_after.to_system_time().into(),
            lifetime_max,
        })
    }

    /// Accepts a ResponseData of this responder about one certificate of its CA. Whether the status is right is the
    /// caller's to compare.
    ///
    /// # Errors
    /// [`OcspRefusal`], the first rule that does not hold.
    pub fn check(&self, der: &[u8], now: Timestamp) -> Result<StatusResponse, OcspRefusal> {
        // It reads one encoding alone, and bounds its length.
        let data = ResponseData::from_der(der).map_err(|error| match error {
            assay_ocsp::Error::UnsupportedHash => OcspRefusal::WrongIssuer,
            assay_ocsp::Error::Malformed
            | assay_ocsp::Error::SeveralCertificates
            | assay_ocsp::Error::Unencodable => OcspRefusal::Malformed,
        })?;
        // An explicit `unspecified` is left out when it is written again.
        if data.to_der().ok().as_deref() != Some(der) {
            return Err(OcspRefusal::Malformed);
        }
        if data.responder != self.key_hash {
            return Err(OcspRefusal::WrongResponder);
        }
        if !self.issuers.contains(&data.cert_id.issuer) {
            return Err(OcspRefusal::WrongIssuer);
        }
        let is_near = |time: Timestamp| time.abs_diff(now) <= CLOCK_TOLERANCE;
        if !is_near(data.this_update) || !is_near(data.produced_at) {
            return Err(OcspRefusal::WrongTime);
        }
        if data.this_update > data.produced_at || data.produced_at >= data.next_update {
            return Err(OcspRefusal::TimeOrder);
        }
        if data.next_update.since(data.this_update) > self.lifetime_max {
            return Err(OcspRefusal::TooLong(self.lifetime_max));
        }
        if data.next_update > self.not_after {
            return Err(OcspRefusal::OutlivesResponder);
        }
        Ok(StatusResponse {
            serial: Serial::try_from(data.cert_id.serial.as_slice())
                .map_err(|_| OcspRefusal::Serial)?,
            status: status(data.status, data.this_update)?,
            this_update: data.this_update,
            next_update: data.next_update,
            digest: Hash::of(der),
        })
    }
}

fn status(status: assay_ocsp::Status, this_update: Timestamp) -> Result<Status, OcspRefusal> {
    let (at, reason) = match status {
        assay_ocsp::Status::Good => return Ok(Status::Good),
        assay_ocsp::Status::Revoked { at, reason } => (at, reason),
    };
    if at > this_update + CLOCK_TOLERANCE {
        return Err(OcspRefusal::RevokedInFuture);
    }
    let reason = match reason {
        None => Reason::Unspecified,
        Some(reason) => Reason::given(reason).ok_or(OcspRefusal::Reason)?,
    };
    Ok(Status::Revoked { at, reason })
}

fn extension<'a, T: Decode<'a, Error = der::Error> + AssociatedOid>(
    tbs: &'a TbsCertificate,
) -> Result<Option<T>, ResponderError> {
    let found = tbs.get_extension::<T>();
    found
        .map(|found| found.map(|(_, value)| value))
        .map_err(|_| ResponderError::Unreadable)
}
