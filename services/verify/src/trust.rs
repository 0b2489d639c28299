//! What an auditor pinned beforehand: the trust directory of [`crate::layout::trust`].

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use assay_audit::note::{KeyError, VerifierKey};
use assay_policy::{Approver, Approvers, ApproversError};
use assay_types::Hash;
use openssl::x509::X509;

use crate::layout::trust::{
    APPROVERS, ApproversFile, CHECKPOINT, JOURNALS, LOG_KEY, WITNESSES, ca_file,
};

/// Largest file of a trust directory.
const MAX_FILE: u64 = 1024 * 1024;

/// Keys and certificates from another source than the export.
#[derive(Debug)]
pub struct Trust {
    /// Of the log.
    pub log_key: VerifierKey,
    /// DER, of each CA: its certificate, then those above it.
    pub cas: Vec<Vec<Vec<u8>>>,
    /// Of the witnesses.
    pub witnesses: Vec<VerifierKey>,
    /// Identities of the journals of the HSM service.
    pub journals: Vec<Hash>,
    /// Who may approve policy.
    pub approvers: Approvers,
    /// An earlier checkpoint, as a note.
    pub earlier: Option<String>,
}

/// A trust directory that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// A file cannot be read.
    #[error("{path} cannot be read")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file is too long.
    #[error("{0}: longer than any file of a trust directory")]
    TooLong(PathBuf),
    /// A key is none.
    #[error("{path}: wanted a verifier key, NAME+ID+KEY")]
    Key {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: KeyError,
    },
    /// An identity is none.
    #[error("{0}: wanted the identities of journals, 64 lowercase hexadecimal digits per line")]
    Journal(PathBuf),
    /// Not certificates.
    #[error("{0}: wanted one or more PEM certificates")]
    Certificate(PathBuf),
    /// Not the table of approvers.
    #[error("{path}: {problem}")]
    Approvers {
        /// Which.
        path: PathBuf,
        /// What is wrong, by key.
        problem: String,
    },
    /// Approvers that let nobody bring policy into force.
    #[error("{path}: not approvers of a policy")]
    Pins {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: ApproversError,
    },
}

impl Trust {
    /// Reads a trust directory.
    ///
    /// # Errors
    /// The first file that cannot be used.
    pub fn read(directory: &Path) -> Result<Self, TrustError> {
        let path = directory.join(LOG_KEY);
        let log_key = key(&path, text(&path)?.trim_end_matches('\n'))?;
        let path = directory.join(WITNESSES);
        let witnesses = optional(&path)?.unwrap_or_default();
        let witnesses = witnesses
            .lines()
            .map(|line| key(&path, line))
            .collect::<Result<_, _>>()?;
        let path = directory.join(JOURNALS);
        let journals = optional(&path)?.unwrap_or_default();
        let journals = journals.lines().map(str::parse).collect::<Result<_, _>>();
        let journals = journals.map_err(|_| TrustError::Journal(path))?;
        Ok(Self {
            log_key,
            cas: cas(directory)?,
            witnesses,
            journals,
            approvers: approvers(directory)?,
            earlier: optional(&directory.join(CHECKPOINT))?,
        })
    }
}

/// The first is needed; others follow it while there are files.
fn cas(directory: &Path) -> Result<Vec<Vec<Vec<u8>>>, TrustError> {
    let mut cas = vec![certificates(&directory.join(ca_file(1)))?];
    loop {
        let path = directory.join(ca_file(cas.len() + 1));
        if !path.exists() {
            return Ok(cas);
        }
        cas.push(certificates(&path)?);
    }
}

fn approvers(directory: &Path) -> Result<Approvers, TrustError> {
    let path = directory.join(APPROVERS);
    let wrong = |problem: String| TrustError::Approvers {
        path: path.clone(),
        problem,
    };
    let pins = |source| TrustError::Pins {
        path: path.clone(),
        source,
    };
    let file: ApproversFile =
        toml::from_str(&text(&path)?).map_err(|error| wrong(error.to_string()))?;
    let mut pinned = Vec::new();
    for entry in file.policy.approver {
        let certificate = directory.join(&entry.certificate);
        let list = certificates(&certificate)?;
        let [der] = list.as_slice() else {
            return Err(TrustError::Certificate(certificate));
        };
        pinned.push(Approver::new(&entry.person, der, entry.retired).map_err(pins)?);
    }
    Approvers::new(file.policy.approvals, pinned).map_err(pins)
}

fn certificates(path: &Path) -> Result<Vec<Vec<u8>>, TrustError> {
    let wrong = || TrustError::Certificate(path.to_owned());
    let list = X509::stack_from_pem(text(path)?.as_bytes()).map_err(|_| wrong())?;
    if list.is_empty() {
        return Err(wrong());
    }
    list.iter()
        .map(|certificate| certificate.to_der().map_err(|_| wrong()))
        .collect()
}

fn key(path: &Path, text: &str) -> Result<VerifierKey, TrustError> {
    text.parse().map_err(|source| TrustError::Key {
        path: path.to_owned(),
        source,
    })
}

fn optional(path: &Path) -> Result<Option<String>, TrustError> {
    match text(path) {
        Err(TrustError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        text => text.map(Some),
    }
}

fn text(path: &Path) -> Result<String, TrustError> {
    let io = |source| TrustError::Io {
        path: path.to_owned(),
        source,
    };
    if fs::metadata(path).map_err(io)?.len() > MAX_FILE {
        return Err(TrustError::TooLong(path.to_owned()));
    }
    fs::read_to_string(path).map_err(io)
}
