//! Certificates as raw parts: no path validation, no opinion on versions, serials or dates.

use assay_types::Hash;

use crate::{
    Curve, Refusal,
    asn1::{oid, read::Element, tag, write},
    key::{NoKey, PublicKey},
    rsa::RsaKey,
};

/// A certificate in raw parts, read leniently: clients sign with v1 certificates and with serials of 32 octets.
#[derive(Debug, Clone)]
pub struct SignerCertificate {
    der: Vec<u8>,
    serial: Vec<u8>,
    issuer: Vec<u8>,
    subject: Vec<u8>,
    spki: Vec<u8>,
    key: Result<PublicKey, NoKey>,
}

impl SignerCertificate {
    /// Reads the DER of one certificate. `None` where it is not one.
    #[must_use]
    pub fn parse(der: &[u8]) -> Option<Self> {
        let parts = CertificateParts::parse(der)?;
        Some(SignerCertificate {
            der: der.to_vec(),
            serial: parts.serial.to_vec(),
            issuer: parts.issuer.to_vec(),
            subject: parts.subject.to_vec(),
            spki: parts.spki.to_vec(),
            key: PublicKey::from_spki(parts.spki),
        })
    }

    /// The whole certificate as it came.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// SubjectPublicKeyInfo, DER.
    #[must_use]
    pub fn spki_der(&self) -> &[u8] {
        &self.spki
    }

    /// SHA-256 of the SubjectPublicKeyInfo: with the transactionID it names a transaction.
    #[must_use]
    pub fn spki_sha256(&self) -> Hash {
        Hash::of(self.spki_der())
    }

    /// Subject Name, DER.
    #[must_use]
    pub fn subject_der(&self) -> &[u8] {
        &self.subject
    }

    /// Issuer Name, DER.
    #[must_use]
    pub fn issuer_der(&self) -> &[u8] {
        &self.issuer
    }

    /// Content octets of the serial number, as they came.
    #[must_use]
    pub fn serial(&self) -> &[u8] {
        &self.serial
    }

    /// The curve of the key; `None` for an RSA key, and for one that nothing is verified with.
    #[must_use]
    pub fn curve(&self) -> Option<Curve> {
        self.key.as_ref().ok()?.curve()
    }

    /// The key, or a refusal: badAlg for an algorithm or a curve that is never taken, badRequest for a size out of bounds
    /// or a point that is none.
    pub(crate) fn key(&self) -> Result<&PublicKey, Refusal> {
        self.key.as_ref().map_err(|cause| match cause {
            NoKey::Algorithm => Refusal::bad_algorithm("signer-key-algorithm"),
            NoKey::Size => Refusal::bad_request("signer-key-size"),
            NoKey::Point => Refusal::bad_request("signer-key-point"),
        })
    }

    /// The key where it can be encrypted to; badAlg where it only signs.
    pub(crate) fn rsa_key(&self) -> Result<&RsaKey, Refusal> {
        match self.key()? {
            PublicKey::Rsa(key) => Ok(key),
            PublicKey::Ec(_) => Err(Refusal::bad_algorithm("signer-key-algorithm")),
        }
    }
}

/// Borrowed parts of a certificate (RFC 5280 §4.1).
pub(crate) struct CertificateParts<'a> {
    serial: &'a [u8],
    issuer: &'a [u8],
    subject: &'a [u8],
    spki: &'a [u8],
    key_identifier: Option<&'a [u8]>,
}

impl<'a> CertificateParts<'a> {
    pub(crate) fn parse(der: &'a [u8]) -> Option<Self> {
        let mut certificate = Element::only(der, tag::SEQUENCE)?.fields();
        let mut tbs = certificate.take(tag::SEQUENCE)?.fields();
        certificate.take(tag::SEQUENCE)?;
        certificate.take(tag::BIT_STRING)?;
        certificate.finish()?;

        tbs.take_if(tag::context_constructed(0));
        let serial = tbs.take(tag::INTEGER)?.content;
        tbs.take(tag::SEQUENCE)?;
        let issuer = tbs.take(tag::SEQUENCE)?.der;
        tbs.take(tag::SEQUENCE)?;
        let subject = tbs.take(tag::SEQUENCE)?.der;
        let spki = tbs.take(tag::SEQUENCE)?.der;
        tbs.take_if(tag::context(1));
        tbs.take_if(tag::context(2));
        let extensions = tbs.take_if(tag::context_constructed(3));
        tbs.finish()?;
        let key_identifier = extensions.and_then(|extensions| key_identifier(&extensions));
        Some(CertificateParts {
            serial,
            issuer,
            subject,
            spki,
            key_identifier,
        })
    }

    /// IssuerAndSerialNumber (RFC 5652 §10.2.4), DER.
    pub(crate) fn issuer_and_serial(&self) -> Vec<u8> {
        write::sequence(&[self.issuer, &write::tlv(tag::INTEGER, &[self.serial])])
    }

    /// Whether a SignerIdentifier or RecipientIdentifier names this certificate.
    pub(crate) fn is_named_by(&self, identifier: &Element<'_>) -> bool {
        let mut fields = identifier.fields();
        match identifier.tag {
            SUBJECT_KEY_IDENTIFIER => self.key_identifier == Some(identifier.content),
            tag::SEQUENCE => {
                fields
                    .take(tag::SEQUENCE)
                    .is_some_and(|issuer| issuer.der == self.issuer)
                    && fields
                        .take(tag::INTEGER)
                        .is_some_and(|serial| serial.content == self.serial)
                    && fields.is_empty()
            }
            _ => false,
        }
    }
}

/// `[0] IMPLICIT SubjectKeyIdentifier` of SignerIdentifier and RecipientIdentifier (RFC 5652 §5.3, §6.2.1).
pub(crate) const SUBJECT_KEY_IDENTIFIER: u8 = tag::context(0);

fn key_identifier<'a>(explicit: &Element<'a>) -> Option<&'a [u8]> {
    let mut extensions = explicit.fields().take(tag::SEQUENCE)?.fields();
    while !extensions.is_empty() {
        let mut extension = extensions.take(tag::SEQUENCE)?.fields();
        if extension.take(tag::OBJECT_IDENTIFIER)?.oid()? == oid::SUBJECT_KEY_IDENTIFIER {
            extension.take_if(tag::BOOLEAN);
            let value = extension.take(tag::OCTET_STRING)?.content;
            return Element::only(value, tag::OCTET_STRING).map(|identifier| identifier.content);
        }
    }
    None
}
