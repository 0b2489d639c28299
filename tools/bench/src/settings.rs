//! The certificates as the signer's configuration names them, read leniently: the signer itself judges the file.

use std::path::{Path, PathBuf};

use assay_hsm::CaCertificates;
use openssl::x509::X509;
use serde::Deserialize;

use crate::failure::{OrFail, Outcome};
use crate::files;
use crate::installation::Installation;

#[derive(Debug, Deserialize)]
struct SignerFile {
    certificates: CertificatesSection,
    ocsp: Option<OcspSection>,
}

#[derive(Debug, Deserialize)]
struct CertificatesSection {
    ca: PathBuf,
    ra_enc: PathBuf,
    ra_sign: PathBuf,
}

#[derive(Debug, Deserialize)]
struct OcspSection {
    certificate: PathBuf,
}

/// The settings of an installation's signer that the benchmark needs.
pub(super) struct Signer {
    pub(super) ca: Vec<u8>,
    pub(super) ra_enc: X509,
    ra_enc_der: Vec<u8>,
    ra_sign: Vec<u8>,
    pub(super) ocsp: Option<Vec<u8>>,
}

impl Signer {
    pub(super) fn read(installation: &Installation) -> Outcome<Self> {
        let path = installation.signer_config();
        let file: SignerFile = toml::from_str(&files::read_text(&path)?)
            .or_usage(format!("{} cannot be used", path.display()))?;
        let certificate = |path: &Path| -> Outcome<X509> {
            let path = installation.path(path);
            X509::from_pem(&files::read(&path)?)
                .or_fail(format!("{} is not a PEM certificate", path.display()))
        };
        let der = |certificate: &X509| certificate.to_der().or_fail("a certificate is unreadable");
        let ra_enc = certificate(&file.certificates.ra_enc)?;
        let ocsp = file.ocsp.map(|ocsp| der(&certificate(&ocsp.certificate)?));
        Ok(Self {
            ca: der(&certificate(&file.certificates.ca)?)?,
            ra_sign: der(&certificate(&file.certificates.ra_sign)?)?,
            ra_enc_der: der(&ra_enc)?,
            ocsp: ocsp.transpose()?,
            ra_enc,
        })
    }

    /// Those of the keys, for the HSM service.
    pub(super) fn certificates(&self) -> CaCertificates<'_> {
        CaCertificates {
            ca: &self.ca,
            ra_decrypt: &self.ra_enc_der,
            ra_sign: &self.ra_sign,
            ra_single: None,
            ocsp: self.ocsp.as_deref(),
        }
    }
}
