//! What issuance runs on. Whoever makes these values has checked that they go together.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use assay_audit::note::VerifierKey;
use assay_hsm::CaCertificates;
use assay_runtime::config::duration;
use assay_types::Hash;
use serde::Deserialize;

use crate::terms::Terms;

/// The settings of the core, of one CA or of two.
#[derive(Debug)]
pub struct Settings {
    /// The CA of `[certificates]`.
    pub first: GenerationSettings,
    /// The CA that takes over, where there is one.
    pub rollover: Option<RolloverSettings>,
    /// The terms that a version of the policy is checked against.
    pub terms: Terms,
    /// The file of the challenge key.
    pub challenge_key: PathBuf,
    /// When CRLs are made.
    pub crl: CrlConfig,
    /// How long the evidence of a decision is kept.
    pub keep_evidence: Duration,
    /// How the log is signed.
    pub audit_log: LogSettings,
    /// Limits of requests.
    pub limits: LimitsConfig,
    /// SHA-256 of the configuration file's bytes: goes into every audit record.
    pub config_hash: Hash,
}

/// What one CA runs on.
#[derive(Debug)]
pub struct GenerationSettings {
    /// The CA, its RA and its issuers.
    pub certificates: Certificates,
    /// Its responder, where there is one.
    pub ocsp: Option<ResponderSettings>,
}

impl GenerationSettings {
    /// The certificates of its keys, for the code that opens them.
    pub fn hsm_certificates(&self) -> CaCertificates<'_> {
        let ocsp = self.ocsp.as_ref();
        CaCertificates {
            ca: &self.certificates.ca,
            ra_decrypt: &self.certificates.ra_enc,
            ra_sign: &self.certificates.ra_sign,
            ra_single: self.certificates.ra_single.as_deref(),
            ocsp: ocsp.map(|ocsp| ocsp.certificate.as_slice()),
        }
    }
}

/// DER certificates that the signer serves and issues under.
#[derive(Debug, Clone)]
pub struct Certificates {
    /// The table that they are named in, for messages.
    pub table: &'static str,
    /// The issuing CA.
    pub ca: Vec<u8>,
    /// The RA's for encryption.
    pub ra_enc: Vec<u8>,
    /// The RA's for signatures.
    pub ra_sign: Vec<u8>,
    /// The RA's of both uses, for profiles with the exception `single_ra`.
    pub ra_single: Option<Vec<u8>>,
    /// The CA's own issuers up to the root, in order.
    pub chain: Vec<Vec<u8>>,
}

/// The responder's certificate and its schedule.
#[derive(Debug)]
pub struct ResponderSettings {
    /// DER.
    pub certificate: Vec<u8>,
    /// When it signs.
    pub schedule: OcspSchedule,
}

/// When OCSP responses are signed, and how often they are asked for.
#[derive(Debug, Clone, Copy)]
pub struct OcspSchedule {
    /// From thisUpdate to nextUpdate.
    pub validity: Duration,
    /// From one response to the next; the rest of the validity is overlap.
    pub refresh: Duration,
    /// Responses signed a second at most, beside those of certificates whose status changes.
    pub rate: u32,
    /// Questions a second for each frontend.
    pub lookup_rate: u32,
    /// Signs a second response for each certificate, with a CertID of SHA-256.
    pub sha256: bool,
}

/// The CA that takes over, and when.
#[derive(Debug)]
pub struct RolloverSettings {
    /// That CA.
    pub next: GenerationSettings,
    /// From then on GetCACert names it.
    pub switch_at: SystemTime,
    /// How long after it requests to the old RA are still answered.
    pub overlap: Duration,
}

/// How the log is signed, and whose cosignatures count.
#[derive(Debug, Clone)]
pub struct LogSettings {
    /// Name of the log, of its key as well.
    pub origin: String,
    /// How often the records that came since are signed for.
    pub interval: Duration,
    /// The pinned witnesses.
    pub witnesses: Vec<VerifierKey>,
}

/// `[limits]` of signer.toml: what requests may take, and how long things are tried for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Requests at work at a time; one more is told to come back.
    pub concurrency: usize,
    /// Requests a second for each frontend, and how many of them may come at once.
    pub frontend_rate: u32,
    /// Refusals signed a second; past it the answer is 503, so that enrolments keep the token.
    pub refusal_rate: u32,
    /// Messages a second, for each frontend, that were decrypted and did not open to a CSR of their signer. Past it
    /// first enrolments get 503 before any decryption; renewals, whose signer is known, continue.
    pub undecipherable_rate: u32,
    /// How long an equal CSR of the same key gets the same certificate.
    #[serde(with = "duration")]
    pub retransmit_window: Duration,
    /// How long a certificate that was decided but not signed is tried for.
    #[serde(with = "duration")]
    pub intent_ttl: Duration,
    /// Failures of unwrapping leave at the next multiple of this after the request came.
    #[serde(with = "duration")]
    pub refusal_tick: Duration,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            concurrency: 64,
            frontend_rate: 2_000,
            refusal_rate: 100,
            undecipherable_rate: 200,
            retransmit_window: Duration::from_secs(3_600),
            intent_ttl: Duration::from_secs(3_600),
            refusal_tick: Duration::from_millis(25),
        }
    }
}

/// When CRLs are made. One is signed at once on each revocation besides.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CrlConfig {
    /// From thisUpdate to nextUpdate.
    #[serde(with = "duration")]
    pub validity: Duration,
    /// From one list to the next; the rest of the validity is overlap, for a token or a network that is away.
    #[serde(with = "duration")]
    pub refresh: Duration,
}

impl Default for CrlConfig {
    fn default() -> Self {
        Self {
            validity: Duration::from_secs(7 * 86_400),
            refresh: Duration::from_secs(86_400),
        }
    }
}
