//! What the ceremony did, for those who were not there: key ids, attributes read back, fingerprints.

use std::collections::BTreeMap;
use std::time::SystemTime;

use assay_pkcs11::{KeyRole, TokenUri};
use serde::{Deserialize, Serialize};

use super::args::TokenArgs;
use super::generation::Generation;
use assay_console::failure::{Failure, OrFail, Outcome};
use assay_console::files;
use assay_operator::installation::Installation;

/// `transcript.json`. Written anew after each step, so that it is true at any moment.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Transcript {
    pub(super) assay_version: String,
    pub(super) started: String,
    pub(super) finished: Option<String>,
    pub(super) state: State,
    pub(super) module: String,
    pub(super) environment: BTreeMap<String, String>,
    pub(super) token: String,
    pub(super) root_token: Option<String>,
    pub(super) ra_subject: String,
    pub(super) ra_days: u32,
    /// Of the first generation, as are the certificates.
    pub(super) keys: Vec<KeyEntry>,
    pub(super) certificates: Vec<CertificateEntry>,
    /// The generations after the first, in the order in which they were begun.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) successors: Vec<Successor>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum State {
    Started,
    /// The request for the offline root is written; its answer is awaited.
    AwaitsCaCertificate,
    Complete,
}

/// A generation after the first, with its keys in the same token.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Successor {
    pub(super) generation: Generation,
    pub(super) assay_version: String,
    pub(super) started: String,
    pub(super) finished: Option<String>,
    /// When it was given up; it keeps its number, and what was made of it is left where it is.
    pub(super) abandoned: Option<String>,
    pub(super) state: State,
    pub(super) root_token: Option<String>,
    pub(super) ca_subject: String,
    pub(super) ra_subject: String,
    pub(super) ra_days: u32,
    /// RFC 3339, as it was planned.
    pub(super) switch_at: String,
    /// As it was written, such as `30d`.
    pub(super) overlap: String,
    pub(super) keys: Vec<KeyEntry>,
    pub(super) certificates: Vec<CertificateEntry>,
}

/// A key in the token.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyEntry {
    pub(super) role: String,
    pub(super) algorithm: String,
    pub(super) label: String,
    pub(super) id: String,
    pub(super) uri: String,
    pub(super) spki_sha256: String,
    /// Of the private key, read back from the token after it was made.
    pub(super) attributes: BTreeMap<String, String>,
}

/// A certificate that was made or imported.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CertificateEntry {
    pub(super) file: String,
    pub(super) subject: String,
    pub(super) issuer: String,
    pub(super) serial: String,
    pub(super) not_before: String,
    pub(super) not_after: String,
    pub(super) sha256: String,
}

impl Transcript {
    /// Writes the transcript over its earlier state.
    pub(super) fn save(&self, installation: &Installation) -> Outcome {
        let mut text = serde_json::to_vec_pretty(self).or_fail("cannot write the transcript")?;
        text.push(b'\n');
        files::replace(&file(installation), &text, files::PUBLIC)
    }

    pub(super) fn load(installation: &Installation) -> Outcome<Self> {
        let path = file(installation);
        serde_json::from_slice(&files::read(&path)?)
            .or_fail(format!("{} is no transcript of a ceremony", path.display()))
    }

    /// The transcript of a ceremony that is complete.
    pub(super) fn load_complete(installation: &Installation) -> Outcome<Self> {
        let transcript = Self::load(installation)?;
        if transcript.state == State::Complete {
            return Ok(transcript);
        }
        Err(Failure::failed("the ceremony here is not complete")
            .next("finish it first: `assay-ceremony import` takes the offline root's answer"))
    }

    /// Where the keys lie.
    pub(super) fn token_args(&self) -> Outcome<TokenArgs> {
        Ok(TokenArgs {
            module: self.module.clone().into(),
            token: TokenUri::parse(&self.token).or_fail("the transcript's token is unreadable")?,
            environment: self.environment.clone().into_iter().collect(),
        })
    }

    pub(super) fn successor(&self, generation: Generation) -> Option<&Successor> {
        let mut successors = self.successors.iter();
        successors.find(|successor| successor.generation == generation)
    }

    pub(super) fn successor_mut(&mut self, generation: Generation) -> Option<&mut Successor> {
        let mut successors = self.successors.iter_mut();
        successors.find(|successor| successor.generation == generation)
    }

    /// The generation begun last, unless it was given up; the first where there is no other.
    pub(super) fn newest(&self) -> Generation {
        let mut successors = self.successors.iter().rev();
        let standing = successors.find(|successor| successor.abandoned.is_none());
        standing.map_or(Generation::FIRST, |successor| successor.generation)
    }

    pub(super) fn keys_of(&self, generation: Generation) -> &[KeyEntry] {
        match self.successor(generation) {
            Some(successor) => &successor.keys,
            None if generation == Generation::FIRST => &self.keys,
            None => &[],
        }
    }

    pub(super) fn key_of(&self, generation: Generation, role: KeyRole) -> Option<&KeyEntry> {
        let mut keys = self.keys_of(generation).iter();
        keys.find(|key| key.role == role.as_str())
    }

    pub(super) fn certificates_of(&self, generation: Generation) -> &[CertificateEntry] {
        match self.successor(generation) {
            Some(successor) => &successor.certificates,
            None if generation == Generation::FIRST => &self.certificates,
            None => &[],
        }
    }

    /// For the person at the console: all of the first generation.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines_of(Generation::FIRST)
    }

    pub(super) fn lines_of(&self, generation: Generation) -> Vec<String> {
        let mut lines = vec![format!("token {}", self.token)];
        lines.extend(self.keys_of(generation).iter().map(|key| {
            format!(
                "  key   {:<11} {:<8} id {}  SPKI SHA-256 {}",
                key.label, key.algorithm, key.id, key.spki_sha256
            )
        }));
        let certificates = self.certificates_of(generation).iter();
        lines.extend(certificates.map(|certificate| {
            format!(
                "  cert  {} ({}), SHA-256 {}",
                certificate.file, certificate.subject, certificate.sha256
            )
        }));
        lines
    }
}

pub(super) fn file(installation: &Installation) -> std::path::PathBuf {
    installation.path("transcript.json")
}

pub(super) fn now() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}
