//! Bodies of GetCACert (RFC 8894 §4.2.1).

use assay_scep_http::{CA_CERTIFICATE_TYPE, CA_RA_CERTIFICATES_TYPE};
use thiserror::Error;

use crate::{
    Limits,
    asn1::ber,
    certificate::CertificateParts,
    cms::{signed_data::SignedData, write::certificates_only},
};

/// A certificate list could not be written or read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CertificateListError {
    /// Nothing to write.
    #[error("at least one certificate is needed")]
    Empty,
    /// An entry is not a certificate.
    #[error("entry {index} is not a DER certificate")]
    NotACertificate {
        /// Which, from 0.
        index: usize,
    },
    /// The body is neither a certificate nor a certs-only SignedData.
    #[error("the body is neither one certificate nor a certs-only SignedData")]
    NotAList,
}

/// Body and Content-Type of GetCACert: a lone CA certificate as it is, several as a certs-only SignedData in the given
/// order, which is to be RA certificates, issuing CA, chain.
///
/// # Errors
/// No certificate, or an entry that is none.
pub fn ca_certificates(
    certificates: &[Vec<u8>],
) -> Result<(Vec<u8>, &'static str), CertificateListError> {
    check(certificates)?;
    match certificates {
        [only] => Ok((only.clone(), CA_CERTIFICATE_TYPE)),
        several => Ok((certificates_only(several), CA_RA_CERTIFICATES_TYPE)),
    }
}

/// At least one, and all of them certificates.
pub(crate) fn check(certificates: &[Vec<u8>]) -> Result<(), CertificateListError> {
    if certificates.is_empty() {
        return Err(CertificateListError::Empty);
    }
    let bad = certificates
        .iter()
        .position(|der| CertificateParts::parse(der).is_none());
    bad.map_or(Ok(()), |index| {
        Err(CertificateListError::NotACertificate { index })
    })
}

/// The certificates of a GetCACert body of either type, in the order in which they stand there.
///
/// # Errors
/// The body is neither type.
pub fn parse_ca_certificates(body: &[u8]) -> Result<Vec<Vec<u8>>, CertificateListError> {
    if CertificateParts::parse(body).is_some() {
        return Ok(vec![body.to_vec()]);
    }
    let limits = Limits::default();
    let der = ber::normalise(body, &limits).map_err(|_| CertificateListError::NotAList)?;
    let list = SignedData::parse(&der, &limits).map_err(|_| CertificateListError::NotAList)?;
    Ok(list.certificates.into_iter().map(<[u8]>::to_vec).collect())
}

/// The CRLs (DER) of a SignedData that carries some, as the answer to GetCRL does (RFC 8894 §3.3.4).
///
/// # Errors
/// The body is no such SignedData.
pub fn parse_crls(body: &[u8]) -> Result<Vec<Vec<u8>>, CertificateListError> {
    let limits = Limits::of_replies();
    let der = ber::normalise(body, &limits).map_err(|_| CertificateListError::NotAList)?;
    let list = SignedData::parse(&der, &limits).map_err(|_| CertificateListError::NotAList)?;
    Ok(list.crls.into_iter().map(<[u8]>::to_vec).collect())
}
