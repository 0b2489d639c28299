//! What the configuration means, checked.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use assay_runtime::config::{ConfigError, Document};
use assay_runtime::identity::{Identity, Role};
use assay_runtime::mtls::{self, MAX_CALLS, TlsFiles, device_acceptor};
use assay_runtime::ops::OpsConfig;
use assay_runtime::telemetry::{LogConfig, chain};
use assay_sandbox::Confinement;
use tokio_rustls::TlsAcceptor;

use crate::config::{FrontendConfig, LimitsConfig};
use crate::proxies::Proxies;

/// A process has 1,024 file descriptors unless its unit says otherwise, and 65,536 is the usual most.
const CONNECTIONS: RangeInclusive<usize> = 1..=60_000;
/// Calls that the signer takes of one frontend at a time, less those for OCSP and the public answers.
const CONCURRENCY: RangeInclusive<usize> = 1..=MAX_CALLS - OTHER_CALLS;
/// 24 for OCSP, one for the public answers, and as many again to spare.
const OTHER_CALLS: usize = 50;
/// Up to what the signer takes of a busy frontend.
const ADDRESS_RATE: RangeInclusive<usize> = 0..=100_000;
/// Ten seconds of the highest rate.
const ADDRESS_BURST: RangeInclusive<usize> = 1..=1_000_000;
/// From the smallest pkiMessage to a quarter of gRPC's default message limit.
const BODY: RangeInclusive<usize> = 1_024..=1 << 20;
/// The `http` crate holds a URI in 16 bits.
const URI: RangeInclusive<usize> = 1_024..=60_000;

/// Everything that the process needs, with files found readable and keys private.
pub struct Settings {
    pub(crate) listen: SocketAddr,
    pub(crate) tls: Option<TlsAcceptor>,
    pub(crate) signer_address: String,
    pub(crate) signer_identity: Identity,
    pub(crate) signer_files: TlsFiles,
    pub(crate) signer_timeout: Duration,
    pub(crate) refresh_interval: Duration,
    pub(crate) unready_after: Duration,
    pub(crate) proxies: Proxies,
    pub(crate) limits: LimitsConfig,
    pub(crate) ops: OpsConfig,
    log: LogConfig,
    signer_host: String,
    signer_port: u16,
    /// The configuration, certificates and keys.
    files: Vec<PathBuf>,
}

impl Settings {
    /// How log lines look.
    pub fn log(&self) -> &LogConfig {
        &self.log
    }

    /// The needs of the process once its listeners are bound: its configuration and certificates, and the signer. It writes
    /// nothing, except the ready file where one is asked for.
    pub fn confinement(&self, ready_file: Option<&Path>) -> Confinement {
        let mut confinement = Confinement::new().connect_tcp(self.signer_port);
        if self.signer_host.parse::<IpAddr>().is_err() {
            confinement = confinement.resolve_names();
        }
        for file in &self.files {
            confinement = confinement.read_beside(file);
        }
        if let Some(file) = ready_file {
            confinement = confinement.write_beside(file);
        }
        confinement
    }
}

impl TryFrom<FrontendConfig> for Settings {
    type Error = ConfigError;

    fn try_from(config: FrontendConfig) -> Result<Self, ConfigError> {
        let document = config.document();
        let folder = document.folder();
        let FrontendConfig {
            http,
            signer,
            limits,
            ops,
            log,
            ..
        } = config;

        let mut files = vec![document.path().to_owned()];
        let tls = match http.tls {
            None => None,
            Some(tls) => {
                let (certificate, key) =
                    (folder.join(tls.certificate), folder.join(tls.private_key));
                let acceptor = device_acceptor(&certificate, &key);
                files.extend([certificate, key]);
                Some(acceptor.map_err(|error| document.error("http.tls", chain(&error)))?)
            }
        };
        if signer.identity.role() != Role::Signer {
            return Err(document.error("signer.identity", "must be assay://signer/NAME"));
        }
        let signer_files = TlsFiles {
            certificate: signer.certificate,
            private_key: signer.private_key,
            trust_anchors: signer.trust_anchors,
        }
        .relative_to(folder);
        let (signer_host, signer_port) =
            mtls::check_client(&signer.address, &signer_files, signer.identity.clone())
                .map_err(|error| document.error("signer", chain(&error)))?;
        check_limits(&document, &limits)?;
        files.extend([
            signer_files.certificate.clone(),
            signer_files.private_key.clone(),
            signer_files.trust_anchors.clone(),
        ]);

        Ok(Self {
            listen: http.listen,
            tls,
            signer_address: signer.address,
            signer_identity: signer.identity,
            signer_files,
            signer_timeout: signer.timeout,
            refresh_interval: signer.refresh_interval,
            unready_after: signer.unready_after,
            proxies: http.proxies.map(Proxies::from).unwrap_or_default(),
            limits,
            ops,
            log,
            signer_host,
            signer_port,
            files,
        })
    }
}

fn check_limits(document: &Document, limits: &LimitsConfig) -> Result<(), ConfigError> {
    for (key, value, range) in [
        ("limits.connections", limits.connections, CONNECTIONS),
        (
            "limits.address_connections",
            limits.address_connections,
            CONNECTIONS,
        ),
        ("limits.concurrency", limits.concurrency, CONCURRENCY),
        (
            "limits.address_concurrency",
            limits.address_concurrency,
            CONNECTIONS,
        ),
        (
            "limits.address_rate",
            number(limits.address_rate),
            ADDRESS_RATE,
        ),
        (
            "limits.address_burst",
            number(limits.address_burst),
            ADDRESS_BURST,
        ),
        ("limits.max_body", limits.max_body, BODY),
        ("limits.max_uri", limits.max_uri, URI),
    ] {
        if !range.contains(&value) {
            let message = format!("{value} is not within {} to {}", range.start(), range.end());
            return Err(document.error(key, message));
        }
    }
    Ok(())
}

fn number(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}
