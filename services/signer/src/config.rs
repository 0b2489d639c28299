//! `signer.toml` as it is written; [`crate::settings`] makes of it what the process runs on.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use assay_hsm::UserName;
use assay_issuance::{CrlConfig, LimitsConfig, OcspSchedule};
use assay_runtime::config::duration;
use assay_runtime::identity::Identity;
use assay_runtime::ops::OpsConfig;
use assay_runtime::telemetry::LogConfig;
use serde::{Deserialize, Deserializer, de};

/// The file as it is written. Unknown keys are refused; paths are relative to the file's own directory.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignerConfig {
    pub(crate) enrolment: ListenerConfig,
    pub(crate) administration: ListenerConfig,
    pub(crate) hsm: HsmTable,
    pub(crate) certificates: CertificatesConfig,
    pub(crate) state: StateConfig,
    pub(crate) ops: OpsConfig,
    /// Checked after parsing, so that its absence is told with what it is for.
    pub(crate) policy: Option<PolicyConfig>,
    #[serde(default)]
    pub(crate) crl: CrlConfig,
    /// Without it there is no OCSP.
    pub(crate) ocsp: Option<OcspConfig>,
    /// Without it no CA takes over.
    pub(crate) rollover: Option<RolloverConfig>,
    #[serde(default)]
    pub(crate) audit: AuditConfig,
    #[serde(default)]
    pub(crate) limits: LimitsConfig,
    #[serde(default)]
    pub(crate) log: LogConfig,
}

/// A gRPC listener: address, our certificate, whom we trust and whom we let in.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListenerConfig {
    pub(crate) listen: SocketAddr,
    pub(crate) certificate: PathBuf,
    pub(crate) private_key: PathBuf,
    pub(crate) trust_anchors: PathBuf,
    /// Exact identities, `assay://ROLE/NAME`. An empty list refuses to start.
    pub(crate) allow: Vec<Identity>,
}

/// The HSM service, which holds the keys of the certificates below.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HsmTable {
    /// Its Unix socket.
    pub(crate) socket: PathBuf,
    /// The user, by name or number, that it runs as.
    pub(crate) user: UserName,
    /// How often it finds the probe key, signs with it and verifies.
    #[serde(default = "default_health_interval", with = "duration")]
    pub(crate) health_interval: Duration,
    /// Operations that may wait for the service.
    #[serde(default = "default_queue")]
    pub(crate) queue: usize,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CertificatesConfig {
    pub(crate) ca: PathBuf,
    pub(crate) ra_enc: PathBuf,
    pub(crate) ra_sign: PathBuf,
    /// Of the key for both uses; needed only for profiles with the exception `single_ra`.
    pub(crate) ra_single: Option<PathBuf>,
    /// The CA's own issuers up to the root, in order; may be empty.
    #[serde(default)]
    pub(crate) chain: Vec<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StateConfig {
    /// The database; its lock file stands beside it.
    pub(crate) path: PathBuf,
    /// 32 random bytes that key the hashes of challenges. Outside the database, so that a copy of the database
    /// alone does not let anyone search for a challenge.
    pub(crate) challenge_key: PathBuf,
}

/// Who brings policy into force.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PolicyConfig {
    /// Approvals that a version needs, of people other than its author. 1 to 16.
    pub(crate) approvals: usize,
    #[serde(default)]
    pub(crate) approver: Vec<ApproverConfig>,
}

/// A key that may propose and approve.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApproverConfig {
    /// Whose key it is. Approvals are counted by person; the same name stands at each of a person's keys.
    pub(crate) person: String,
    /// PEM certificate. It is pinned as it is: neither its issuer nor its validity counts.
    pub(crate) certificate: PathBuf,
    /// A retired key still counts for versions activated before, for no new one.
    #[serde(default)]
    pub(crate) retired: bool,
}

/// OCSP: the responder, and when its responses are signed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OcspConfig {
    /// PEM: its certificate by the CA.
    pub(crate) certificate: PathBuf,
    /// From thisUpdate to nextUpdate.
    #[serde(default = "default_ocsp_validity", with = "duration")]
    pub(crate) validity: Duration,
    /// From one response to the next; the rest of the validity is overlap.
    #[serde(default = "default_ocsp_refresh", with = "duration")]
    pub(crate) refresh: Duration,
    /// Responses signed a second at most, beside those of certificates whose status changes.
    #[serde(default = "default_ocsp_rate")]
    pub(crate) rate: u32,
    /// Questions a second for each frontend; it has answers of its own for what it asked of late.
    #[serde(default = "default_ocsp_lookup_rate")]
    pub(crate) lookup_rate: u32,
    /// Signs a second response for each certificate, for clients whose CertIDs are of SHA-256 (RFC 9919); those of RFC 5019
    /// have SHA-1.
    #[serde(default = "default_ocsp_sha256")]
    pub(crate) sha256: bool,
}

impl OcspConfig {
    pub(crate) fn schedule(&self) -> OcspSchedule {
        OcspSchedule {
            validity: self.validity,
            refresh: self.refresh,
            rate: self.rate,
            lookup_rate: self.lookup_rate,
            sha256: self.sha256,
        }
    }
}

/// The CA that takes over, its RA, and when. It has keys of its own in the same HSM service; the log's key stays.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RolloverConfig {
    /// RFC 3339: from then on GetCACert names the next CA.
    #[serde(deserialize_with = "time")]
    pub(crate) switch_at: SystemTime,
    /// How long after it requests to the old RA are still answered, under the old CA.
    #[serde(default = "default_overlap", with = "duration")]
    pub(crate) overlap: Duration,
    pub(crate) certificates: CertificatesConfig,
    /// Needed where the CA before has a responder.
    pub(crate) ocsp: Option<NextOcspConfig>,
}

/// The responder for what the next CA issues, on the schedule of `[ocsp]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NextOcspConfig {
    /// PEM: its certificate by the next CA.
    pub(crate) certificate: PathBuf,
}

/// What is kept beside the audit log, and how it is signed for.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AuditConfig {
    /// How long the evidence of a decision is kept: from the end of the certificate, or from the decision where there is
    /// none. The record and its salted hash stay for good.
    #[serde(with = "duration")]
    pub(crate) keep_evidence: Duration,
    /// Name of the log in its checkpoints (C2SP tlog-checkpoint), by custom a URL without its scheme. Left out, it is
    /// made of the signer's name and the CA's key. A log keeps its name for good.
    pub(crate) origin: Option<String>,
    /// How often the records that came since are signed for. 100ms to 1h.
    #[serde(with = "duration")]
    pub(crate) checkpoint_interval: Duration,
    /// Verifier keys (vkeys) of the witnesses whose cosignatures are taken. At most 16.
    pub(crate) witnesses: Vec<String>,
}

impl Default for AuditConfig {
    fn default() -> Self {
        Self {
            // Two years, as `2y` is read.
            keep_evidence: Duration::from_secs(2 * 365 * 24 * 3600),
            origin: None,
            checkpoint_interval: Duration::from_secs(1),
            witnesses: Vec::new(),
        }
    }
}

fn default_health_interval() -> Duration {
    Duration::from_secs(1)
}

fn default_queue() -> usize {
    256
}

fn default_ocsp_validity() -> Duration {
    Duration::from_secs(3 * 86_400)
}

fn default_ocsp_refresh() -> Duration {
    Duration::from_secs(86_400)
}

fn default_ocsp_rate() -> u32 {
    200
}

fn default_ocsp_lookup_rate() -> u32 {
    2_000
}

fn default_ocsp_sha256() -> bool {
    true
}

fn default_overlap() -> Duration {
    Duration::from_secs(30 * 86_400)
}

fn time<'de, D: Deserializer<'de>>(from: D) -> Result<SystemTime, D::Error> {
    let text = String::deserialize(from)?;
    humantime::parse_rfc3339(&text).map_err(|_| {
        de::Error::custom(format!(
            "`{text}` is no time of RFC 3339 in UTC, such as 2027-01-15T02:00:00Z"
        ))
    })
}

#[cfg(test)]
mod tests;
