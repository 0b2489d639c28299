//! The files of an installation: where they lie, and the operator's own settings in `assay.toml`.

use std::path::{Path, PathBuf};

use assay_runtime::identity::Identity;
use serde::Deserialize;

use crate::failure::{Failure, OrFail, Outcome};

/// Directory that `assay demo` makes unless told another.
pub(crate) const DEMO_DIR: &str = "assay-demo";

/// The directory given by `--dir`, and the names of what lies in it.
#[derive(Clone, Debug)]
pub(crate) struct Installation {
    root: PathBuf,
}

impl Installation {
    pub(crate) fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// An installation that exists: the one named, else the current directory, else the demo beside it.
    pub(crate) fn find(named: Option<&Path>) -> Outcome<Self> {
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

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.root.join(relative)
    }

    pub(crate) fn settings_file(&self) -> PathBuf {
        self.path("assay.toml")
    }

    pub(crate) fn signer_config(&self) -> PathBuf {
        self.path("signer.toml")
    }

    pub(crate) fn frontend_config(&self) -> PathBuf {
        self.path("frontend.toml")
    }

    pub(crate) fn certificates(&self) -> PathBuf {
        self.path("certificates")
    }

    pub(crate) fn transport(&self) -> PathBuf {
        self.path("transport")
    }

    pub(crate) fn policy(&self) -> PathBuf {
        self.path("policy")
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.path("log")
    }

    pub(crate) fn settings(&self) -> Outcome<Settings> {
        let file = self.settings_file();
        assay_runtime::config::load(&file).or_usage("cannot read the operator's settings")
    }
}

/// `assay.toml`: what the operator's side needs to know. Paths are relative to the installation.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// Base of the SCEP URLs; the profile's name is appended.
    pub(crate) scep_url: String,
    pub(crate) administration: Administration,
}

/// How to reach the signer's Administration listener.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Administration {
    /// HOST:PORT.
    pub(crate) address: String,
    /// Identity that the signer's certificate must carry, such as `assay://signer/signer`.
    pub(crate) identity: Identity,
    pub(crate) certificate: PathBuf,
    pub(crate) private_key: PathBuf,
    pub(crate) trust_anchors: PathBuf,
}

impl Settings {
    /// URL of a profile.
    pub(crate) fn profile_url(&self, profile: &str) -> String {
        format!("{}/{profile}", self.scep_url.trim_end_matches('/'))
    }
}
