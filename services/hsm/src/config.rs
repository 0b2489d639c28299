//! `hsm.toml` as it is written; [`crate::settings`] makes of it what the process runs on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use assay_config::duration;
use assay_hsm::UserName;
use assay_pkcs11::KeyUri;
use assay_sandbox::Confinement;
use assay_shape::Form;
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
    #[serde(default)]
    pub(crate) limits: LimitsTable,
    /// Each CA whose keys are held; at least one, and at most 8.
    #[serde(default)]
    pub(crate) ca: Vec<CaTable>,
    /// Each form that leaf certificates may have. Without any, none is signed.
    #[serde(default)]
    pub(crate) form: Vec<Form>,
}

/// Ceilings on what is signed, each of which `assay-hsm lift` raises for a time.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LimitsTable {
    /// How long after its decision a certificate may still be asked for: the signer's `limits.intent_ttl`, or more.
    #[serde(with = "duration")]
    pub(crate) intent_lifetime: Duration,
    pub(crate) certificates_per_hour: u64,
    pub(crate) certificates_per_day: u64,
    pub(crate) crls_per_hour: u64,
    pub(crate) crls_per_day: u64,
    pub(crate) decryptions_per_hour: u64,
    pub(crate) decryptions_per_day: u64,
    /// Records of the log.
    pub(crate) leaves_per_hour: u64,
    pub(crate) leaves_per_day: u64,
    /// Entries that are new on a CRL.
    pub(crate) revocations_per_hour: u64,
}

/// Enough for some ten thousand devices. An installation with more raises them; one with fewer lowers them.
impl Default for LimitsTable {
    fn default() -> Self {
        Self {
            intent_lifetime: Duration::from_secs(3_600),
            certificates_per_hour: 2_000,
            certificates_per_day: 20_000,
            crls_per_hour: 120,
            crls_per_day: 1_000,
            decryptions_per_hour: 20_000,
            decryptions_per_day: 200_000,
            leaves_per_hour: 100_000,
            leaves_per_day: 1_000_000,
            revocations_per_hour: 500,
        }
    }
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
    /// Its name in this file, which forms and `next` use.
    pub(crate) name: String,
    /// PKCS#11 URI (RFC 7512) of ca-sign.
    #[serde(deserialize_with = "key_uri")]
    pub(crate) key: KeyUri,
    /// PEM: the CA certificate.
    pub(crate) certificate: PathBuf,
    /// PEM, a file each: the CAs above it, up to the root.
    #[serde(default)]
    pub(crate) chain: Vec<PathBuf>,
    /// PEM, a file each: certificates of this CA that ceremonies made, beside those of `ra` and `ocsp`.
    #[serde(default)]
    pub(crate) ceremony_certificates: Vec<PathBuf>,
    /// Name of the CA that its RA may announce as the next one.
    pub(crate) next: Option<String>,
    /// Longest time from thisUpdate to nextUpdate of a CRL.
    #[serde(default = "default_crl_lifetime", with = "duration")]
    pub(crate) crl_lifetime_max: Duration,
    /// The same of an OCSP response.
    #[serde(default = "default_ocsp_lifetime", with = "duration")]
    pub(crate) ocsp_lifetime_max: Duration,
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

fn default_crl_lifetime() -> Duration {
    Duration::from_secs(35 * 24 * 3_600)
}

fn default_ocsp_lifetime() -> Duration {
    Duration::from_secs(10 * 24 * 3_600)
}

fn default_filter() -> String {
    "info".to_owned()
}

fn key_uri<'de, D: Deserializer<'de>>(from: D) -> Result<KeyUri, D::Error> {
    KeyUri::parse(&String::deserialize(from)?).map_err(de::Error::custom)
}

#[cfg(test)]
mod tests;
