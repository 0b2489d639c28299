//! A certificate and its key, as a device keeps them in two PEM files.

use std::path::Path;

use openssl::x509::X509;

use crate::key::read_file;
use crate::{DeviceKey, Error, Result};

/// What a device signs its messages with.
#[derive(Clone, Debug)]
pub struct Credential {
    /// The private key.
    pub key: DeviceKey,
    /// The certificate over it, DER.
    pub certificate: Vec<u8>,
}

impl Credential {
    /// Reads both from PEM files, and sees that they belong together.
    ///
    /// # Errors
    /// A file cannot be read or used, or the key is not that of the certificate.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self> {
        let unusable = |source| Error::CertificateFile {
            path: certificate.to_owned(),
            source,
        };
        let parsed = X509::from_pem(&read_file(certificate)?).map_err(unusable)?;
        let credential = Self {
            key: DeviceKey::read(key)?,
            certificate: parsed.to_der().map_err(unusable)?,
        };
        let certified = parsed.public_key().map_err(unusable)?;
        if certified.public_eq(credential.key.public()) {
            return Ok(credential);
        }
        Err(Error::KeyMismatch {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
        })
    }
}
