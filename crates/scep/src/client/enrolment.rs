//! The CSR and the transient certificate of a client. Its key lies elsewhere: each piece is built, signed by the
//! caller with RSASSA-PKCS1-v1_5 or ECDSA, as the key is, and assembled.

use std::time::SystemTime;

use der::{
    Encode,
    asn1::{GeneralizedTime, UtcTime},
};

use crate::{
    Digest,
    asn1::{oid, read::Element, tag, write},
    cms::algorithm::DigestExt,
    key::PublicKey,
};

/// CertificationRequestInfo (RFC 2986 §4.1), DER, to be signed and given to [`assemble_csr`]. `extensions` are whole
/// DER Extensions.
#[must_use]
pub fn new_csr_info(
    subject_der: &[u8],
    spki_der: &[u8],
    challenge: Option<&str>,
    extensions: &[Vec<u8>],
) -> Vec<u8> {
    let mut attributes = Vec::new();
    attributes.extend(challenge.map(challenge_password));
    if !extensions.is_empty() {
        let extensions = write::sequence(&[&extensions.concat()]);
        attributes.push(write::attribute(&oid::EXTENSION_REQUEST, &extensions));
    }
    new_csr_info_with(subject_der, spki_der, attributes)
}

/// As [`new_csr_info`], with any attributes, each a whole DER Attribute.
#[must_use]
pub fn new_csr_info_with(
    subject_der: &[u8],
    spki_der: &[u8],
    mut attributes: Vec<Vec<u8>>,
) -> Vec<u8> {
    attributes.sort();
    let attributes = write::context(0, &[&attributes.concat()]);
    write::sequence(&[&write::small_integer(0), subject_der, spki_der, &attributes])
}

/// The challengePassword attribute: a PrintableString where its alphabet suffices (RFC 2985 §5.4.1).
fn challenge_password(challenge: &str) -> Vec<u8> {
    let printable = |byte: u8| byte.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&byte);
    let value = if challenge.bytes().all(printable) {
        write::printable_string(challenge)
    } else {
        write::utf8_string(challenge)
    };
    write::attribute(&oid::CHALLENGE_PASSWORD, &value)
}

/// The whole CSR from its signed info.
#[must_use]
pub fn assemble_csr(info: &[u8], digest: Digest, signature: &[u8]) -> Vec<u8> {
    let key = csr_key(info).and_then(|spki| PublicKey::from_spki(spki).ok());
    signed(info, &algorithm(key.as_ref(), digest), signature)
}

/// TBSCertificate, v3 without extensions, of the transient self-signed certificate (RFC 8894 §2.3), DER, to be signed
/// and given to [`assemble_certificate`]. `serial` is a big-endian magnitude.
///
/// # Errors
/// A time that no certificate can hold.
pub fn self_signed_tbs(
    subject_der: &[u8],
    spki_der: &[u8],
    serial: &[u8],
    digest: Digest,
    not_before: SystemTime,
    not_after: SystemTime,
) -> der::Result<Vec<u8>> {
    let validity = write::sequence(&[&time(not_before)?, &time(not_after)?]);
    Ok(write::sequence(&[
        &write::context(0, &[&write::small_integer(2)]),
        &write::integer(serial),
        &algorithm(PublicKey::from_spki(spki_der).ok().as_ref(), digest),
        subject_der,
        &validity,
        subject_der,
        spki_der,
    ]))
}

/// The whole certificate from its signed TBS.
#[must_use]
pub fn assemble_certificate(tbs: &[u8], digest: Digest, signature: &[u8]) -> Vec<u8> {
    let named = tbs_algorithm(tbs).map(<[u8]>::to_vec);
    let algorithm = named.unwrap_or_else(|| digest.with_rsa());
    signed(tbs, &algorithm, signature)
}

fn signed(what: &[u8], algorithm: &[u8], signature: &[u8]) -> Vec<u8> {
    write::sequence(&[what, algorithm, &write::bit_string(signature)])
}

/// A key that cannot be read signs as an RSA key does: tests have some.
fn algorithm(key: Option<&PublicKey>, digest: Digest) -> Vec<u8> {
    key.map_or_else(|| digest.with_rsa(), |key| digest.signed_by(key))
}

/// SubjectPublicKeyInfo of a CertificationRequestInfo.
fn csr_key(info: &[u8]) -> Option<&[u8]> {
    let mut fields = Element::only(info, tag::SEQUENCE)?.fields();
    fields.take(tag::INTEGER)?;
    fields.take(tag::SEQUENCE)?;
    Some(fields.take(tag::SEQUENCE)?.der)
}

/// The signature field of a TBSCertificate.
fn tbs_algorithm(tbs: &[u8]) -> Option<&[u8]> {
    let mut fields = Element::only(tbs, tag::SEQUENCE)?.fields();
    fields.take_if(tag::context_constructed(0));
    fields.take(tag::INTEGER)?;
    Some(fields.take(tag::SEQUENCE)?.der)
}

/// UTCTime through 2049, GeneralizedTime after (RFC 5280 §4.1.2.5).
fn time(time: SystemTime) -> der::Result<Vec<u8>> {
    match UtcTime::from_system_time(time) {
        Ok(time) => time.to_der(),
        Err(_) => GeneralizedTime::from_system_time(time)?.to_der(),
    }
}
