//! The algorithms that a CA key signs with.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The algorithm that the CA key signs with; it follows from the key alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SignatureAlgorithm {
    /// ecdsa-with-SHA256, of a P-256 key (RFC 5758, section 3.2).
    EcdsaWithSha256,
    /// ecdsa-with-SHA384, of a P-384 key (RFC 5758, section 3.2).
    EcdsaWithSha384,
    /// sha256WithRSAEncryption (RFC 4055, section 5).
    Sha256WithRsa,
}

impl SignatureAlgorithm {
    /// The DER of the AlgorithmIdentifier as it stands in a certificate: without parameters
    /// for ECDSA, with NULL for RSA.
    pub fn to_der(self) -> &'static [u8] {
        match self {
            Self::EcdsaWithSha256 => b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02",
            Self::EcdsaWithSha384 => b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x03",
            Self::Sha256WithRsa => b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b\x05\x00",
        }
    }
}

impl fmt::Display for SignatureAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::EcdsaWithSha256 => "ecdsa-with-SHA256",
            Self::EcdsaWithSha384 => "ecdsa-with-SHA384",
            Self::Sha256WithRsa => "sha256WithRSAEncryption",
        })
    }
}
