//! A CA with its RA as it is configured.

use std::path::Path;

use assay_issuance::Certificates;
use assay_runtime::config::{ConfigError, Document};

use crate::config::CertificatesConfig;

pub(super) fn read_certificates(
    document: &Document,
    table: &'static str,
    paths: &CertificatesConfig,
) -> Result<Certificates, ConfigError> {
    let read = |key: &str, path: &Path| read_certificate(document, &format!("{table}.{key}"), path);
    Ok(Certificates {
        table,
        ca: read("ca", &paths.ca)?,
        ra_enc: read("ra_enc", &paths.ra_enc)?,
        ra_sign: read("ra_sign", &paths.ra_sign)?,
        ra_single: paths
            .ra_single
            .as_ref()
            .map(|path| read("ra_single", path))
            .transpose()?,
        chain: paths
            .chain
            .iter()
            .map(|path| read("chain", path))
            .collect::<Result<_, _>>()?,
    })
}

/// DER of a PEM file.
pub(super) fn read_certificate(
    document: &Document,
    key: &str,
    path: &Path,
) -> Result<Vec<u8>, ConfigError> {
    let path = document.folder().join(path);
    let pem = std::fs::read(&path).map_err(|error| {
        document.error(key, format!("{} cannot be read: {error}", path.display()))
    })?;
    openssl::x509::X509::from_pem(&pem)
        .and_then(|certificate| certificate.to_der())
        .map_err(|_| document.error(key, format!("{} holds no PEM certificate", path.display())))
}
