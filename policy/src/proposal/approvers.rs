//! Who may propose and approve: certificates pinned one by one, each of a person.

use std::collections::{BTreeMap, BTreeSet};

use assay_types::Hash;
use openssl::error::ErrorStack;
use openssl::x509::X509;

use super::{MAX_APPROVALS, signature};

/// Most pinned certificates, retired ones included.
const MAX_PINNED: usize = 256;
/// Longest name of a person in characters.
const MAX_PERSON: usize = 64;

/// A pinned certificate. Who has several keys has as many of these under one name.
#[derive(Clone, Debug)]
pub struct Approver {
    /// The person, by which approvals are counted.
    pub person: String,
    /// DER.
    pub certificate: Vec<u8>,
    /// Counts for versions activated before, for no new one.
    pub retired: bool,
    /// SHA-256 of the DER SubjectPublicKeyInfo.
    pub spki_sha256: Hash,
    pub(super) x509: X509,
}

/// The pinned certificates, and how many approvals a version needs.
#[derive(Clone, Debug)]
pub struct Approvers {
    needed: usize,
    pinned: Vec<Approver>,
}

/// What the signatures are looked at for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A version that is to come into force: retired keys count for nothing.
    Activation,
    /// A version that came into force before: keys retired since still count.
    InForce,
}

/// Why a set of pins lets nobody bring policy into force.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApproversError {
    /// None or too many.
    #[error("approvals = {0}: a version needs 1 to {MAX_APPROVALS} approvals")]
    Approvals(usize),
    /// More than anybody pins.
    #[error("{0} approvers; {MAX_PINNED} at most")]
    TooMany(usize),
    /// Not a name.
    #[error(
        "person {0:?}: wanted 1 to {MAX_PERSON} lowercase letters, digits, dots and inner hyphens"
    )]
    Person(String),
    /// Not a certificate.
    #[error("{person}: not a DER X.509 certificate")]
    Certificate {
        /// Whose.
        person: String,
    },
    /// A key that CMS does not serve, or a weak one.
    #[error("{person}: wanted a key of RSA with 2048 bits or more, P-256 or P-384")]
    Key {
        /// Whose.
        person: String,
    },
    /// The same key twice.
    #[error("{person}: the key is also pinned for {other}; a key is of one person and pinned once")]
    Duplicate {
        /// Whose.
        person: String,
        /// Whose it was before.
        other: String,
    },
    /// Nobody could ever approve.
    #[error(
        "{people} people with a key that is not retired; {needed} approvals and an author, who does not count, need {}",
        needed + 1
    )]
    TooFew {
        /// How many there are.
        people: usize,
        /// Approvals wanted.
        needed: usize,
    },
}

impl Approver {
    /// A certificate as it is pinned.
    ///
    /// # Errors
    /// A name, a certificate or a key that cannot serve.
    pub fn new(person: &str, certificate: &[u8], retired: bool) -> Result<Self, ApproversError> {
        let sound = (1..=MAX_PERSON).contains(&person.len())
            && !person.starts_with(['-', '.'])
            && !person.ends_with(['-', '.'])
            && person.bytes().all(|byte| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.')
            });
        if !sound {
            return Err(ApproversError::Person(person.to_owned()));
        }
        let unreadable = |_: ErrorStack| ApproversError::Certificate {
            person: person.to_owned(),
        };
        let x509 = X509::from_der(certificate).map_err(unreadable)?;
        // OpenSSL leaves what follows a certificate unread.
        if x509.to_der().map_err(unreadable)? != certificate {
            return Err(ApproversError::Certificate {
                person: person.to_owned(),
            });
        }
        let key = x509.public_key().map_err(|_| ApproversError::Key {
            person: person.to_owned(),
        })?;
        if !signature::usable(&key) {
            return Err(ApproversError::Key {
                person: person.to_owned(),
            });
        }
        Ok(Self {
            person: person.to_owned(),
            certificate: certificate.to_vec(),
            retired,
            spki_sha256: Hash::of(&key.public_key_to_der().map_err(unreadable)?),
            x509,
        })
    }
}

impl Approvers {
    /// `needed` approvals of people other than the author.
    ///
    /// # Errors
    /// Where no version could ever have enough, or one key would count for two.
    pub fn new(needed: usize, pinned: Vec<Approver>) -> Result<Self, ApproversError> {
        if !(1..=MAX_APPROVALS).contains(&needed) {
            return Err(ApproversError::Approvals(needed));
        }
        if pinned.len() > MAX_PINNED {
            return Err(ApproversError::TooMany(pinned.len()));
        }
        let mut by_key = BTreeMap::new();
        for approver in &pinned {
            if let Some(other) = by_key.insert(approver.spki_sha256, &approver.person) {
                return Err(ApproversError::Duplicate {
                    person: approver.person.clone(),
                    other: other.clone(),
                });
            }
        }
        let people: BTreeSet<&str> = pinned
            .iter()
            .filter(|approver| !approver.retired)
            .map(|approver| approver.person.as_str())
            .collect();
        if people.len() <= needed {
            return Err(ApproversError::TooFew {
                people: people.len(),
                needed,
            });
        }
        Ok(Self { needed, pinned })
    }

    /// Approvals that a version needs.
    pub fn needed(&self) -> usize {
        self.needed
    }

    /// Every pinned certificate, in the order of the configuration.
    pub fn pinned(&self) -> &[Approver] {
        &self.pinned
    }
}
