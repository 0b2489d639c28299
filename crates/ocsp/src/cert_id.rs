use assay_types::CertIdHash;
use const_oid::db::rfc5912::{ID_SHA_1, ID_SHA_256};
use der::asn1::{Any, Null, ObjectIdentifier, OctetString, Uint};
use der::{Encode, Sequence, Tag, Tagged};
use x509_cert::Certificate;

use crate::Error;

/// The issuer of the certificate that a CertID names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Issuer {
    /// The algorithm of both hashes.
    pub hash: CertIdHash,
    /// Hash of the DER of the issuer's name.
    pub name_hash: Vec<u8>,
    /// Hash of the issuer's public key: the content of its BIT STRING.
    pub key_hash: Vec<u8>,
}

/// CertID: the certificate that a request or a response is about (RFC 6960 section 4.1.1).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CertId {
    /// The CA that issued it.
    pub issuer: Issuer,
    /// Its serial number, big-endian, as read without a sign octet. One is ignored when it is written.
    pub serial: Vec<u8>,
}

impl Issuer {
    /// This CA. `digest` computes the hash algorithm `hash`.
    ///
    /// # Errors
    /// The name of the CA cannot be encoded.
    pub fn of(
        ca: &Certificate,
        hash: CertIdHash,
        digest: impl Fn(&[u8]) -> Vec<u8>,
    ) -> Result<Self, Error> {
        let ca = ca.tbs_certificate();
        let name = ca.subject().to_der().map_err(|_| Error::Unencodable)?;
        let key = ca.subject_public_key_info().subject_public_key.raw_bytes();
        Ok(Self {
            hash,
            name_hash: digest(&name),
            key_hash: digest(key),
        })
    }
}

#[derive(Clone, Sequence)]
pub(crate) struct CertIdDer {
    hash: Algorithm,
    name_hash: OctetString,
    key_hash: OctetString,
    serial: Uint,
}

#[derive(Clone, Sequence)]
struct Algorithm {
    oid: ObjectIdentifier,
    #[asn1(optional = "true")]
    parameters: Option<Any>,
}

impl CertIdDer {
    /// Whether the parameters of the hash algorithm are NULL, as this crate writes them.
    pub(crate) fn has_null_parameters(&self) -> bool {
        let parameters = self.hash.parameters.as_ref();
        parameters.is_some_and(|null| null.tag() == Tag::Null && null.value().is_empty())
    }
}

impl TryFrom<&CertId> for CertIdDer {
    type Error = Error;

    fn try_from(id: &CertId) -> Result<Self, Error> {
        let CertId {
            issuer:
                Issuer {
                    hash,
                    name_hash,
                    key_hash,
                },
            serial,
        } = id;
        let unencodable = |_| Error::Unencodable;
        Ok(Self {
            hash: Algorithm {
                oid: match hash {
                    CertIdHash::Sha1 => ID_SHA_1,
                    CertIdHash::Sha256 => ID_SHA_256,
                },
                // Clients compare the encoding with their own, which has NULL.
                parameters: Some(Null.into()),
            },
            name_hash: OctetString::new(name_hash.as_slice()).map_err(unencodable)?,
            key_hash: OctetString::new(key_hash.as_slice()).map_err(unencodable)?,
            serial: Uint::new(serial).map_err(unencodable)?,
        })
    }
}

impl TryFrom<&CertIdDer> for CertId {
    type Error = Error;

    fn try_from(id: &CertIdDer) -> Result<Self, Error> {
        let CertIdDer {
            hash,
            name_hash,
            key_hash,
            serial,
        } = id;
        Ok(Self {
            issuer: Issuer {
                hash: match hash.oid {
                    ID_SHA_1 => CertIdHash::Sha1,
                    ID_SHA_256 => CertIdHash::Sha256,
                    _ => return Err(Error::UnsupportedHash),
                },
                name_hash: name_hash.as_bytes().to_vec(),
                key_hash: key_hash.as_bytes().to_vec(),
            },
            serial: serial.as_bytes().to_vec(),
        })
    }
}
