//! Certificate, key and trust anchors on disk.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};

use super::MtlsError;
use crate::identity::{Identity, Role};

/// A chain or a bundle of a few dozen anchors; anything larger is a wrong path.
const MAX_PEM_BYTES: u64 = 1 << 20;

/// Permission bits that a private key's file must not have: execution by its owner, anything by others.
const FORBIDDEN_KEY_MODE: u32 = 0o7177;

/// The files of one side of mutual TLS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// PEM: our certificate, then intermediates if any.
    pub certificate: PathBuf,
    /// PEM: its private key, mode 0600 or 0400, owned by the user that the process runs as.
    pub private_key: PathBuf,
    /// PEM: the anchors of the other side's certificates, and of no others.
    pub trust_anchors: PathBuf,
}

impl TlsFiles {
    /// The same files, relative paths taken from `folder`.
    #[must_use]
    pub fn relative_to(&self, folder: &Path) -> Self {
        Self {
            certificate: folder.join(&self.certificate),
            private_key: folder.join(&self.private_key),
            trust_anchors: folder.join(&self.trust_anchors),
        }
    }

    /// The identity of our own certificate.
    ///
    /// # Errors
    /// Where the file cannot be read or carries none.
    pub fn identity(&self) -> Result<Identity, MtlsError> {
        identity_of(&self.certificate, &self.chain()?)
    }

    /// Our certificate chain, checked to be of one of the roles that may stand here.
    pub(super) fn own_chain(
        &self,
        roles: &[Role],
    ) -> Result<Vec<CertificateDer<'static>>, MtlsError> {
        let chain = self.chain()?;
        let found = identity_of(&self.certificate, &chain)?;
        match (roles.contains(&found.role()), roles.first()) {
            (false, Some(&wanted)) => Err(MtlsError::OwnRole {
                path: self.certificate.clone(),
                found,
                wanted,
            }),
            (_, None) | (true, _) => Ok(chain),
        }
    }

    pub(super) fn key(&self) -> Result<PrivateKeyDer<'static>, MtlsError> {
        private_key(&self.private_key)
    }

    pub(super) fn anchors(&self) -> Result<RootCertStore, MtlsError> {
        let mut anchors = RootCertStore::empty();
        for certificate in certificates(&self.trust_anchors)? {
            anchors.add(certificate).map_err(MtlsError::Tls)?;
        }
        Ok(anchors)
    }

    fn chain(&self) -> Result<Vec<CertificateDer<'static>>, MtlsError> {
        certificates(&self.certificate)
    }
}

/// Checks that no certificate, and no key, is an anchor of both listeners. Each is given with its name in the configuration.
///
/// # Errors
/// Where one is, or a file cannot be read.
pub fn check_anchors_apart(
    first: (&'static str, &TlsFiles),
    second: (&'static str, &TlsFiles),
) -> Result<(), MtlsError> {
    let (ours, theirs) = (first.1.anchors()?, second.1.anchors()?);
    // An anchor is a name and a key; under another name the same key signs the same certificates.
    let shared = theirs.roots.iter().any(|anchor| {
        let key = &anchor.subject_public_key_info;
        ours.roots
            .iter()
            .any(|other| other.subject_public_key_info == *key)
    });
    if shared {
        return Err(MtlsError::SharedAnchor {
            first: first.0,
            second: second.0,
            path: second.1.trust_anchors.clone(),
        });
    }
    Ok(())
}

fn identity_of(path: &Path, chain: &[CertificateDer<'_>]) -> Result<Identity, MtlsError> {
    let leaf = chain.first().ok_or_else(|| MtlsError::NoCertificate {
        path: path.to_owned(),
    })?;
    Identity::from_certificate(leaf).map_err(|source| MtlsError::OwnIdentity {
        path: path.to_owned(),
        source,
    })
}

pub(super) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, MtlsError> {
    let pem = read(path, check_key_file)?;
    PrivateKeyDer::from_pem_slice(&pem).map_err(|source| MtlsError::Pem {
        path: path.to_owned(),
        wanted: "private key",
        source,
    })
}

pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, MtlsError> {
    let pem = read(path, |_, _| Ok(()))?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|source| MtlsError::Pem {
            path: path.to_owned(),
            wanted: "certificate",
            source,
        })?;
    if found.is_empty() {
        Err(MtlsError::NoCertificate {
            path: path.to_owned(),
        })
    } else {
        Ok(found)
    }
}

fn read(
    path: &Path,
    check: fn(&Path, &File) -> Result<(), MtlsError>,
) -> Result<Vec<u8>, MtlsError> {
    let unreadable = |source| MtlsError::Read {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(unreadable)?;
    check(path, &file)?;
    let mut bytes = Vec::new();
    file.take(MAX_PEM_BYTES)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    Ok(bytes)
}

/// Looks at the opened file, so that it cannot be exchanged between check and use.
fn check_key_file(path: &Path, file: &File) -> Result<(), MtlsError> {
    let metadata = file.metadata().map_err(|source| MtlsError::Read {
        path: path.to_owned(),
        source,
    })?;
    let user = rustix::process::geteuid().as_raw();
    if metadata.uid() != user {
        return Err(MtlsError::KeyOwner {
            path: path.to_owned(),
            owner: metadata.uid(),
            user,
        });
    }
    let mode = metadata.mode() & 0o7777;
    if mode & FORBIDDEN_KEY_MODE != 0 {
        return Err(MtlsError::KeyMode {
            path: path.to_owned(),
            mode,
        });
    }
    Ok(())
}
