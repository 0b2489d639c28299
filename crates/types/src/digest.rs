/// The hash algorithm of an OCSP CertID (RFC 6960 section 4.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CertIdHash {
    /// SHA-1, which clients of RFC 5019 use.
    Sha1,
    /// SHA-256.
    Sha256,
}
