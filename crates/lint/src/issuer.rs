//! The CA's certificate, and what it and those above it let it issue.

use std::time::SystemTime;

use const_oid::db::rfc5280 as oids;
use der::asn1::{BitStringRef, OctetStringRef};
use der::{Decode, Reader, SliceReader, Tag};

use crate::constraints::NameConstraints;
use crate::parse::{Tbs, children, tlv};
use crate::{Finding, LINTS, Verdict, strength};

/// Longest chain followed; ours has a root and an issuing CA.
const MAX_SUPERIORS: usize = 8;
const KEY_CERT_SIGN: usize = 5;

/// What the lints need of the CA's certificate; read once, used for every certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerCertificate {
    pub(crate) subject_der: Vec<u8>,
    pub(crate) key_identifier: Vec<u8>,
    pub(crate) spki_der: Vec<u8>,
    pub(crate) not_before: SystemTime,
    pub(crate) not_after: SystemTime,
    /// Its own, and those of the CAs above.
    pub(crate) name_constraints: Vec<NameConstraints>,
    constraints: Constraints,
    signs_certificates: bool,
    issuer_der: Vec<u8>,
    /// From the CA that issued this one upwards.
    superiors: Vec<Constraints>,
}

/// RFC 5280 section 4.2.1.9.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Constraints {
    critical: bool,
    ca: bool,
    path_length: Option<u32>,
}

/// The CA's certificate is not one that can issue.
#[derive(Debug, thiserror::Error)]
pub enum IssuerError {
    /// Not DER of a certificate.
    #[error("the issuer's certificate is not DER")]
    Der(#[from] der::Error),
    /// A time is not as RFC 5280 writes it.
    #[error("the issuer's certificate has a validity that cannot be read")]
    Validity,
    /// RFC 5280 section 4.2.1.2: a CA certificate has one.
    #[error("the issuer's certificate must have a subject key identifier")]
    NoKeyIdentifier,
    /// RFC 5280 section 4.2.1.10: what cannot be read cannot be kept.
    #[error("the name constraints of the issuer's certificate cannot be read: {0}")]
    NameConstraints(&'static str),
    /// More than are followed.
    #[error("more than {MAX_SUPERIORS} CA certificates above the issuer's")]
    Chain,
}

impl IssuerCertificate {
    /// Reads a DER certificate.
    ///
    /// # Errors
    /// [`IssuerError`].
    pub fn from_der(certificate: &[u8]) -> Result<Self, IssuerError> {
        let issuer = Self::read(certificate)?;
        if issuer.key_identifier.is_empty() {
            return Err(IssuerError::NoKeyIdentifier);
        }
        Ok(issuer)
    }

    fn read(certificate: &[u8]) -> Result<Self, IssuerError> {
        let mut outer = SliceReader::new(certificate)?;
        let (tag, content) = tlv(&mut outer)?;
        tag.assert_eq(Tag::Sequence)?;
        let tbs = Tbs::parse(SliceReader::new(content)?.tlv_bytes()?)?;
        let key_identifier = tbs
            .extension(&oids::ID_CE_SUBJECT_KEY_IDENTIFIER)
            .map(|extension| <&OctetStringRef>::from_der(extension.value))
            .transpose()?
            .map_or_else(Vec::new, |octets| octets.as_bytes().to_vec());
        let name_constraints = tbs
            .extension(&oids::ID_CE_NAME_CONSTRAINTS)
            .map(|extension| NameConstraints::parse(extension.value))
            .transpose()?;
        Ok(Self {
            subject_der: tbs.subject.to_vec(),
            key_identifier,
            spki_der: tbs.spki.to_vec(),
            not_before: tbs.not_before.moment().ok_or(IssuerError::Validity)?,
            not_after: tbs.not_after.moment().ok_or(IssuerError::Validity)?,
            name_constraints: name_constraints.into_iter().collect(),
            constraints: basic_constraints(&tbs)?,
            signs_certificates: signs_certificates(&tbs)?,
            issuer_der: tbs.issuer.to_vec(),
            superiors: Vec::new(),
        })
    }

    /// The same CA under those of `chain`, in any order: what they constrain binds it too. Certificates that are not
    /// above it are passed over.
    ///
    /// # Errors
    /// [`IssuerError`] of one that is.
    pub fn under<C: AsRef<[u8]>>(mut self, chain: &[C]) -> Result<Self, IssuerError> {
        let chain: Vec<Self> = chain
            .iter()
            .map(|certificate| Self::read(certificate.as_ref()))
            .collect::<Result<_, _>>()?;
        let mut name = self.issuer_der.clone();
        let mut below = self.subject_der.clone();
        while name != below {
            let Some(superior) = chain.iter().find(|ca| ca.subject_der == name) else {
                break;
            };
            if self.superiors.len() == MAX_SUPERIORS {
                return Err(IssuerError::Chain);
            }
            self.superiors.push(superior.constraints);
            self.name_constraints
                .extend(superior.name_constraints.iter().cloned());
            below = std::mem::replace(&mut name, superior.issuer_der.clone());
        }
        Ok(self)
    }

    /// Why nothing that this CA issues would pass: the first lint about the issuer alone that does not hold.
    pub fn unfit(&self) -> Option<Finding> {
        let about_the_issuer: [(&str, Verdict); 4] = [
            ("issuer-key-strength", self.key_strength()),
            ("issuer-ca", self.is_ca()),
            ("issuer-key-usage", self.signs_certificates()),
            ("issuer-path-length", self.path_length()),
        ];
        about_the_issuer.into_iter().find_map(|(name, verdict)| {
            let lint = LINTS.iter().find(|lint| lint.id.name() == name)?;
            verdict.err().map(|detail| Finding {
                id: lint.id,
                detail,
            })
        })
    }

    pub(crate) fn key_strength(&self) -> Verdict {
        strength::of_key(&self.spki_der)
    }

    pub(crate) fn is_ca(&self) -> Verdict {
        for constraints in self.path() {
            if !(constraints.ca && constraints.critical) {
                return Err(format!(
                    "wanted a critical CA:TRUE, got critical = {}, CA = {}",
                    constraints.critical, constraints.ca
                ));
            }
        }
        Ok(())
    }

    pub(crate) fn signs_certificates(&self) -> Verdict {
        if self.signs_certificates {
            Ok(())
        } else {
            Err("wanted keyCertSign in the issuer's certificate, got none".to_owned())
        }
    }

    /// The leaf itself does not count (RFC 5280 section 4.2.1.9).
    pub(crate) fn path_length(&self) -> Verdict {
        for (below, constraints) in (0_u32..).zip(self.path()) {
            match constraints.path_length {
                Some(length) if length < below => {
                    return Err(format!(
                        "wanted room for {below} CAs below, got a path length of {length}"
                    ));
                }
                Some(_) | None => {}
            }
        }
        Ok(())
    }

    fn path(&self) -> impl Iterator<Item = &Constraints> {
        std::iter::once(&self.constraints).chain(&self.superiors)
    }
}

fn basic_constraints(tbs: &Tbs<'_>) -> der::Result<Constraints> {
    let Some(extension) = tbs.extension(&oids::ID_CE_BASIC_CONSTRAINTS) else {
        return Ok(Constraints::default());
    };
    let critical = extension.critical;
    let (ca, path_length) = match children(extension.value)?.as_slice() {
        [] => (false, None),
        [(Tag::Boolean, [0xff])] => (true, None),
        [(Tag::Boolean, [0xff]), (Tag::Integer, length)] => (true, Some(number(length)?)),
        _ => return Err(Tag::Sequence.value_error().into()),
    };
    Ok(Constraints {
        critical,
        ca,
        path_length,
    })
}

/// A path length of more than four octets is as good as none below `u32::MAX`; a negative one is no path length.
fn number(content: &[u8]) -> der::Result<u32> {
    match content {
        [] => Err(Tag::Integer.value_error().into()),
        [first, ..] if first & 0x80 != 0 => Err(Tag::Integer.value_error().into()),
        short if short.len() <= 4 => Ok(short
            .iter()
            .fold(0, |number, octet| number << 8 | u32::from(*octet))),
        _ => Ok(u32::MAX),
    }
}

fn signs_certificates(tbs: &Tbs<'_>) -> der::Result<bool> {
    tbs.extension(&oids::ID_CE_KEY_USAGE)
        .map_or(Ok(false), |extension| {
            let usage = BitStringRef::from_der(extension.value)?;
            Ok(usage.bits().nth(KEY_CERT_SIGN).unwrap_or(false))
        })
}
