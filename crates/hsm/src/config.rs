//! What a caller states to start workers.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::link::Launch;
use crate::supervisor::Plan;
use crate::wire::{KeySetup, Setup};
use crate::{KeyRole, KeyUri, StartError};

/// Most sessions of a worker and most workers: far beyond what cores and tokens make use of.
const MAX_THREADS: usize = 64;
const MAX_WORKERS: usize = 16;

/// Longest origin of a log, in octets.
const MAX_ORIGIN: usize = 200;

/// Roles that a service cannot be without.
const NEEDED: [KeyRole; 4] = [
    KeyRole::RaDecrypt,
    KeyRole::RaSign,
    KeyRole::CaSign,
    KeyRole::Probe,
];

/// One key of the service.
#[derive(Clone, Debug)]
pub struct KeyConfig {
    /// What the key is for.
    pub role: KeyRole,
    /// Where it lies.
    pub uri: KeyUri,
    /// DER of its certificate, proven at start to hold the key's public half. Needed for
    /// ca-sign, whose subject is the only issuer that the worker signs for, and for ocsp-sign,
    /// which answers for that issuer alone.
    pub certificate: Option<Vec<u8>>,
}

/// The service's keys and the processes that hold them.
#[derive(Clone, Debug)]
pub struct HsmConfig {
    /// The PKCS#11 library.
    pub module: PathBuf,
    /// ra-decrypt, ra-sign, ca-sign and probe, once each; ra-single, log-sign and ocsp-sign at will. All on
    /// one token.
    pub keys: Vec<KeyConfig>,
    /// Origin of the log whose checkpoints log-sign signs (C2SP tlog-checkpoint); without it, or without the key, there
    /// are none.
    pub log_origin: Option<String>,
    /// Sessions, each on a thread of its own, in a worker.
    pub threads: usize,
    /// Worker processes; one unless the library runs one operation at a time.
    pub workers: usize,
    /// How long one operation may take before its worker is killed.
    pub operation_deadline: Duration,
    /// Operations that may wait for a worker; more are refused as busy.
    pub queue: usize,
    /// Time between two health probes.
    pub health_interval: Duration,
    /// Environment variables for the library, such as `SOFTHSM2_CONF`.
    pub environment: Vec<(String, String)>,
    /// The program started as a worker; this very executable where `None`.
    pub program: Option<PathBuf>,
}

impl HsmConfig {
    /// Checks what can be checked without a token.
    pub(crate) fn into_plan(self) -> Result<Plan, StartError> {
        within("threads", self.threads, MAX_THREADS)?;
        within("workers", self.workers, MAX_WORKERS)?;
        within("queue", self.queue, usize::MAX)?;
        if self.operation_deadline.is_zero() || self.health_interval.is_zero() {
            return Err(wrong(
                "operation_deadline and health_interval",
                "must not be zero",
            ));
        }
        let module = utf8(&self.module)?;
        for role in KeyRole::ALL {
            let count = self.keys.iter().filter(|key| key.role == role).count();
            match (count, NEEDED.contains(&role), role) {
                (0, true, _) => return Err(wrong(role.as_str(), "is missing: name its key")),
                (1.., _, KeyRole::RootSign) => {
                    return Err(wrong(
                        "root-sign",
                        "has no place in a service: it lies on a token of its own",
                    ));
                }
                (2.., _, _) => return Err(wrong(role.as_str(), "is there twice: name one key")),
                _ => {}
            }
        }
        if let Some(origin) = &self.log_origin {
            check_origin(origin)?;
        }
        for key in &self.keys {
            key.uri.token().expect_module(&self.module)?;
        }
        let keys = self.keys.into_iter().map(|key| KeySetup {
            role: key.role,
            uri: key.uri.to_string(),
            certificate: key.certificate,
        });
        Ok(Plan {
            setup: Setup {
                module,
                threads: self.threads,
                keys: keys.collect(),
                log_origin: self.log_origin,
            },
            launch: Launch {
                program: self.program,
                environment: self.environment,
            },
            deadline: self.operation_deadline,
            health_interval: self.health_interval,
        })
    }
}

/// The path of a PKCS#11 library, as it travels to a worker.
fn utf8(module: &Path) -> Result<String, StartError> {
    module
        .to_str()
        .map(str::to_owned)
        .ok_or_else(|| wrong("module", "must be a path in UTF-8"))
}

/// The origin names the log key as well, so the rules for key names hold (C2SP signed-note): no spaces, no plus sign.
fn check_origin(origin: &str) -> Result<(), StartError> {
    let fits = |c: char| !(c.is_whitespace() || c.is_control() || c == '+');
    if (1..=MAX_ORIGIN).contains(&origin.len()) && origin.chars().all(fits) {
        Ok(())
    } else {
        Err(wrong(
            "origin of the log",
            &format!("must have 1 to {MAX_ORIGIN} octets, no space and no `+`"),
        ))
    }
}

fn within(field: &str, value: usize, most: usize) -> Result<(), StartError> {
    if (1..=most).contains(&value) {
        Ok(())
    } else {
        Err(wrong(field, &format!("must be 1 to {most}")))
    }
}

fn wrong(field: &str, right: &str) -> StartError {
    StartError::Config {
        field: field.to_owned(),
        right: right.to_owned(),
    }
}
