//! What the responder's key may sign: the status of one certificate of this CA, in a whole ResponseData (RFC 6960,
//! section 4.2.1) that the service has understood.

use assay_ocsp::{Issuer, ResponseData};
use assay_types::{CertIdHash, Timestamp};
use const_oid::AssociatedOid;
use const_oid::db::rfc5280::ID_KP_OCSP_SIGNING;
use const_oid::db::rfc6960::ID_PKIX_OCSP_NOCHECK;
use der::Decode;
use openssl::sha::{sha1, sha256};
use openssl::x509::X509;
use thiserror::Error;
use x509_cert::Certificate;
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage};

use assay_hsm::KeyRole;

use crate::error::StartError;
use crate::settings::{CaSettings, KeySettings};

/// The rule that refused a ResponseData.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum Refusal {
    #[error(
        "the structure is not the DER of a ResponseData with one status and without extensions"
    )]
    Malformed,
    #[error("the responderID is not the SHA-1 hash of the signing key")]
    WrongResponder,
    #[error("the certID does not name the CA that this responder answers for")]
    WrongIssuer,
    #[error("thisUpdate, producedAt and nextUpdate are not in this order")]
    WrongTimes,
    #[error("nextUpdate is later than the responder's own certificate")]
    OutlivesResponder,
}

/// Whom the key answers as, and for which CA.
pub(crate) struct Responder {
    key_hash: [u8; 20],
    /// The CA, by each hash algorithm of a CertID.
    issuers: [Issuer; 2],
    not_after: Timestamp,
}

impl Responder {
    /// The responder of a CA, if it has one, its certificate found to be a delegation by the CA (RFC 6960, section
    /// 4.2.2.2). That the key is the certificate's is proven with the other keys.
    pub(crate) fn of(ca: &CaSettings) -> Result<Option<Self>, StartError> {
        let own = ca.keys.iter().find(|key| key.role == KeyRole::OcspSign);
        let delegated = own.map(|own| {
            Self::delegated(own, &ca.certificate).map_err(|reason| {
                StartError::CertificateMismatch {
                    role: KeyRole::OcspSign,
                    uri: own.uri.to_string(),
                    reason: format!("{reason}; `assay-ceremony ocsp` makes one that is right"),
                }
            })
        });
        delegated.transpose()
    }

    fn delegated(own: &KeySettings, ca_der: &[u8]) -> Result<Self, &'static str> {
        let own_der = own
            .certificate
            .as_deref()
            .ok_or("the responder's certificate is missing")?;
        let unreadable = "the responder's certificate, or the CA's, cannot be read";
        let ca = Certificate::from_der(ca_der).map_err(|_| unreadable)?;
        let certificate = Certificate::from_der(own_der).map_err(|_| unreadable)?;
        let tbs = certificate.tbs_certificate();
        let signed = X509::from_der(ca_der)
            .and_then(|ca| X509::from_der(own_der)?.verify(&*ca.public_key()?))
            .unwrap_or(false);
        if !signed || tbs.issuer() != ca.tbs_certificate().subject() {
            return Err("the responder's certificate is not issued by the CA");
        }
        if extension::<ExtendedKeyUsage>(tbs)?.is_none_or(|usage| usage.0 != [ID_KP_OCSP_SIGNING]) {
            return Err("the responder's extendedKeyUsage is not OCSPSigning alone");
        }
        if extension::<KeyUsage>(tbs)?.is_none_or(|usage| !usage.digital_signature()) {
            return Err("the responder's keyUsage lacks digitalSignature");
        }
        if extension::<BasicConstraints>(tbs)?.is_some_and(|constraints| constraints.ca) {
            return Err("the responder's certificate is that of a CA");
        }
        let extensions = tbs.extensions().map_or(&[][..], Vec::as_slice);
        if !extensions
            .iter()
            .any(|one| one.extn_id == ID_PKIX_OCSP_NOCHECK)
        {
            return Err("the responder's certificate lacks id-pkix-ocsp-nocheck");
        }
        let of_sha1 = Issuer::of(&ca, CertIdHash::Sha1, |octets| sha1(octets).to_vec());
        let of_sha256 = Issuer::of(&ca, CertIdHash::Sha256, |octets| sha256(octets).to_vec());
        let own_key = tbs.subject_public_key_info();
        Ok(Self {
            key_hash: sha1(own_key.subject_public_key.raw_bytes()),
            issuers: [
                of_sha1.map_err(|_| unreadable)?,
                of_sha256.map_err(|_| unreadable)?,
            ],
            not_after: tbs.validity().not_after.to_system_time().into(),
        })
    }

    /// Accepts a ResponseData of this responder about one certificate of its CA.
    pub(crate) fn check(&self, response_data: &[u8]) -> Result<(), Refusal> {
        // It reads one encoding alone, so that what was understood is all that is signed.
        let data = ResponseData::from_der(response_data).map_err(|error| match error {
            assay_ocsp::Error::UnsupportedHash => Refusal::WrongIssuer,
            assay_ocsp::Error::Malformed
            | assay_ocsp::Error::SeveralCertificates
            | assay_ocsp::Error::Unencodable => Refusal::Malformed,
        })?;
        if data.responder != self.key_hash {
            return Err(Refusal::WrongResponder);
        }
        if !self.issuers.contains(&data.cert_id.issuer) {
            return Err(Refusal::WrongIssuer);
        }
        if data.this_update > data.produced_at || data.produced_at >= data.next_update {
            return Err(Refusal::WrongTimes);
        }
        if data.next_update > self.not_after {
            return Err(Refusal::OutlivesResponder);
        }
        Ok(())
    }
}

fn extension<'a, T: Decode<'a, Error = der::Error> + AssociatedOid>(
    tbs: &'a x509_cert::TbsCertificate,
) -> Result<Option<T>, &'static str> {
    let found = tbs.get_extension::<T>();
    found
        .map(|found| found.map(|(_, value)| value))
        .map_err(|_| "an extension of the responder's certificate cannot be read")
}
