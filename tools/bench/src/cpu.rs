//! CPU time of the instance's processes before and after.

use assay_proto::v1::StatusReply;

use crate::failure::{Failure, Outcome};
use crate::installation::Installation;
use crate::process;

pub(super) use crate::process::cpu_seconds as seconds;

/// Seconds of each process, user and system.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cpu {
    pub(super) frontend: f64,
    pub(super) signer: f64,
    pub(super) hsm: f64,
}

/// Who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pids {
    frontend: u32,
    signer: u32,
    pub(super) hsm: u32,
}

impl Pids {
    /// Signer and frontend must run on this host, started with this installation's files.
    pub(super) fn find(installation: &Installation, status: &StatusReply) -> Outcome<Self> {
        let service = |name: &str, config: std::path::PathBuf| {
            let config = crate::files::absolute(&config)?;
            process::find(&config).ok_or_else(|| {
                Failure::failed(format!("no {name} runs here with {}", config.display())).next(
                    "run the benchmark on the host of the services, started with absolute paths",
                )
            })
        };
        Ok(Self {
            frontend: service("frontend", installation.frontend_config())?,
            signer: service("signer", installation.signer_config())?,
            hsm: status.hsm.as_ref().map_or(0, |hsm| hsm.pid),
        })
    }

    pub(super) fn read(&self) -> Outcome<Cpu> {
        Ok(Cpu {
            frontend: seconds(self.frontend)?,
            signer: seconds(self.signer)?,
            hsm: seconds(self.hsm)?,
        })
    }
}

impl Cpu {
    pub(super) fn since(self, before: Self) -> Self {
        Self {
            frontend: self.frontend - before.frontend,
            signer: self.signer - before.signer,
            hsm: self.hsm - before.hsm,
        }
    }

    pub(super) fn total(self) -> f64 {
        self.frontend + self.signer + self.hsm
    }
}
