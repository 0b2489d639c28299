//! A CA with its RA as it is configured: keys, certificates, responder.

use std::path::Path;

use assay_hsm::{HsmConfig, KeyConfig, KeyRole, KeyUri};
use assay_issuance::{Certificates, LogSettings};
use assay_runtime::config::{ConfigError, Document};
use assay_runtime::telemetry::LogConfig;

use crate::config::{CertificatesConfig, KeysConfig, NextKeysConfig, TokenConfig};

/// Keys of one CA, by role, with the certificates over them.
pub(super) struct Keys {
    pub(super) ra_decrypt: KeyUri,
    pub(super) ra_sign: KeyUri,
    pub(super) ra_single: Option<KeyUri>,
    pub(super) ca_sign: KeyUri,
    /// A log has one key, whatever CA records in it.
    pub(super) log_sign: Option<KeyUri>,
    pub(super) probe: KeyUri,
    pub(super) ocsp: Option<KeyConfig>,
}

impl From<KeysConfig> for Keys {
    fn from(config: KeysConfig) -> Self {
        let KeysConfig {
            ra_decrypt,
            ra_sign,
            ra_single,
            ca_sign,
            log_sign,
            probe,
        } = config;
        Self {
            ra_decrypt,
            ra_sign,
            ra_single,
            ca_sign,
            log_sign: Some(log_sign),
            probe,
            ocsp: None,
        }
    }
}

impl Keys {
    pub(super) fn next(config: NextKeysConfig, probe: KeyUri) -> Self {
        let NextKeysConfig {
            ra_decrypt,
            ra_sign,
            ra_single,
            ca_sign,
        } = config;
        Self {
            ra_decrypt,
            ra_sign,
            ra_single,
            ca_sign,
            log_sign: None,
            probe,
            ocsp: None,
        }
    }

    /// The configuration of the workers that hold them.
    pub(super) fn hsm(
        self,
        document: &Document,
        token: &TokenConfig,
        certificates: &Certificates,
        log: &LogConfig,
        audit_log: &LogSettings,
    ) -> HsmConfig {
        // The workers have no configuration file: what they log is decided here too.
        let filter = ("RUST_LOG".to_owned(), log.filter.clone());
        let environment = token.environment.clone().into_iter();
        let key = |role, uri, certificate: Option<&Vec<u8>>| KeyConfig {
            role,
            uri,
            certificate: certificate.cloned(),
        };
        let log_origin = self.log_sign.as_ref().map(|_| audit_log.origin.clone());
        let ra_single = self
            .ra_single
            .map(|uri| key(KeyRole::RaSingle, uri, certificates.ra_single.as_ref()));
        let log_sign = self.log_sign.map(|uri| key(KeyRole::LogSign, uri, None));
        HsmConfig {
            module: document.folder().join(&token.module),
            keys: [
                key(
                    KeyRole::RaDecrypt,
                    self.ra_decrypt,
                    Some(&certificates.ra_enc),
                ),
                key(KeyRole::RaSign, self.ra_sign, Some(&certificates.ra_sign)),
                key(KeyRole::CaSign, self.ca_sign, Some(&certificates.ca)),
                key(KeyRole::Probe, self.probe, None),
            ]
            .into_iter()
            .chain(log_sign)
            .chain(ra_single)
            .chain(self.ocsp)
            .collect(),
            log_origin,
            threads: token.threads,
            workers: token.workers,
            operation_deadline: token.operation_deadline,
            queue: token.queue,
            health_interval: token.health_interval,
            environment: std::iter::once(filter).chain(environment).collect(),
            program: None,
        }
    }
}

/// The responder's key as its worker gets it.
pub(super) fn ocsp_key(uri: KeyUri, certificate: &[u8]) -> KeyConfig {
    KeyConfig {
        role: KeyRole::OcspSign,
        uri,
        certificate: Some(certificate.to_vec()),
    }
}

/// A key for both uses and its certificate come together.
pub(super) fn check_single_ra(
    document: &Document,
    prefix: &str,
    key: Option<&KeyUri>,
    certificates: &CertificatesConfig,
) -> Result<(), ConfigError> {
    match (key, &certificates.ra_single) {
        (Some(_), None) => Err(document.error(
            &format!("{prefix}keys.ra-single"),
            format!(
                "has no certificate: name it as {prefix}certificates.ra_single, or take the key out"
            ),
        )),
        (None, Some(_)) => Err(document.error(
            &format!("{prefix}certificates.ra_single"),
            format!("has no key: name it as {prefix}keys.ra-single, or take the certificate out"),
        )),
        (Some(_), Some(_)) | (None, None) => Ok(()),
    }
}

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
