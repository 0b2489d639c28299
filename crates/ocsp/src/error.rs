use thiserror::Error;

/// Why a request or response was not read or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Error {
    /// The input is not DER of the expected structure, or longer than its limit.
    #[error("the input is not DER of the expected OCSP structure, or is too long")]
    Malformed,
    /// A request names several certificates; the lightweight profile has one (RFC 5019 section 2.1.1).
    #[error("the OCSP request is about several certificates")]
    SeveralCertificates,
    /// The hash algorithm of the CertID is neither SHA-1 nor SHA-256.
    #[error("the CertID has a hash algorithm other than SHA-1 and SHA-256")]
    UnsupportedHash,
    /// A value cannot be expressed in DER: a time before 1970 or after 9999, or parts that are not DER themselves.
    #[error("a value of the OCSP structure cannot be encoded")]
    Unencodable,
}
