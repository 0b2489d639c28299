//! The certificate request for an offline root (RFC 2986).

use der::{Decode, Encode};
use openssl::x509::X509Req;
use x509_cert::name::Name;
use x509_cert::request::{CertReqInfo, Version};

use super::keys::Key;
use super::record::Record;
use super::signature;
use super::token::OpenToken;
use assay_console::failure::{OrFail, Outcome};
use assay_console::files;

/// The request's file among the certificates.
pub(super) const FILE: &str = "ca.csr";

/// Writes the request, signed by the issuing CA's key in the token.
pub(super) fn write(
    token: &OpenToken,
    ca: &Key,
    subject_der: &[u8],
    record: &Record<'_>,
) -> Outcome {
    let what = "cannot build the certificate request";
    let info = CertReqInfo {
        version: Version::V1,
        subject: Name::from_der(subject_der).or_fail(what)?,
        public_key: spki::SubjectPublicKeyInfoOwned::from_der(&ca.spki_der).or_fail(what)?,
        attributes: der::asn1::SetOfVec::new(),
    }
    .to_der()
    .or_fail(what)?;
    let signature = token.sign_request(&ca.uri, &info)?;
    let request = signature::assemble(&info, &ca.spki_der, &signature)?;
    let pem = X509Req::from_der(&request)
        .and_then(|request| request.to_pem())
        .or_fail(what)?;
    files::create(&record.path(FILE), &pem, files::PUBLIC)
}
