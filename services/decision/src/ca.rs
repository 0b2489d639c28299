//! The issuing CA, as the builder and the lints see it: read from its certificate alone.

use std::time::{SystemTime, UNIX_EPOCH};

use assay_lint::{Expectation, IssuerCertificate, IssuerError};
use assay_policy::{Expected, Issuer};
use assay_types::Hash;
use const_oid::ObjectIdentifier;
use const_oid::db::rfc5912::{ID_EC_PUBLIC_KEY, RSA_ENCRYPTION, SECP_256_R_1, SECP_384_R_1};
use der::{Decode, Encode};
use x509_cert::Certificate;
use x509_cert::ext::pkix::SubjectKeyIdentifier;

/// DER AlgorithmIdentifiers of what a CA key signs with; each follows from the key (RFC 4055, RFC 5758).
const ECDSA_WITH_SHA256: &[u8] = b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02";
const ECDSA_WITH_SHA384: &[u8] = b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x03";
const SHA256_WITH_RSA: &[u8] = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b\x05\x00";

/// One issuing CA.
#[derive(Debug)]
pub struct Ca {
    /// For the builder.
    pub issuer: Issuer,
    /// For the lints.
    pub lint_issuer: IssuerCertificate,
    /// SHA-256 of the certificate.
    pub sha256: Hash,
}

/// A certificate that no certificate is issued under.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// Not a certificate.
    #[error("the CA certificate cannot be read")]
    Encoding(#[from] der::Error),
    /// Every certificate issued under it must name one.
    #[error("the CA certificate has no subject key identifier")]
    NoKeyIdentifier,
    /// No key that signs here.
    #[error("the CA's key is to be RSA, P-256 or P-384")]
    Key,
    /// Not fit for an issuer.
    #[error("the CA certificate is not fit for an issuer")]
    Issuer(#[from] IssuerError),
}

impl Ca {
    /// Reads the DER of a CA certificate.
    ///
    /// # Errors
    /// [`CaError`].
    pub fn from_der(der: &[u8]) -> Result<Self, CaError> {
        let certificate = Certificate::from_der(der)?;
        let tbs = certificate.tbs_certificate();
        let (_, key_identifier) = tbs
            .get_extension::<SubjectKeyIdentifier>()?
            .ok_or(CaError::NoKeyIdentifier)?;
        let validity = tbs.validity();
        let algorithm = &tbs.subject_public_key_info().algorithm;
        let curve = algorithm
            .parameters
            .as_ref()
            .and_then(|parameters| parameters.decode_as::<ObjectIdentifier>().ok());
        let signature_algorithm = match (algorithm.oid, curve) {
            (RSA_ENCRYPTION, _) => SHA256_WITH_RSA,
            (ID_EC_PUBLIC_KEY, Some(SECP_256_R_1)) => ECDSA_WITH_SHA256,
            (ID_EC_PUBLIC_KEY, Some(SECP_384_R_1)) => ECDSA_WITH_SHA384,
            _ => return Err(CaError::Key),
        };
        Ok(Self {
            issuer: Issuer {
                subject_der: tbs.subject().to_der()?,
                key_identifier: key_identifier.0.as_bytes().to_vec(),
                not_before: UNIX_EPOCH + validity.not_before.to_unix_duration(),
                not_after: UNIX_EPOCH + validity.not_after.to_unix_duration(),
                signature_algorithm_der: signature_algorithm.to_vec(),
            },
            lint_issuer: IssuerCertificate::from_der(der)?,
            sha256: Hash::of(der),
        })
    }
}

/// What a TBSCertificate under this issuer is linted against at `now`: what the profile expects of it.
pub fn expectation<'a>(
    lint_issuer: &'a IssuerCertificate,
    issuer: &'a Issuer,
    expected: &'a Expected,
    now: SystemTime,
) -> Expectation<'a> {
    Expectation {
        issuer: lint_issuer,
        signature_algorithm_der: &issuer.signature_algorithm_der,
        subject_der: &expected.subject_der,
        spki_der: &expected.spki_der,
        san_der: expected.san_der.as_deref(),
        extensions: &expected.extensions,
        key_usage: expected.key_usage,
        extended_key_usage: &expected.extended_key_usage,
        policies: &expected.policies,
        crl_distribution_points: &expected.crl_distribution_points,
        ca_issuers: &expected.ca_issuers,
        ocsp: &expected.ocsp,
        max_validity: expected.max_validity,
        now,
    }
}
