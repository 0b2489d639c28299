//! A certificate and its key, as a device keeps them in two PEM files.

use std::path::Path;

use openssl::x509::X509;

use super::DeviceKey;
use crate::failure::{Failure, OrFail, Outcome};
use crate::files;

/// What a device signs its messages with.
#[derive(Clone, Debug)]
pub(crate) struct Credential {
    pub(crate) key: DeviceKey,
    /// DER.
    pub(crate) certificate: Vec<u8>,
}

impl Credential {
    /// Reads both, and sees that they belong together.
    pub(crate) fn read(certificate: &Path, key: &Path) -> Outcome<Self> {
        let what = format!("{} holds no PEM certificate", certificate.display());
        let parsed = X509::from_pem(&files::read(certificate)?).or_fail(what.clone())?;
        let credential = Self {
            key: DeviceKey::read(key)?,
            certificate: parsed.to_der().or_fail(what.clone())?,
        };
        let certified = parsed.public_key().or_fail(what)?;
        if certified.public_eq(credential.key.public()) {
            return Ok(credential);
        }
        Err(Failure::failed(format!(
            "{} is not the key of {}",
            key.display(),
            certificate.display()
        ))
        .next("give the certificate, then its own key"))
    }
}
