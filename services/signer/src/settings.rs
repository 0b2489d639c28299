//! What the signer runs on: paths absolute, identities checked, certificates read.

mod approvers;
mod generation;
mod log;
mod rollover;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use assay_hsm::HsmConfig;
use assay_issuance::{CrlConfig, GenerationSettings, LimitsConfig, ResponderSettings, Terms};
use assay_runtime::config::{ConfigError, Document};
use assay_runtime::identity::Role;
use assay_runtime::mtls::{AllowList, TlsFiles};
use assay_runtime::ops::OpsConfig;
use assay_runtime::telemetry::LogConfig;
use assay_sandbox::Confinement;

use self::approvers::read_approvers;
use self::generation::{read_certificate, read_certificates};
use self::log::read_log;
use self::rollover::{First, read_rollover};
use crate::config::{HsmTable, ListenerConfig, OcspConfig, SignerConfig};

/// Whole seconds count in a CRL; below this a list would be old before it is fetched.
const MIN_CRL_VALIDITY: Duration = Duration::from_secs(10);

/// Whole seconds count in a response too. What is valid for longer than a month says little of today.
const MIN_OCSP_VALIDITY: Duration = Duration::from_secs(10);
const MAX_OCSP_VALIDITY: Duration = Duration::from_secs(31 * 86_400);
/// Far above what a token signs, and what frontends ask for.
const MAX_OCSP_RATE: u32 = 100_000;

/// No token unwraps and signs in less, so that a shorter tick would hide nothing. A build with debug assertions takes
/// less than 1 ms as well, which is no tick at all: the test that times refusals proves by it that it would see a
/// difference. No other build has a way to switch the tick off.
const LEAST_REFUSAL_TICK_MS: u128 = if cfg!(debug_assertions) { 0 } else { 5 };

/// A configuration that was read whole and found right.
#[derive(Debug)]
pub struct Settings {
    pub(crate) enrolment: Listener,
    pub(crate) administration: Listener,
    /// How the HSM service is reached.
    pub hsm: HsmConfig,
    /// What the core runs on.
    pub issuance: assay_issuance::Settings,
    pub(crate) state: PathBuf,
    pub(crate) ops: OpsConfig,
    pub(crate) log: LogConfig,
    file: PathBuf,
}

/// A gRPC listener and who may call it.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) listen: SocketAddr,
    pub(crate) files: TlsFiles,
    pub(crate) allow: AllowList,
}

impl Settings {
    /// Which log lines are written, and how.
    pub fn log(&self) -> &LogConfig {
        &self.log
    }

    /// The needs of the process once its listeners are bound: its configuration and certificates, its state, and the socket
    /// of the HSM service. It makes no connection over a network.
    pub fn confinement(&self, ready_file: Option<&Path>) -> Confinement {
        let mut confinement = Confinement::new()
            .unix_sockets()
            .read_beside(&self.file)
            .read_beside(&self.issuance.challenge_key)
            .write_beside(&self.state);
        for TlsFiles {
            certificate,
            private_key,
            trust_anchors,
        } in [&self.enrolment.files, &self.administration.files]
        {
            for file in [certificate, private_key, trust_anchors] {
                confinement = confinement.read_beside(file);
            }
        }
        if let Some(file) = ready_file {
            confinement = confinement.write_beside(file);
        }
        confinement
    }

    /// Reads and validates `file`; an error names the file, the line and the key.
    ///
    /// # Errors
    /// What is wrong, and what would be right.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        let document = Document::read(file)?;
        let config: SignerConfig = document.parse()?;
        check_ranges(&document, &config.hsm, &config.limits)?;
        check_schedule(&document, &config.crl)?;
        let hsm_user = config.hsm.user.find();
        let hsm_user = hsm_user.map_err(|error| document.error("hsm.user", error))?;
        let certificates = read_certificates(&document, "certificates", &config.certificates)?;
        let ocsp = config
            .ocsp
            .map(|ocsp| responder(&document, &ocsp))
            .transpose()?;
        let enrolment = listener(&document, config.enrolment, "enrolment", &[Role::Frontend])?;
        let audit_log = read_log(&document, &config.audit, &enrolment.files, &certificates.ca)?;
        let shared = First {
            certificates: &certificates,
            ocsp: ocsp.as_ref(),
        };
        let rollover = config
            .rollover
            .map(|rollover| read_rollover(&document, rollover, &shared))
            .transpose()?;
        let administration = listener(
            &document,
            config.administration,
            "administration",
            &Role::PEOPLE,
        )?;
        let approvers = read_approvers(&document, config.policy)?;
        Ok(Self {
            enrolment,
            administration,
            hsm: HsmConfig {
                socket: document.folder().join(&config.hsm.socket),
                user: hsm_user,
                queue: config.hsm.queue,
                health_interval: config.hsm.health_interval,
                program: "assay-signer".to_owned(),
            },
            issuance: assay_issuance::Settings {
                terms: Terms::new(
                    approvers,
                    &certificates.ca,
                    rollover.as_ref(),
                    &config.limits,
                ),
                first: GenerationSettings { certificates, ocsp },
                rollover,
                challenge_key: document.folder().join(config.state.challenge_key),
                crl: config.crl,
                keep_evidence: config.audit.keep_evidence,
                audit_log,
                limits: config.limits,
                config_hash: assay_types::Hash::of(document.text().as_bytes()),
            },
            state: document.folder().join(config.state.path),
            ops: config.ops,
            log: config.log,
            file: file.to_owned(),
        })
    }
}

fn check_ranges(
    document: &Document,
    hsm: &HsmTable,
    limits: &LimitsConfig,
) -> Result<(), ConfigError> {
    let ms = Duration::as_millis;
    for (key, value, least, most, unit) in [
        ("hsm.queue", hsm.queue as u128, 1, 65_536, ""),
        (
            "hsm.health_interval",
            ms(&hsm.health_interval),
            50,
            60_000,
            " ms",
        ),
        (
            "limits.concurrency",
            limits.concurrency as u128,
            1,
            4_096,
            "",
        ),
        (
            "limits.frontend_rate",
            limits.frontend_rate.into(),
            1,
            1_000_000,
            "",
        ),
        (
            "limits.refusal_rate",
            limits.refusal_rate.into(),
            1,
            100_000,
            "",
        ),
        (
            "limits.undecipherable_rate",
            limits.undecipherable_rate.into(),
            1,
            100_000,
            "",
        ),
        (
            "limits.refusal_tick",
            ms(&limits.refusal_tick),
            LEAST_REFUSAL_TICK_MS,
            1_000,
            " ms",
        ),
        (
            "limits.retransmit_window",
            ms(&limits.retransmit_window),
            1,
            86_400_000,
            " ms",
        ),
        (
            "limits.intent_ttl",
            ms(&limits.intent_ttl),
            1_000,
            604_800_000,
            " ms",
        ),
    ] {
        if !(least..=most).contains(&value) {
            return Err(document.error(
                key,
                format!("{value}{unit} is not from {least}{unit} to {most}{unit}"),
            ));
        }
    }
    Ok(())
}

fn check_schedule(document: &Document, crl: &CrlConfig) -> Result<(), ConfigError> {
    if crl.validity < MIN_CRL_VALIDITY {
        return Err(document.error("crl.validity", "a CRL is valid for at least 10s"));
    }
    if crl.refresh >= crl.validity {
        let text = "must be shorter than crl.validity, so that a CRL is replaced before it ends";
        return Err(document.error("crl.refresh", text));
    }
    Ok(())
}

/// Certificate and schedule of the responder, once they are found to make sense.
fn responder(document: &Document, ocsp: &OcspConfig) -> Result<ResponderSettings, ConfigError> {
    if !(MIN_OCSP_VALIDITY..=MAX_OCSP_VALIDITY).contains(&ocsp.validity) {
        return Err(document.error("ocsp.validity", "a response is valid for 10s to 31d"));
    }
    if ocsp.refresh >= ocsp.validity {
        let text =
            "must be shorter than ocsp.validity, so that a response is replaced before it ends";
        return Err(document.error("ocsp.refresh", text));
    }
    for (key, value) in [
        ("ocsp.rate", ocsp.rate),
        ("ocsp.lookup_rate", ocsp.lookup_rate),
    ] {
        if !(1..=MAX_OCSP_RATE).contains(&value) {
            return Err(document.error(key, format!("{value} is not from 1 to {MAX_OCSP_RATE}")));
        }
    }
    let schedule = ocsp.schedule();
    let certificate = read_certificate(document, "ocsp.certificate", &ocsp.certificate)?;
    Ok(ResponderSettings {
        certificate,
        schedule,
    })
}

fn listener(
    document: &Document,
    config: ListenerConfig,
    section: &str,
    roles: &[Role],
) -> Result<Listener, ConfigError> {
    let folder = document.folder();
    Ok(Listener {
        listen: config.listen,
        files: TlsFiles {
            certificate: folder.join(config.certificate),
            private_key: folder.join(config.private_key),
            trust_anchors: folder.join(config.trust_anchors),
        },
        allow: AllowList::new(config.allow, roles)
            .map_err(|error| document.error(&format!("{section}.allow"), error))?,
    })
}
