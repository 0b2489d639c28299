//! What the ceremony did, for those who were not there: key ids, attributes read back, fingerprints.

use std::collections::BTreeMap;
use std::time::SystemTime;

use assay_pkcs11::{KeyRole, TokenUri};
use assay_policy::Dn;
use serde::{Deserialize, Serialize};

use super::args::TokenArgs;
use super::generation::Generation;
use super::root;
use assay_console::failure::{Failure, OrFail, Outcome};
use assay_console::files;
use assay_operator::installation::Installation;

/// `transcript.json`. Written anew after each step, so that it is true at any moment.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Transcript {
    pub(super) module: String,
    pub(super) environment: BTreeMap<String, String>,
    pub(super) token: String,
    /// In the order in which they were begun; never empty.
    pub(super) generations: Vec<Ca>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum State {
    Started,
    /// The request for the offline root is written; its answer is awaited.
    AwaitsCaCertificate,
    Complete,
}

/// The CA of a generation with its RA, and perhaps its responder.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ca {
    pub(super) generation: Generation,
    pub(super) assay_version: String,
    pub(super) started: String,
    pub(super) finished: Option<String>,
    /// When it was given up; it keeps its number, and what was made of it is left where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) abandoned: Option<String>,
    pub(super) state: State,
    pub(super) root_token: Option<String>,
    pub(super) ca_subject: String,
    pub(super) ra_subject: String,
    pub(super) ra_days: u32,
    /// When it takes over; the first CA takes over from none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) switch: Option<PlannedSwitch>,
    pub(super) keys: Vec<KeyEntry>,
    pub(super) certificates: Vec<CertificateEntry>,
}

/// The switch to a CA as it was planned.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PlannedSwitch {
    /// RFC 3339.
    pub(super) at: String,
    /// As it was written, such as `30d`.
    pub(super) overlap: String,
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
        if transcript.ca(Generation::FIRST)?.state == State::Complete {
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

    pub(super) fn ca(&self, generation: Generation) -> Outcome<&Ca> {
        let mut generations = self.generations.iter();
        generations
            .find(|ca| ca.generation == generation)
            .ok_or_else(|| unknown(generation))
    }

    pub(super) fn ca_mut(&mut self, generation: Generation) -> Outcome<&mut Ca> {
        let mut generations = self.generations.iter_mut();
        generations
            .find(|ca| ca.generation == generation)
            .ok_or_else(|| unknown(generation))
    }

    /// The generation begun last, unless it was given up; the first where there is no other.
    pub(super) fn newest(&self) -> Generation {
        let mut generations = self.generations.iter().rev();
        let standing = generations.find(|ca| ca.abandoned.is_none());
        standing.map_or(Generation::FIRST, |ca| ca.generation)
    }

    /// For the person at the console: all of one generation.
    pub(super) fn lines(&self, generation: Generation) -> Outcome<Vec<String>> {
        let ca = self.ca(generation)?;
        let mut lines = vec![format!("token {}", self.token)];
        lines.extend(ca.keys.iter().map(|key| {
            format!(
                "  key   {:<11} {:<8} id {}  SPKI SHA-256 {}",
                key.label, key.algorithm, key.id, key.spki_sha256
            )
        }));
        lines.extend(ca.certificates.iter().map(|certificate| {
            format!(
                "  cert  {} ({}), SHA-256 {}",
                certificate.file, certificate.subject, certificate.sha256
            )
        }));
        Ok(lines)
    }
}

impl Ca {
    pub(super) fn find_key(&self, role: KeyRole) -> Option<&KeyEntry> {
        self.keys.iter().find(|key| key.role == role.as_str())
    }

    /// A key that the ceremony makes in any case.
    pub(super) fn key(&self, role: KeyRole) -> Outcome<&KeyEntry> {
        self.find_key(role)
            .ok_or_else(|| Failure::failed(format!("the ceremony made no {role} key")))
    }

    pub(super) fn ra_subject(&self) -> Outcome<Dn> {
        Dn::parse_rfc4514(&self.ra_subject).or_fail("the transcript's RA subject")
    }

    pub(super) fn switch(&self) -> Outcome<&PlannedSwitch> {
        self.switch
            .as_ref()
            .ok_or_else(|| Failure::usage("the first CA takes over from none"))
    }

    /// Files of the certificates above it, relative to the installation: those that were imported with it, or the root of
    /// the first ceremony.
    pub(super) fn chain(&self) -> Vec<String> {
        let file = |name: &str| self.generation.file(name);
        let (between, root) = (file("chain-"), file(root::FILE));
        let own = self
            .certificates
            .iter()
            .map(|certificate| &certificate.file);
        let chain: Vec<String> = own
            .filter(|file| file.starts_with(&between) || **file == root)
            .cloned()
            .collect();
        if chain.is_empty() {
            vec![Generation::FIRST.file(root::FILE)]
        } else {
            chain
        }
    }
}

fn unknown(generation: Generation) -> Failure {
    Failure::failed(format!("the transcript knows no generation {generation}"))
}

pub(super) fn file(installation: &Installation) -> std::path::PathBuf {
    installation.path("transcript.json")
}

pub(super) fn now() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}
