//! A certificate that somebody brings and that one of the CAs here is said to have signed. Nothing of it is believed before
//! the signature verifies.

use assay_policy::{Dn, SubjectAltName};
use assay_store::RecoveredCertificate;
use assay_types::{Hash, Serial, Timestamp};
use const_oid::db::rfc5280::ID_CE_SUBJECT_ALT_NAME;
use der::asn1::{Any, BitString};
use der::{Decode, Encode, Sequence};
use openssl::x509::X509;
use x509_cert::name::Name;
use x509_cert::{Certificate, TbsCertificate};

use crate::issuing_ca::{AssembleError, IssuingCa};
use crate::rollover::Generations;

/// Longest DER that is read: the HSM service signs a TBSCertificate of at most 64 KiB.
pub const MAX_CERTIFICATE: usize = 128 * 1_024;

/// A certificate that a CA here signed, as it says itself.
#[derive(Debug)]
pub struct OwnCertificate {
    /// Its serial.
    pub serial: Serial,
    /// The CA, as rows of the store name it.
    pub ca_id: String,
    /// RFC 4514 text.
    pub subject: String,
    /// Typed subject alternative names; none where one has a form that no policy writes.
    pub sans: Vec<String>,
    /// notBefore.
    pub not_before: Timestamp,
    /// notAfter.
    pub not_after: Timestamp,
    /// SHA-256 of its TBSCertificate.
    pub tbs_digest: Hash,
    /// DER.
    pub der: Vec<u8>,
}

/// Why it is not one.
#[derive(Debug, thiserror::Error)]
pub enum NotOwn {
    /// Longer than [`MAX_CERTIFICATE`].
    #[error("the certificate has {0} bytes; the limit is {MAX_CERTIFICATE}")]
    TooLong(usize),
    /// Not DER of one certificate, to the last byte.
    #[error("not a certificate in DER, with nothing after it")]
    Encoding,
    /// No CA here has the name of its issuer.
    #[error("a certificate of another CA: its issuer is {0}")]
    OtherIssuer(String),
    /// The signature is of no CA here that has the name of its issuer.
    #[error("the signature of the certificate does not verify with the key of {0}")]
    Signature(String),
    /// A certificate of a CA or of its RA or OCSP responder.
    #[error(
        "a certificate of the CA itself, of its RA or of its OCSP responder, and not of a device"
    )]
    Service,
}

/// RFC 5280 section 4.1, with its parts as they are encoded.
#[derive(Sequence)]
struct Signed {
    tbs_certificate: Any,
    signature_algorithm: Any,
    signature: BitString,
}

impl Generations {
    /// Reads a certificate that a CA here signed, of the present generation or of the one before.
    ///
    /// # Errors
    /// [`NotOwn`] says what is wrong with it.
    pub fn own_certificate(&self, der: Vec<u8>) -> Result<OwnCertificate, NotOwn> {
        if der.len() > MAX_CERTIFICATE {
            return Err(NotOwn::TooLong(der.len()));
        }
        let (signed, certificate) = read(&der).ok_or(NotOwn::Encoding)?;
        let tbs = certificate.tbs_certificate();
        let encoding = |_| NotOwn::Encoding;
        let issuer = tbs.issuer().to_der().map_err(encoding)?;
        if !self.issues_as(&issuer) {
            return Err(NotOwn::OtherIssuer(text(tbs.issuer())));
        }
        let opened = X509::from_der(&der).map_err(|_| NotOwn::Encoding)?;
        let is_issuer = |ca: &IssuingCa| ca.issuer.subject_der == issuer && ca.has_signed(&opened);
        let generation = self
            .all()
            .find(|generation| is_issuer(&generation.ca))
            .ok_or_else(|| NotOwn::Signature(text(tbs.issuer())))?;
        if generation.has_as_its_own(&der) {
            return Err(NotOwn::Service);
        }
        let validity = tbs.validity();
        let at = |time: x509_cert::time::Time| Timestamp::default() + time.to_unix_duration();
        Ok(OwnCertificate {
            serial: Serial::try_from(tbs.serial_number().as_bytes())
                .map_err(|_| NotOwn::Encoding)?,
            ca_id: generation.ca.id.clone(),
            subject: text(tbs.subject()),
            sans: sans(tbs),
            not_before: at(validity.not_before),
            not_after: at(validity.not_after),
            tbs_digest: Hash::of(&signed.tbs_certificate.to_der().map_err(encoding)?),
            der,
        })
    }
}

/// A certificate out of the journal of the HSM service, which it has as the TBSCertificate and, if it was signed, the signature.
pub(crate) fn recovered(
    ca: &IssuingCa,
    tbs: &[u8],
    signature: Option<&[u8]>,
) -> Result<RecoveredCertificate, NotRecovered> {
    let read = TbsCertificate::from_der(tbs)?;
    let validity = read.validity();
    let at = |time: x509_cert::time::Time| Timestamp::default() + time.to_unix_duration();
    Ok(RecoveredCertificate {
        serial: Serial::try_from(read.serial_number().as_bytes())
            .map_err(|_| NotRecovered::Serial)?,
        ca_id: ca.id.clone(),
        subject: text(read.subject()),
        sans: sans(&read),
        not_before: at(validity.not_before),
        not_after: at(validity.not_after),
        tbs_digest: Hash::of(tbs),
        der: signature
            .map(|signature| ca.assemble(tbs, signature))
            .transpose()?,
        names: names(read.subject()),
    })
}

/// Values of a subject that are text.
fn names(name: &Name) -> Vec<String> {
    let values = name.iter_rdn().flat_map(|rdn| rdn.iter());
    let texts = values.filter_map(|value| std::str::from_utf8(value.value.value()).ok());
    texts.map(str::to_owned).collect()
}

/// Why a certificate of the journal is not taken up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotRecovered {
    #[error("it is not a TBSCertificate in DER")]
    Encoding(#[from] der::Error),
    #[error("its serial number is longer than 20 bytes")]
    Serial,
    #[error("its signature does not verify")]
    Signature(#[from] AssembleError),
}

/// The whole input, in the one form that DER has for its outer parts.
fn read(der: &[u8]) -> Option<(Signed, Certificate)> {
    let signed = Signed::from_der(der).ok()?;
    if signed.to_der().ok()? != der {
        return None;
    }
    Some((signed, Certificate::from_der(der).ok()?))
}

/// As policy writes a name, or as RFC 4514 does where no policy could: whatever a CA signed can be revoked.
fn text(name: &Name) -> String {
    Dn::from_name(name).map_or_else(|_| name.to_string(), |name| name.to_string())
}

fn sans(tbs: &TbsCertificate) -> Vec<String> {
    let extensions = tbs.extensions();
    let mut extensions = extensions.into_iter().flatten();
    let found = extensions.find(|extension| extension.extn_id == ID_CE_SUBJECT_ALT_NAME);
    let names = found.map(|found| SubjectAltName::list_from_der(found.extn_value.as_bytes()));
    let names = names.and_then(Result::ok).unwrap_or_default();
    names.iter().map(ToString::to_string).collect()
}
