use std::ops::Range;

use anyhow::Result;
use assay_types::Timestamp;
use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, PKeyRef, Private};
use openssl::x509::extension::{
    BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectKeyIdentifier,
};
use openssl::x509::{X509, X509Builder, X509Extension, X509NameBuilder};

/// As many as fit into 8 octets of a positive INTEGER.
const SERIAL_BITS: i32 = 63;

/// From notBefore to notAfter.
pub type Validity = Range<Timestamp>;

/// A key and its certificate.
#[derive(Clone)]
pub struct Pair {
    /// The key.
    pub key: PKey<Private>,
    /// The certificate over it.
    pub certificate: X509,
}

/// A CA, its RA and its OCSP responder.
#[derive(Clone)]
pub struct Ca {
    /// The CA, P-256 and self-signed.
    pub ca: Pair,
    /// The key that requests are enveloped to.
    pub ra_enc: Pair,
    /// The key that signs replies.
    pub ra_sign: Pair,
    /// The key for both uses, where there is one.
    pub ra_single: Option<Pair>,
    /// The key that signs OCSP responses, P-256.
    pub ocsp: Pair,
}

impl Pair {
    /// A P-256 key with a certificate of its own.
    ///
    /// # Errors
    /// OpenSSL fails.
    pub fn self_signed(name: &str, validity: &Validity) -> Result<Self> {
        let key = p256()?;
        let certificate = certificate(name, &key, None, None, validity)?;
        Ok(Self { key, certificate })
    }

    fn issue(
        &self,
        name: &str,
        key: PKey<Private>,
        purpose: Option<X509Extension>,
        validity: &Validity,
    ) -> Result<Self> {
        let certificate = certificate(name, &key, Some(self), purpose, validity)?;
        Ok(Self { key, certificate })
    }

    /// The certificate, DER.
    ///
    /// # Errors
    /// OpenSSL fails.
    pub fn der(&self) -> Result<Vec<u8>> {
        Ok(self.certificate.to_der()?)
    }
}

impl Ca {
    /// A new CA of this name, whose RA has the given RSA keys.
    ///
    /// # Errors
    /// OpenSSL fails.
    pub fn new(
        name: &str,
        ra_enc: PKey<Private>,
        ra_sign: PKey<Private>,
        validity: &Validity,
    ) -> Result<Self> {
        let key = p256()?;
        let ca = Pair {
            certificate: certificate(name, &key, None, None, validity)?,
            key,
        };
        let name = |role: &str| format!("{name} {role}");
        let purpose = ExtendedKeyUsage::new().other("OCSPSigning").build()?;
        Ok(Self {
            ra_enc: ca.issue(&name("ra-decrypt"), ra_enc, None, validity)?,
            ra_sign: ca.issue(&name("ra-sign"), ra_sign, None, validity)?,
            ra_single: None,
            ocsp: ca.issue(&name("ocsp-sign"), p256()?, Some(purpose), validity)?,
            ca,
        })
    }

    /// The same CA with an RSA key for both uses.
    ///
    /// # Errors
    /// OpenSSL fails.
    pub fn with_single_ra(self, key: PKey<Private>, validity: &Validity) -> Result<Self> {
        let single = self.ca.issue("ra-single", key, None, validity)?;
        Ok(Self {
            ra_single: Some(single),
            ..self
        })
    }

    /// Whether the CA's key signed this certificate, DER.
    ///
    /// # Errors
    /// It is not a certificate, or OpenSSL fails.
    pub fn has_issued(&self, certificate: &[u8]) -> Result<bool> {
        Ok(X509::from_der(certificate)?.verify(&self.ca.key)?)
    }
}

fn p256() -> Result<PKey<Private>> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
    Ok(PKey::from_ec_key(EcKey::generate(&group)?)?)
}

/// Without an issuer it is a CA's.
fn certificate(
    name: &str,
    key: &PKeyRef<Private>,
    issuer: Option<&Pair>,
    purpose: Option<X509Extension>,
    validity: &Validity,
) -> Result<X509> {
    let mut names = X509NameBuilder::new()?;
    names.append_entry_by_nid(Nid::COMMONNAME, name)?;
    let names = names.build();
    let mut builder = X509Builder::new()?;
    builder.set_version(2)?;
    let digest = openssl::sha::sha256(name.as_bytes());
    let (serial, _) = digest.split_at(size_of::<u64>());
    let mut serial = BigNum::from_slice(serial)?;
    // All are of one length, and so are messages that name them.
    serial.mask_bits(SERIAL_BITS)?;
    serial.set_bit(SERIAL_BITS - 1)?;
    builder.set_serial_number(&*serial.to_asn1_integer()?)?;
    builder.set_subject_name(&names)?;
    let issuer_name = issuer.map_or(&*names, |issuer| issuer.certificate.subject_name());
    builder.set_issuer_name(issuer_name)?;
    builder.set_not_before(&*Asn1Time::from_unix(validity.start.seconds())?)?;
    builder.set_not_after(&*Asn1Time::from_unix(validity.end.seconds())?)?;
    builder.set_pubkey(key)?;
    if issuer.is_none() {
        builder.append_extension(BasicConstraints::new().critical().ca().build()?)?;
        let mut usage = KeyUsage::new();
        let usage = usage.critical().key_cert_sign().crl_sign().build()?;
        builder.append_extension(usage)?;
        let context = builder.x509v3_context(None, None);
        let identifier = SubjectKeyIdentifier::new().build(&context)?;
        builder.append_extension(identifier)?;
    }
    if let Some(purpose) = purpose {
        builder.append_extension(purpose)?;
    }
    let signing = issuer.map_or(key, |issuer| &*issuer.key);
    builder.sign(signing, MessageDigest::sha256())?;
    Ok(builder.build())
}
