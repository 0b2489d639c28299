//! The structures that a key may sign. A key signs a whole structure that the service has
//! understood, never a digest or bytes of the caller's choosing.

use const_oid::db::rfc5280::ID_KP_OCSP_SIGNING;
use der::asn1::ObjectIdentifier;
use der::{Decode, Encode, Header, Reader, SliceReader, Tag};
use thiserror::Error;
use x509_cert::crl::TbsCertList;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages};
use x509_cert::{TbsCertificate, Version};

use assay_hsm::SignatureAlgorithm;

const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");
const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");
const EXTENDED_KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37");

/// Who signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Issuer {
    /// DER of the issuer's Name.
    pub(crate) name: Vec<u8>,
    /// What its key signs with.
    pub(crate) algorithm: SignatureAlgorithm,
}

/// The rule that refused a structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum Refusal {
    #[error("the structure is not the DER of what is to be signed")]
    Malformed,
    #[error("the signed attributes are no DER SET OF Attribute")]
    NotSignedAttributes,
    #[error("the certificate is not of version 3")]
    NotVersion3,
    #[error("the issuer is not the subject of the signing certificate")]
    WrongIssuer,
    #[error("the signature algorithm is not that of the signing key")]
    WrongAlgorithm,
    #[error("an extension is there twice")]
    RepeatedExtension,
    #[error("basicConstraints makes the subject a CA")]
    Ca,
    #[error("keyUsage allows keyCertSign or cRLSign")]
    CaUsage,
    #[error("extendedKeyUsage makes the subject an OCSP responder: only a ceremony does that")]
    Responder,
}

/// Accepts a TBSCertificate of an end entity by this issuer.
pub(crate) fn check_certificate(tbs: &[u8], issuer: &Issuer) -> Result<(), Refusal> {
    let certificate: TbsCertificate = decode_exactly(tbs)?;
    if certificate.version() != Version::V3 {
        return Err(Refusal::NotVersion3);
    }
    check_issuer(certificate.issuer(), certificate.signature(), issuer)?;
    let extensions = certificate.extensions().map_or(&[][..], Vec::as_slice);
    if is_ca(extensions)? {
        return Err(Refusal::Ca);
    }
    let usage = key_usage(extensions)?;
    let signs = |flag: KeyUsages| usage.is_some_and(|usage| usage.0.contains(flag));
    if signs(KeyUsages::KeyCertSign) || signs(KeyUsages::CRLSign) {
        return Err(Refusal::CaUsage);
    }
    if is_responder(extensions)? {
        return Err(Refusal::Responder);
    }
    Ok(())
}

/// Accepts signed attributes as they are signed: with the tag of SET OF (RFC 5652, section 5.4),
/// which no certificate, CRL, OCSP response or request starts with.
pub(crate) fn check_signed_attributes(attributes: &[u8]) -> Result<(), Refusal> {
    let refused = |_| Refusal::NotSignedAttributes;
    let mut set = SliceReader::new(attributes).map_err(refused)?;
    let header = Header::decode(&mut set).map_err(refused)?;
    if header.tag() != Tag::Set || header.length() != set.remaining_len() {
        return Err(Refusal::NotSignedAttributes);
    }
    let mut count = 0_usize;
    while !set.is_finished() {
        let attribute = Header::decode(&mut set).map_err(refused)?;
        if attribute.tag() != Tag::Sequence {
            return Err(Refusal::NotSignedAttributes);
        }
        set.read_slice(attribute.length()).map_err(refused)?;
        count += 1;
    }
    if count == 0 {
        return Err(Refusal::NotSignedAttributes);
    }
    Ok(())
}

/// Accepts a TBSCertList of this issuer.
pub(crate) fn check_list(tbs: &[u8], issuer: &Issuer) -> Result<(), Refusal> {
    let list: TbsCertList = decode_exactly(tbs)?;
    check_issuer(&list.issuer, &list.signature, issuer)
}

fn check_issuer(
    name: &impl Encode,
    algorithm: &impl Encode,
    issuer: &Issuer,
) -> Result<(), Refusal> {
    if !matches_der(name, &issuer.name) {
        return Err(Refusal::WrongIssuer);
    }
    if !matches_der(algorithm, issuer.algorithm.to_der()) {
        return Err(Refusal::WrongAlgorithm);
    }
    Ok(())
}

fn is_ca(extensions: &[Extension]) -> Result<bool, Refusal> {
    let Some(value) = single(extensions, BASIC_CONSTRAINTS)? else {
        return Ok(false);
    };
    let constraints: BasicConstraints = decode_exactly(value)?;
    Ok(constraints.ca)
}

/// RFC 6960, section 4.2.2.2: whoever holds such a certificate says which of the CA's others stand.
fn is_responder(extensions: &[Extension]) -> Result<bool, Refusal> {
    let Some(value) = single(extensions, EXTENDED_KEY_USAGE)? else {
        return Ok(false);
    };
    let usage: ExtendedKeyUsage = decode_exactly(value)?;
    Ok(usage.0.contains(&ID_KP_OCSP_SIGNING))
}

fn key_usage(extensions: &[Extension]) -> Result<Option<KeyUsage>, Refusal> {
    single(extensions, KEY_USAGE)?
        .map(decode_exactly)
        .transpose()
}

/// The value of an extension. Two of them, of which a verifier may read the other one, are
/// refused (RFC 5280, section 4.2).
fn single(extensions: &[Extension], oid: ObjectIdentifier) -> Result<Option<&[u8]>, Refusal> {
    let mut values = extensions
        .iter()
        .filter(|extension| extension.extn_id == oid)
        .map(|extension| extension.extn_value.as_bytes());
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        (_, Some(_)) => Err(Refusal::RepeatedExtension),
    }
}

/// Decodes, and refuses what does not encode back to the same octets: what was understood is then
/// all that is signed.
fn decode_exactly<'a, T: Decode<'a> + Encode>(der: &'a [u8]) -> Result<T, Refusal> {
    let value = T::from_der(der).map_err(|_| Refusal::Malformed)?;
    if matches_der(&value, der) {
        Ok(value)
    } else {
        Err(Refusal::Malformed)
    }
}

fn matches_der(value: &impl Encode, der: &[u8]) -> bool {
    value.to_der().is_ok_and(|encoded| encoded == der)
}
