//! The purposes and kinds of keys.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::SignatureAlgorithm;

/// The one purpose that a key serves. Only a single RA key has two uses in the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum KeyRole {
    /// Unwraps the content-encryption keys of SCEP requests (RSA).
    RaDecrypt,
    /// Signs SCEP replies (RSA).
    RaSign,
    /// Does both for clients that cannot tell two RA certificates apart (RSA). May be absent.
    RaSingle,
    /// Signs certificates of end entities and CRLs.
    CaSign,
    /// Signs checkpoints of the audit log (Ed25519 or P-256).
    LogSign,
    /// Signs OCSP responses of this CA (RFC 6960). May be absent.
    OcspSign,
    /// Signs health probes and nothing else.
    Probe,
    /// Signs issuing CAs. Lies on a token of its own and is refused in service.
    RootSign,
}

impl KeyRole {
    /// Every role, in the order in which a ceremony meets them.
    pub const ALL: [Self; 8] = [
        Self::RaDecrypt,
        Self::RaSign,
        Self::RaSingle,
        Self::CaSign,
        Self::LogSign,
        Self::OcspSign,
        Self::Probe,
        Self::RootSign,
    ];

    /// The name used in configuration, logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RaDecrypt => "ra-decrypt",
            Self::RaSign => "ra-sign",
            Self::RaSingle => "ra-single",
            Self::CaSign => "ca-sign",
            Self::LogSign => "log-sign",
            Self::OcspSign => "ocsp-sign",
            Self::Probe => "probe",
            Self::RootSign => "root-sign",
        }
    }

    /// The key may decrypt.
    pub fn decrypts(self) -> bool {
        matches!(self, Self::RaDecrypt | Self::RaSingle)
    }

    /// The key may sign. Only a single RA key does both.
    pub fn signs(self) -> bool {
        self != Self::RaDecrypt
    }
}

impl fmt::Display for KeyRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for KeyRole {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        Self::ALL
            .into_iter()
            .find(|role| role.as_str() == name)
            .ok_or_else(|| UnknownName {
                name: name.to_owned(),
                known: "ra-decrypt, ra-sign, ra-single, ca-sign, log-sign, ocsp-sign, probe or root-sign",
            })
    }
}

/// The kind and size of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum KeyAlgorithm {
    /// RSA with a modulus of this many bits: 2048, 3072 or 4096.
    Rsa(u32),
    /// ECDSA on NIST P-256.
    P256,
    /// ECDSA on NIST P-384.
    P384,
    /// Ed25519 (RFC 8032), for log-sign.
    Ed25519,
}

impl KeyAlgorithm {
    /// How certificates signed with a key of this kind name their signature; `None` for Ed25519,
    /// which no CA here uses.
    pub fn signature_algorithm(self) -> Option<SignatureAlgorithm> {
        match self {
            Self::Rsa(_) => Some(SignatureAlgorithm::Sha256WithRsa),
            Self::P256 => Some(SignatureAlgorithm::EcdsaWithSha256),
            Self::P384 => Some(SignatureAlgorithm::EcdsaWithSha384),
            Self::Ed25519 => None,
        }
    }
}

impl fmt::Display for KeyAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rsa(bits) => write!(f, "rsa{bits}"),
            Self::P256 => f.pad("p256"),
            Self::P384 => f.pad("p384"),
            Self::Ed25519 => f.pad("ed25519"),
        }
    }
}

impl FromStr for KeyAlgorithm {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        match name {
            "rsa2048" => Ok(Self::Rsa(2048)),
            "rsa3072" => Ok(Self::Rsa(3072)),
            "rsa4096" => Ok(Self::Rsa(4096)),
            "p256" => Ok(Self::P256),
            "p384" => Ok(Self::P384),
            "ed25519" => Ok(Self::Ed25519),
            _ => Err(UnknownName {
                name: name.to_owned(),
                known: "rsa2048, rsa3072, rsa4096, p256, p384 or ed25519",
            }),
        }
    }
}

/// A role or algorithm that does not exist.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{name}` is not known here: write {known}")]
pub struct UnknownName {
    name: String,
    known: &'static str,
}
