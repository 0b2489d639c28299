//! `hsm.toml` as it is written; [`crate::settings`] makes of it what the process runs on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use assay_config::duration;
use assay_hsm::UserName;
use assay_pkcs11::KeyUri;
use assay_sandbox::Confinement;
use serde::{Deserialize, Deserializer, de};

/// Where the C library keeps shared memory of POSIX.
const SHARED_MEMORY: &str = "/dev/shm";

/// The file as it is written. Unknown keys are refused; paths are relative to the file's own directory.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HsmFile {
    /// The Unix socket. Its directory belongs to this service's user and is writable by nobody else.
    pub(crate) socket: PathBuf,
    /// Directory of what the service keeps; made with mode 0700.
    pub(crate) state: PathBuf,
    /// The user, by name or number, whose processes may connect.
    pub(crate) peer: UserName,
    /// Whether `peer` may be this service's own user, for trials.
    #[serde(default)]
    pub(crate) allow_same_user: bool,
    /// Sessions, each with a thread of its own. 1 to 64.
    #[serde(default = "default_threads")]
    pub(crate) threads: usize,
    /// An operation that takes longer in the library ends the process.
    #[serde(default = "default_deadline", with = "duration")]
    pub(crate) operation_deadline: Duration,
    /// Which log lines are written; `RUST_LOG` overrides it.
    #[serde(default = "default_filter")]
    pub(crate) log_filter: String,
    /// Where metrics are written, for node_exporter's textfile collector.
    pub(crate) metrics_file: Option<PathBuf>,
    pub(crate) module: ModuleTable,
    pub(crate) log: Option<LogTable>,
    pub(crate) probe: ProbeTable,
    /// Each CA whose keys are held; at least one, and at most 8.
    #[serde(default)]
    pub(crate) ca: Vec<CaTable>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ModuleTable {
    /// The PKCS#11 library.
    pub(crate) path: PathBuf,
    /// Environment variables for the library, such as SOFTHSM2_CONF.
    #[serde(default)]
    pub(crate) environment: BTreeMap<String, String>,
    /// Files and directories that the library reads, beyond its own directory and those of the system.
    #[serde(default)]
    pub(crate) read: Vec<PathBuf>,
    /// Files, directories and devices that it reads and writes.
    #[serde(default)]
    pub(crate) write: Vec<PathBuf>,
    /// Ports that it connects to by TCP, at any address.
    #[serde(default)]
    pub(crate) connect_tcp: Vec<u16>,
    /// Whether it resolves names by DNS.
    #[serde(default)]
    pub(crate) resolve_names: bool,
    /// Whether it connects to Unix sockets, such as those of pcscd, p11-kit and D-Bus.
    #[serde(default)]
    pub(crate) unix_sockets: bool,
    /// Whether it uses shared memory, of System V or in `/dev/shm`.
    #[serde(default)]
    pub(crate) shared_memory: bool,
}

impl ModuleTable {
    /// The needs of the library, with paths relative to `folder`.
    pub(crate) fn confinement(&self, folder: &Path) -> Confinement {
        let mut confinement = Confinement::new().read_beside(&folder.join(&self.path));
        for path in &self.read {
            confinement = confinement.read(folder.join(path));
        }
        for path in &self.write {
            confinement = confinement.write(folder.join(path));
        }
        for port in &self.connect_tcp {
            confinement = confinement.connect_tcp(*port);
        }
        if self.resolve_names {
            confinement = confinement.resolve_names();
        }
        if self.unix_sockets {
            confinement = confinement.unix_sockets();
        }
        if self.shared_memory {
            confinement = confinement.sysv_shared_memory().write(SHARED_MEMORY);
        }
        confinement
    }
}

/// The log whose checkpoints are signed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogTable {
    /// Its name (C2SP tlog-checkpoint).
    pub(crate) origin: String,
    /// PKCS#11 URI (RFC 7512) of log-sign.
    #[serde(deserialize_with = "key_uri")]
    pub(crate) key: KeyUri,
}

/// The key that health is probed with.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProbeTable {
    #[serde(deserialize_with = "key_uri")]
    pub(crate) key: KeyUri,
}

/// A CA with its RA, and perhaps its responder.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CaTable {
    /// PKCS#11 URI (RFC 7512) of ca-sign.
    #[serde(deserialize_with = "key_uri")]
    pub(crate) key: KeyUri,
    /// PEM: the CA certificate.
    pub(crate) certificate: PathBuf,
    pub(crate) ra: RaTable,
    /// Without it the service signs no OCSP response of this CA.
    pub(crate) ocsp: Option<PairTable>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RaTable {
    pub(crate) decrypt: PairTable,
    pub(crate) sign: PairTable,
    /// Needed only for profiles with the exception `single_ra`.
    pub(crate) single: Option<PairTable>,
}

/// A key and the certificate over it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PairTable {
    /// PKCS#11 URI (RFC 7512).
    #[serde(deserialize_with = "key_uri")]
    pub(crate) key: KeyUri,
    /// PEM.
    pub(crate) certificate: PathBuf,
}

fn default_threads() -> usize {
    4
}

fn default_deadline() -> Duration {
    Duration::from_secs(5)
}

fn default_filter() -> String {
    "info".to_owned()
}

fn key_uri<'de, D: Deserializer<'de>>(from: D) -> Result<KeyUri, D::Error> {
    KeyUri::parse(&String::deserialize(from)?).map_err(de::Error::custom)
}

#[cfg(test)]
mod tests;
