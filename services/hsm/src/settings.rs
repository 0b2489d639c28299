//! What the service runs on: paths absolute, certificates read.

use std::path::{Path, PathBuf};
use std::time::Duration;

use assay_config::{ConfigError, Document};
use assay_hsm::{KeyRole, User};
use assay_pkcs11::{KeyUri, PinSource};
use assay_sandbox::Confinement;

use crate::config::{CaTable, HsmFile, PairTable};

/// Where systemd keeps the credentials of a unit.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";
/// Most sessions: far beyond what cores and tokens make use of.
const MAX_THREADS: usize = 64;
/// A CA and those that take over from it.
const MAX_CAS: usize = 8;
/// Longest origin of a log, in octets.
const MAX_ORIGIN: usize = 200;
const LEAST_DEADLINE: Duration = Duration::from_millis(50);
const MOST_DEADLINE: Duration = Duration::from_secs(120);

/// A configuration that was read whole and found right.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) socket: PathBuf,
    pub(crate) state: PathBuf,
    pub(crate) peer: User,
    pub(crate) allow_same_user: bool,
    pub(crate) threads: usize,
    pub(crate) operation_deadline: Duration,
    pub(crate) log_filter: String,
    pub(crate) metrics_file: Option<PathBuf>,
    pub(crate) module: PathBuf,
    pub(crate) environment: Vec<(String, String)>,
    /// The needs of the library.
    library: Confinement,
    /// Origin of the only log whose checkpoints are signed; its key is among `keys`.
    pub(crate) origin: Option<String>,
    /// Keys that are of no CA: probe, and log-sign where there is a log.
    pub(crate) keys: Vec<KeySettings>,
    pub(crate) cas: Vec<CaSettings>,
}

/// A CA with its keys.
#[derive(Debug)]
pub(crate) struct CaSettings {
    /// DER.
    pub(crate) certificate: Vec<u8>,
    /// ca-sign, ra-decrypt and ra-sign, once each; ra-single and ocsp-sign at will.
    pub(crate) keys: Vec<KeySettings>,
}

/// One key.
#[derive(Clone, Debug)]
pub(crate) struct KeySettings {
    pub(crate) role: KeyRole,
    pub(crate) uri: KeyUri,
    /// DER of its certificate, proven at start to hold the key's public half.
    pub(crate) certificate: Option<Vec<u8>>,
}

impl Settings {
    /// Reads and validates `file`; an error names the file, the line and the key.
    pub(crate) fn load(file: &Path) -> Result<Self, ConfigError> {
        let document = Document::read(file)?;
        let config: HsmFile = document.parse()?;
        check_ranges(&document, &config)?;
        let peer = config.peer.find();
        let peer = peer.map_err(|error| document.error("peer", error))?;
        let folder = document.folder();
        let module = folder.join(&config.module.path);
        let mut keys = vec![KeySettings {
            role: KeyRole::Probe,
            uri: config.probe.key,
            certificate: None,
        }];
        let origin = config.log.map(|log| {
            keys.push(KeySettings {
                role: KeyRole::LogSign,
                uri: log.key,
                certificate: None,
            });
            log.origin
        });
        let cas = config.ca.into_iter();
        let cas = cas
            .map(|ca| read_ca(&document, ca))
            .collect::<Result<Vec<_>, _>>()?;
        for key in cas.iter().flat_map(|ca| &ca.keys).chain(&keys) {
            let held = key.uri.token().expect_module(&module);
            held.map_err(|error| document.error("module.path", error))?;
        }
        Ok(Self {
            socket: folder.join(config.socket),
            state: folder.join(config.state),
            peer,
            allow_same_user: config.allow_same_user,
            threads: config.threads,
            operation_deadline: config.operation_deadline,
            log_filter: config.log_filter,
            metrics_file: config.metrics_file.map(|file| folder.join(file)),
            library: config.module.confinement(folder),
            module,
            environment: config.module.environment.into_iter().collect(),
            origin,
            keys,
            cas,
        })
    }
}

impl Settings {
    /// The needs of the process once its socket is there: those of the library, the PIN, and the directories of its state, of
    /// the socket, which it removes at its end, and of the files that it writes.
    pub(crate) fn confinement(&self, ready_file: Option<&Path>) -> Confinement {
        let mut confinement = self.library.clone().write(&self.state);
        let written = [
            Some(self.socket.as_path()),
            ready_file,
            self.metrics_file.as_deref(),
        ];
        for file in written.into_iter().flatten() {
            confinement = confinement.write_beside(file);
        }
        // All keys lie on one token, whose PIN is read once, so that the file alone does.
        let mut keys = self.cas.iter().flat_map(|ca| &ca.keys).chain(&self.keys);
        let pin = keys.find_map(|key| match key.uri.token().pin_source()? {
            PinSource::File(file) => Some(file.clone()),
            PinSource::Credential(_) => std::env::var_os(CREDENTIALS).map(PathBuf::from),
        });
        // The code that needs the PIN reports that there is none.
        if let Some(pin) = pin.filter(|pin| pin.exists()) {
            confinement = confinement.read(pin);
        }
        confinement
    }
}

fn check_ranges(document: &Document, config: &HsmFile) -> Result<(), ConfigError> {
    if !(1..=MAX_THREADS).contains(&config.threads) {
        let text = format!("{} is not from 1 to {MAX_THREADS}", config.threads);
        return Err(document.error("threads", text));
    }
    if !(LEAST_DEADLINE..=MOST_DEADLINE).contains(&config.operation_deadline) {
        return Err(document.error("operation_deadline", "is not from 50ms to 120s"));
    }
    if !(1..=MAX_CAS).contains(&config.ca.len()) {
        let text = format!(
            "there are {} tables [[ca]]: 1 to {MAX_CAS} are needed",
            config.ca.len()
        );
        return Err(document.error("ca", text));
    }
    match &config.log {
        Some(log) if !is_origin(&log.origin) => {
            let text = format!(
                "`{}` cannot name a log: 1 to {MAX_ORIGIN} octets without spaces, control characters and plus signs",
                log.origin
            );
            Err(document.error("log.origin", text))
        }
        Some(_) | None => Ok(()),
    }
}

/// The origin names the log key as well, so the rules for key names hold (C2SP signed-note).
fn is_origin(origin: &str) -> bool {
    let fits = |c: char| !(c.is_whitespace() || c.is_control() || c == '+');
    (1..=MAX_ORIGIN).contains(&origin.len()) && origin.chars().all(fits)
}

fn read_ca(document: &Document, ca: CaTable) -> Result<CaSettings, ConfigError> {
    let certificate = read_certificate(document, "ca.certificate", &ca.certificate)?;
    let pair = |role, name: &str, pair: PairTable| -> Result<KeySettings, ConfigError> {
        let certificate = read_certificate(document, name, &pair.certificate)?;
        Ok(KeySettings {
            role,
            uri: pair.key,
            certificate: Some(certificate),
        })
    };
    let mut keys = vec![
        KeySettings {
            role: KeyRole::CaSign,
            uri: ca.key,
            certificate: Some(certificate.clone()),
        },
        pair(KeyRole::RaDecrypt, "ca.ra.decrypt", ca.ra.decrypt)?,
        pair(KeyRole::RaSign, "ca.ra.sign", ca.ra.sign)?,
    ];
    if let Some(single) = ca.ra.single {
        keys.push(pair(KeyRole::RaSingle, "ca.ra.single", single)?);
    }
    if let Some(ocsp) = ca.ocsp {
        keys.push(pair(KeyRole::OcspSign, "ca.ocsp.certificate", ocsp)?);
    }
    Ok(CaSettings { certificate, keys })
}

/// DER of a PEM file.
fn read_certificate(document: &Document, key: &str, path: &Path) -> Result<Vec<u8>, ConfigError> {
    let path = document.folder().join(path);
    let pem = std::fs::read(&path).map_err(|error| {
        document.error(key, format!("{} cannot be read: {error}", path.display()))
    })?;
    openssl::x509::X509::from_pem(&pem)
        .and_then(|certificate| certificate.to_der())
        .map_err(|_| document.error(key, format!("{} is not a PEM certificate", path.display())))
}
