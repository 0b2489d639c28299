//! What of the service's own configuration a certificate is compared with: its issuer, and the names, keys and serial
//! numbers that no leaf may have.

use std::collections::HashSet;

use assay_types::{Serial, Timestamp};
use der::asn1::Any;
use der::{Decode, Encode};
use thiserror::Error;
use x509_cert::Certificate;
use x509_cert::ext::pkix::SubjectKeyIdentifier;

use crate::key::KeyIdentity;
use crate::name::Comparable;

/// Why a configured certificate cannot be used.
#[derive(Debug, Error)]
pub enum CertificateError {
    /// Not DER.
    #[error("the certificate cannot be decoded")]
    Der(#[from] der::Error),
    /// Nothing could be compared with it.
    #[error("the certificate's subject has a value that is not text")]
    Subject,
    /// A CA is found by it.
    #[error("the CA certificate has no subjectKeyIdentifier, or an empty subject")]
    NotACa,
}

/// The CA that signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    pub(crate) subject: Any,
    pub(crate) key_identifier: Vec<u8>,
    pub(crate) algorithm: Any,
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
}

impl Issuer {
    /// The CA of this certificate, whose key signs by the algorithm of this DER AlgorithmIdentifier.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn new(certificate: &[u8], algorithm: &[u8]) -> Result<Self, CertificateError> {
        let certificate = Certificate::from_der(certificate)?;
        let tbs = certificate.tbs_certificate();
        let key_identifier = tbs.get_extension::<SubjectKeyIdentifier>()?;
        let (_, key_identifier) = key_identifier.ok_or(CertificateError::NotACa)?;
        if tbs.subject().is_empty() {
            return Err(CertificateError::NotACa);
        }
        Ok(Self {
            subject: Any::from_der(&tbs.subject().to_der()?)?,
            key_identifier: key_identifier.0.as_bytes().to_vec(),
            algorithm: Any::from_der(algorithm)?,
            not_before: tbs.validity().not_before.to_system_time().into(),
            not_after: tbs.validity().not_after.to_system_time().into(),
        })
    }
}

/// Names, keys and serial numbers that no leaf may have: those of every CA with its chain, of the RAs and responders,
/// and of every other certificate of a ceremony.
#[derive(Clone, Debug, Default)]
pub struct Reserved {
    names: HashSet<Comparable>,
    keys: HashSet<KeyIdentity>,
    serials: HashSet<Serial>,
}

impl Reserved {
    /// Reserves the subject, key and serial number of a DER certificate.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn add(&mut self, certificate: &[u8]) -> Result<(), CertificateError> {
        let certificate = Certificate::from_der(certificate)?;
        let tbs = certificate.tbs_certificate();
        let name = Comparable::of_configured(tbs.subject()).ok_or(CertificateError::Subject)?;
        self.add_key(&tbs.subject_public_key_info().to_der()?)?;
        // A number that RFC 5280 does not allow, such as 0, cannot be a leaf's either.
        if let Ok(serial) = Serial::try_from(tbs.serial_number().as_bytes()) {
            self.serials.insert(serial);
        }
        // Nobody is found by an empty name.
        if !name.is_empty() {
            self.names.insert(name);
        }
        Ok(())
    }

    /// Reserves the key of a DER SubjectPublicKeyInfo, such as that of the log.
    ///
    /// # Errors
    /// [`CertificateError::Der`].
    pub fn add_key(&mut self, spki: &[u8]) -> Result<(), CertificateError> {
        self.keys.insert(KeyIdentity::of(spki)?);
        Ok(())
    }

    /// Whether a certificate of a ceremony has this serial number.
    pub fn has_serial(&self, serial: &Serial) -> bool {
        self.serials.contains(serial)
    }

    pub(crate) fn has_name(&self, name: &Comparable) -> bool {
        self.names.contains(name)
    }

    pub(crate) fn has_key(&self, key: &KeyIdentity) -> bool {
        self.keys.contains(key)
    }
}
