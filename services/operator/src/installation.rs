//! The files of an installation: where they lie, and the operator's own settings in `assay.toml`.

use std::path::{Path, PathBuf};

use assay_console::failure::{Failure, OrFail, Outcome};
use assay_runtime::identity::Identity;
use serde::Deserialize;

/// Directory that `assay demo` makes unless `--dir` names another.
pub const DEMO_DIR: &str = "assay-demo";

/// The directory given by `--dir`, and the names of what lies in it.
#[derive(Clone, Debug)]
pub struct Installation {
    root: PathBuf,
}

impl Installation {
    /// An installation that may not exist yet.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// An installation that exists: the one named, else the current directory, else the demo beside it.
    ///
    /// # Errors
    /// None of them has an `assay.toml`.
    pub fn find(named: Option<&Path>) -> Outcome<Self> {
        let candidates = match named {
            Some(dir) => vec![dir.to_owned()],
            None => vec![PathBuf::from("."), PathBuf::from(DEMO_DIR)],
        };
        let found = candidates
            .iter()
            .map(Self::at)
            .find(|dir| dir.settings_file().is_file());
        found.ok_or_else(|| match named {
            Some(dir) => Failure::usage(format!("{} has no assay.toml", dir.display()))
                .next("give the directory of a demo or of a ceremony with --dir"),
            None => Failure::usage("no installation here")
                .next("give its directory with --dir or ASSAY_DIR, or make one with `assay demo`"),
        })
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A path inside the installation; an absolute one stays as it is.
    pub fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.root.join(relative)
    }

    /// `assay.toml`.
    pub fn settings_file(&self) -> PathBuf {
        self.path("assay.toml")
    }

    /// `hsm.toml`, which the HSM service runs on.
    pub fn hsm_config(&self) -> PathBuf {
        self.path("hsm.toml")
    }

    /// `signer.toml`.
    pub fn signer_config(&self) -> PathBuf {
        self.path("signer.toml")
    }

    /// `frontend.toml`.
    pub fn frontend_config(&self) -> PathBuf {
        self.path("frontend.toml")
    }

    /// Directory of the CA's and the RA's certificates.
    pub fn certificates(&self) -> PathBuf {
        self.path("certificates")
    }

    /// Directory of the keys and certificates between the processes.
    pub fn transport(&self) -> PathBuf {
        self.path("transport")
    }

    /// Directory of the policy files.
    pub fn policy(&self) -> PathBuf {
        self.path("policy")
    }

    /// Directory of what the services print.
    pub fn logs(&self) -> PathBuf {
        self.path("log")
    }

    /// The operator's settings.
    ///
    /// # Errors
    /// `assay.toml` cannot be read, or is not valid.
    pub fn settings(&self) -> Outcome<Settings> {
        let file = self.settings_file();
        assay_runtime::config::load(&file).or_usage("cannot read the operator's settings")
    }
}

/// `assay.toml`: what the operator's side needs to know. Paths are relative to the installation.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Base of the SCEP URLs; the profile's name is appended.
    pub scep_url: String,
    /// How to reach the signer.
    pub administration: Administration,
}

/// How to reach the signer's Administration listener.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Administration {
    /// HOST:PORT.
    pub address: String,
    /// Identity that the signer's certificate must carry, such as `assay://signer/signer`.
    pub identity: Identity,
    /// The operator's certificate, PEM.
    pub certificate: PathBuf,
    /// Its key, PEM.
    pub private_key: PathBuf,
    /// CAs that the signer's certificate may come from, PEM.
    pub trust_anchors: PathBuf,
}

impl Settings {
    /// URL of a profile.
    pub fn profile_url(&self, profile: &str) -> String {
        format!("{}/{profile}", self.scep_url.trim_end_matches('/'))
    }
}
