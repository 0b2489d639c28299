use std::fmt;

use const_oid::ObjectIdentifier;
use const_oid::db::rfc5912::{SECP_256_R_1, SECP_384_R_1, SECP_521_R_1};
use serde::{Deserialize, Serialize};

/// A hash function of signatures and of RSAES-OAEP. Displays as in policy files: `sha256`. MD5 is not one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Digest {
    /// SHA-1: for OAEP, and in signatures only where a profile allows it.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl Digest {
    /// All of them.
    pub const ALL: [Digest; 4] = [Digest::Sha1, Digest::Sha256, Digest::Sha384, Digest::Sha512];

    /// The word that policy files and evidence use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Digest::Sha1 => "sha1",
            Digest::Sha256 => "sha256",
            Digest::Sha384 => "sha384",
            Digest::Sha512 => "sha512",
        }
    }

    /// The digest of this word.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        Digest::ALL
            .into_iter()
            .find(|digest| digest.as_str() == word)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(feature = "openssl")]
impl From<Digest> for openssl::hash::MessageDigest {
    fn from(digest: Digest) -> Self {
        match digest {
            Digest::Sha1 => Self::sha1(),
            Digest::Sha256 => Self::sha256(),
            Digest::Sha384 => Self::sha384(),
            Digest::Sha512 => Self::sha512(),
        }
    }
}

/// The hash algorithm of an OCSP CertID (RFC 6960 section 4.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CertIdHash {
    /// SHA-1, which clients of RFC 5019 use.
    Sha1,
    /// SHA-256.
    Sha256,
}

/// How a content-encryption key is encrypted to its recipient's RSA key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum KeyTransport {
    /// RSAES-PKCS1-v1_5 (RFC 8017 section 7.2).
    Pkcs1v15,
    /// RSAES-OAEP with an empty label (RFC 8017 section 7.1, RFC 4055 section 4.1).
    Oaep {
        /// Hash of the label.
        digest: Digest,
        /// Hash of MGF1.
        mgf: Digest,
    },
}

/// A named elliptic curve (RFC 5480 section 2.1.1.1). Displays as in policy files: `p256`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Curve {
    /// secp256r1.
    P256,
    /// secp384r1.
    P384,
    /// secp521r1.
    P521,
}

impl Curve {
    /// All of them.
    pub const ALL: [Curve; 3] = [Curve::P256, Curve::P384, Curve::P521];

    /// The word that policy files use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Curve::P256 => "p256",
            Curve::P384 => "p384",
            Curve::P521 => "p521",
        }
    }

    /// Its object identifier.
    #[must_use]
    pub fn oid(self) -> ObjectIdentifier {
        match self {
            Curve::P256 => SECP_256_R_1,
            Curve::P384 => SECP_384_R_1,
            Curve::P521 => SECP_521_R_1,
        }
    }

    /// The curve that an object identifier names.
    #[must_use]
    pub fn from_oid(oid: &ObjectIdentifier) -> Option<Self> {
        Curve::ALL.into_iter().find(|curve| curve.oid() == *oid)
    }
}

impl fmt::Display for Curve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(feature = "openssl")]
impl From<Curve> for openssl::nid::Nid {
    fn from(curve: Curve) -> Self {
        match curve {
            Curve::P256 => Self::X9_62_PRIME256V1,
            Curve::P384 => Self::SECP384R1,
            Curve::P521 => Self::SECP521R1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_found_by_its_word_and_no_other_is() {
        for digest in Digest::ALL {
            assert_eq!(Digest::named(&digest.to_string()), Some(digest));
        }
        for wrong in ["md5", "SHA256", "sha-256", ""] {
            assert_eq!(Digest::named(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_curve_is_found_by_its_oid_and_no_other_is() {
        for curve in Curve::ALL {
            assert_eq!(Curve::from_oid(&curve.oid()), Some(curve));
        }
        let secp256k1 = ObjectIdentifier::new_unwrap("1.3.132.0.10");
        assert_eq!(Curve::from_oid(&secp256k1), None);
    }
}
