//! The TBSCertificates of the CA hierarchy and the RA, built here and signed in the token.

use std::time::{Duration, SystemTime};

use assay_policy::{Dn, StringEncoding};
use const_oid::AssociatedOid;
use const_oid::db::rfc5280::ID_KP_OCSP_SIGNING;
use const_oid::db::rfc6960::ID_PKIX_OCSP_NOCHECK;
use der::asn1::{Any, Null, OctetString};
use der::{Decode, Encode, Sequence};
use openssl::sha::sha256;
use spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages,
    SubjectKeyIdentifier,
};
use x509_cert::serial_number::SerialNumber;
use x509_cert::time::{Time, Validity};

use super::signature;
use assay_console::failure::{Failure, OrFail, Outcome};

/// Device clocks were seen nine hours slow; a device that doubts the RA certificate cannot enrol.
const BACKDATE: Duration = Duration::from_hours(24);
/// 158 random bits: positive and within 20 octets (RFC 5280, section 4.1.2.2).
const SERIAL_OCTETS: usize = 20;
/// Octets of a key identifier (RFC 7093, section 2, method 1).
const KEY_IDENTIFIER_OCTETS: usize = 20;

const DAY: Duration = Duration::from_hours(24);

/// The purpose of a certificate of the ceremony.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A self-signed root.
    Root,
    /// The issuing CA, which may have no CA under it.
    IssuingCa,
    /// Devices encrypt their requests to it.
    RaEncryption,
    /// Devices verify replies with it.
    RaSignature,
    /// Both, for devices that cannot tell two RA certificates apart.
    RaSingle,
    /// Relying parties verify OCSP responses with it (RFC 6960, section 4.2.2.2).
    OcspResponder,
}

/// Who signs: a name copied octet for octet, a key identifier, an end.
#[derive(Clone, Debug)]
pub(super) struct Issuer {
    pub(super) subject_der: Vec<u8>,
    pub(super) key_identifier: Vec<u8>,
    pub(super) spki_der: Vec<u8>,
    pub(super) not_after: SystemTime,
}

/// One certificate to be.
#[derive(Debug)]
pub(super) struct Template<'a> {
    pub(super) kind: Kind,
    pub(super) subject_der: &'a [u8],
    pub(super) spki_der: &'a [u8],
    pub(super) issuer: &'a Issuer,
    pub(super) days: u32,
}

/// TBSCertificate (RFC 5280, section 4.1) without the unique identifiers, which nobody may use.
#[derive(Sequence)]
struct TbsCertificate {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    version: u8,
    serial: SerialNumber,
    signature: AlgorithmIdentifierOwned,
    issuer: Any,
    validity: Validity,
    subject: Any,
    spki: Any,
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT")]
    extensions: Vec<Extension>,
}

/// X.509 version 3 is written as 2.
const V3: u8 = 2;

impl Issuer {
    /// The issuer that a self-signed certificate has in itself.
    pub(super) fn itself(subject_der: &[u8], spki_der: &[u8], days: u32) -> Outcome<Self> {
        Ok(Self {
            subject_der: subject_der.to_vec(),
            key_identifier: key_identifier(spki_der)?,
            spki_der: spki_der.to_vec(),
            not_after: SystemTime::now() + DAY * days,
        })
    }

    /// The issuer that a CA certificate names; it must be a CA that may sign certificates.
    pub(super) fn of_certificate(der: &[u8]) -> Outcome<Self> {
        let what = "the CA certificate";
        let certificate =
            x509_cert::Certificate::from_der(der).or_fail(format!("{what} is none"))?;
        let tbs = certificate.tbs_certificate();
        let not_a_ca = || {
            Failure::failed(format!("{what} is no CA certificate"))
                .next("it needs basicConstraints CA:TRUE, keyUsage keyCertSign and cRLSign, and a subjectKeyIdentifier")
        };
        let constraints: Option<(bool, BasicConstraints)> = tbs.get_extension().or_fail(what)?;
        let usage: Option<(bool, KeyUsage)> = tbs.get_extension().or_fail(what)?;
        let identifier: Option<(bool, SubjectKeyIdentifier)> = tbs.get_extension().or_fail(what)?;
        let (Some((_, constraints)), Some((_, usage)), Some((_, identifier))) =
            (constraints, usage, identifier)
        else {
            return Err(not_a_ca());
        };
        if !(constraints.ca && usage.key_cert_sign() && usage.crl_sign()) {
            return Err(not_a_ca());
        }
        Ok(Self {
            subject_der: tbs.subject().to_der().or_fail(what)?,
            key_identifier: identifier.0.into_bytes().into(),
            spki_der: tbs.subject_public_key_info().to_der().or_fail(what)?,
            not_after: tbs.validity().not_after.to_system_time(),
        })
    }
}

impl Template<'_> {
    /// DER of the TBSCertificate.
    pub(super) fn tbs(&self) -> Outcome<Vec<u8>> {
        let now = SystemTime::now();
        let not_after = (now + DAY * self.days).min(self.issuer.not_after);
        if not_after <= now {
            return Err(Failure::failed("the issuing certificate has expired")
                .next("renew it first: nothing outlives its issuer"));
        }
        self.between(now - BACKDATE, not_after)
    }

    fn between(&self, not_before: SystemTime, not_after: SystemTime) -> Outcome<Vec<u8>> {
        let what = "cannot build the certificate";
        TbsCertificate {
            version: V3,
            serial: serial()?,
            signature: signature::algorithm(&self.issuer.spki_der)?,
            issuer: Any::from_der(&self.issuer.subject_der).or_fail(what)?,
            validity: Validity::new(time(not_before)?, time(not_after)?),
            subject: Any::from_der(self.subject_der).or_fail(what)?,
            spki: Any::from_der(self.spki_der).or_fail(what)?,
            extensions: self.extensions().or_fail(what)?,
        }
        .to_der()
        .or_fail(what)
    }

    fn extensions(&self) -> Result<Vec<Extension>, Box<dyn std::error::Error + Send + Sync>> {
        let identifier = key_identifier(self.spki_der).map_err(|failure| failure.to_string())?;
        let mut extensions = Vec::new();
        // RFC 5280, 4.2.1.9: critical in every CA certificate; path length 0 keeps an issuing CA from making CAs.
        // RA certificates have none: some clients refuse it in an end entity.
        match self.kind {
            Kind::Root => extensions.push(critical(&BasicConstraints {
                ca: true,
                path_len_constraint: None,
            })?),
            Kind::IssuingCa => extensions.push(critical(&BasicConstraints {
                ca: true,
                path_len_constraint: Some(0),
            })?),
            Kind::RaEncryption | Kind::RaSignature | Kind::RaSingle | Kind::OcspResponder => {}
        }
        extensions.push(critical(&KeyUsage(match self.kind {
            Kind::Root | Kind::IssuingCa => KeyUsages::KeyCertSign | KeyUsages::CRLSign,
            Kind::RaEncryption => KeyUsages::KeyEncipherment.into(),
            Kind::RaSignature | Kind::OcspResponder => KeyUsages::DigitalSignature.into(),
            Kind::RaSingle => KeyUsages::DigitalSignature | KeyUsages::KeyEncipherment,
        }))?);
        if self.kind == Kind::OcspResponder {
            extensions.push(plain(&ExtendedKeyUsage(vec![ID_KP_OCSP_SIGNING]))?);
            extensions.push(Extension {
                extn_id: ID_PKIX_OCSP_NOCHECK,
                critical: false,
                extn_value: OctetString::new(Null.to_der()?)?,
            });
        }
        // An RA has no extended key usage: Windows takes an RA certificate with a fitting one or with none at all.
        extensions.push(plain(&SubjectKeyIdentifier(OctetString::new(identifier)?))?);
        if self.kind != Kind::Root {
            extensions.push(plain(&AuthorityKeyIdentifier {
                key_identifier: Some(OctetString::new(self.issuer.key_identifier.clone())?),
                ..Default::default()
            })?);
        }
        Ok(extensions)
    }
}

/// DER of a name, every value as UTF8String where its type leaves a choice.
pub(super) fn name(dn: &Dn) -> Outcome<Vec<u8>> {
    dn.to_der(StringEncoding::Utf8)
        .or_usage(format!("the subject {dn} cannot be encoded"))
}

/// The leftmost 160 bits of the SHA-256 hash of the public key (RFC 7093, section 2, method 1).
pub(super) fn key_identifier(spki_der: &[u8]) -> Outcome<Vec<u8>> {
    let spki =
        SubjectPublicKeyInfoOwned::from_der(spki_der).or_fail("the public key is unreadable")?;
    let mut identifier = sha256(spki.subject_public_key.raw_bytes()).to_vec();
    identifier.truncate(KEY_IDENTIFIER_OCTETS);
    Ok(identifier)
}

fn serial() -> Outcome<SerialNumber> {
    let mut octets = [0; SERIAL_OCTETS];
    openssl::rand::rand_bytes(&mut octets).or_fail("no random numbers to be had")?;
    // Positive, and of full length whatever the dice say.
    let [first, ..] = &mut octets;
    *first = *first & 0x3f | 0x40;
    SerialNumber::new(&octets).or_fail("cannot make a serial number")
}

/// UTCTime through 2049, GeneralizedTime after it (RFC 5280, section 4.1.2.5): `Validity` sees to it.
fn time(at: SystemTime) -> Outcome<Time> {
    Time::try_from(at).or_fail("the validity is out of range")
}

fn critical<T: Encode + AssociatedOid>(value: &T) -> der::Result<Extension> {
    extension(value, true)
}

fn plain<T: Encode + AssociatedOid>(value: &T) -> der::Result<Extension> {
    extension(value, false)
}

fn extension<T: Encode + AssociatedOid>(value: &T, critical: bool) -> der::Result<Extension> {
    Ok(Extension {
        extn_id: T::OID,
        critical,
        extn_value: OctetString::new(value.to_der()?)?,
    })
}
