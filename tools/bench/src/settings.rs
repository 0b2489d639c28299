//! The token as the signer's configuration names it, read leniently: the signer itself judges the file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use assay_hsm::{HsmConfig, KeyConfig, KeyRole, KeyUri};
use openssl::x509::X509;
use serde::Deserialize;

use crate::failure::{Failure, OrFail, Outcome};
use crate::files;
use crate::installation::Installation;

/// Generous: nothing else waits for this worker.
const OPERATION_DEADLINE: Duration = Duration::from_secs(30);
/// Rare, so that probes do not count as load.
const HEALTH_INTERVAL: Duration = Duration::from_secs(60);

#[derive(Debug, Deserialize)]
struct SignerFile {
    token: TokenSection,
    keys: BTreeMap<String, String>,
    certificates: CertificatesSection,
    ocsp: Option<OcspSection>,
}

#[derive(Debug, Deserialize)]
struct TokenSection {
    module: PathBuf,
    threads: Option<usize>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
struct CertificatesSection {
    ca: PathBuf,
    ra_enc: PathBuf,
    ra_sign: PathBuf,
}

#[derive(Debug, Deserialize)]
struct OcspSection {
    key: String,
    certificate: PathBuf,
}

/// The settings of an installation's signer that the benchmark needs.
pub(super) struct Signer {
    pub(super) ca: Vec<u8>,
    pub(super) ra_enc: X509,
    pub(super) hsm: HsmConfig,
    /// The OCSP responder's key, which `hsm` does not have.
    pub(super) ocsp: Option<KeyConfig>,
}

/// Sessions of a worker where the file does not say.
const THREADS: usize = 4;

impl Signer {
    pub(super) fn read(
        installation: &Installation,
        threads: Option<usize>,
        queue: usize,
    ) -> Outcome<Self> {
        let path = installation.signer_config();
        let file: SignerFile = toml::from_str(&files::read_text(&path)?)
            .or_usage(format!("{} cannot be used", path.display()))?;
        let certificate = |path: &Path| -> Outcome<X509> {
            let path = installation.path(path);
            X509::from_pem(&files::read(&path)?)
                .or_fail(format!("{} holds no PEM certificate", path.display()))
        };
        let der = |certificate: &X509| certificate.to_der().or_fail("a certificate is unreadable");
        let ra_enc = certificate(&file.certificates.ra_enc)?;
        let ca = der(&certificate(&file.certificates.ca)?)?;
        let ra_sign = der(&certificate(&file.certificates.ra_sign)?)?;
        let ra_enc_der = der(&ra_enc)?;
        let key = |role: KeyRole, certificate: Option<&Vec<u8>>| -> Outcome<KeyConfig> {
            let uri = file.keys.get(role.as_str()).ok_or_else(|| {
                Failure::usage(format!("{}: [keys] has no {role}", path.display()))
            })?;
            Ok(KeyConfig {
                role,
                uri: KeyUri::parse(uri).or_usage(format!("{}: keys.{role}", path.display()))?,
                certificate: certificate.cloned(),
            })
        };
        let keys = vec![
            key(KeyRole::RaDecrypt, Some(&ra_enc_der))?,
            key(KeyRole::RaSign, Some(&ra_sign))?,
            key(KeyRole::CaSign, Some(&ca))?,
            key(KeyRole::Probe, None)?,
        ];
        let ocsp = match &file.ocsp {
            Some(ocsp) => Some(KeyConfig {
                role: KeyRole::OcspSign,
                uri: KeyUri::parse(&ocsp.key).or_usage(format!("{}: ocsp.key", path.display()))?,
                certificate: Some(der(&certificate(&ocsp.certificate)?)?),
            }),
            None => None,
        };
        Ok(Self {
            ocsp,
            hsm: HsmConfig {
                module: installation.path(file.token.module),
                keys,
                // A benchmark signs no checkpoints.
                log_origin: None,
                threads: threads.or(file.token.threads).unwrap_or(THREADS),
                workers: 1,
                operation_deadline: OPERATION_DEADLINE,
                queue,
                health_interval: HEALTH_INTERVAL,
                environment: file.token.environment.into_iter().collect(),
                program: None,
            },
            ca,
            ra_enc,
        })
    }
}
