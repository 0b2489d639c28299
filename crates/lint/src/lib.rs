//! Checks of a final TBSCertificate before it is signed; shares no code with its builder.
//!
//! Three kinds: what RFC 5280 wants of every certificate, what the profile wants of this one, and what the CA and those
//! above it let it issue. Every lint has an id that never changes, runs on the DER alone, and is listed in [`LINTS`] and,
//! with what passes and what does not, in policy/RULES.md.

mod canonical;
mod constraints;
mod expected;
mod extensions;
mod issuer;
mod lints;
mod names;
mod parse;
mod references;
mod strength;
mod times;

use std::fmt;
use std::time::{Duration, SystemTime};

use const_oid::ObjectIdentifier;

pub use issuer::{IssuerCertificate, IssuerError};
pub use lints::LINTS;

use parse::Tbs;

/// What the certificate must carry, from its profile and its request.
#[derive(Clone, Copy, Debug)]
pub struct Expectation<'a> {
    /// The CA that will sign.
    pub issuer: &'a IssuerCertificate,
    /// DER AlgorithmIdentifier of the signature to come.
    pub signature_algorithm_der: &'a [u8],
    /// DER of the subject.
    pub subject_der: &'a [u8],
    /// DER of the SubjectPublicKeyInfo.
    pub spki_der: &'a [u8],
    /// Value of the subjectAltName extension; `None` if there is none.
    pub san_der: Option<&'a [u8]>,
    /// Every extension and its criticality, in any order.
    pub extensions: &'a [(ObjectIdentifier, bool)],
    /// `1 << n` for bit n of the key usage.
    pub key_usage: u16,
    /// Extended key usages; empty if there is no such extension.
    pub extended_key_usage: &'a [ObjectIdentifier],
    /// Certificate policies in order; empty if there is no such extension.
    pub policies: &'a [ObjectIdentifier],
    /// Locations of the CRL; empty if there is no such extension. `{ca}` stands for the issuer's key identifier in
    /// lowercase hex.
    pub crl_distribution_points: &'a [String],
    /// Locations of the issuer's certificate, with `{ca}` too.
    pub ca_issuers: &'a [String],
    /// Locations of an OCSP responder.
    pub ocsp: &'a [String],
    /// Longest time between NotBefore and NotAfter.
    pub max_validity: Duration,
    /// The signer's clock.
    pub now: SystemTime,
}

/// Identifier of a lint: `LINT-04`, and a word for it: `serial-length`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LintId {
    code: &'static str,
    name: &'static str,
}

impl LintId {
    /// The identifier, which never changes.
    pub fn as_str(self) -> &'static str {
        self.code
    }

    /// The word.
    pub fn name(self) -> &'static str {
        self.name
    }
}

impl fmt::Display for LintId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.name)
    }
}

/// One lint.
#[derive(Clone, Copy)]
pub struct Lint {
    /// Stable identifier.
    pub id: LintId,
    /// What must hold, and where it is written.
    pub title: &'static str,
    check: fn(&Tbs<'_>, &Expectation<'_>) -> Verdict,
}

/// `Err` says what was wanted and what came.
type Verdict = Result<(), String>;

/// Every lint held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The lints, in order.
    pub passed: Vec<LintId>,
    /// SHA-256 of the bytes that were checked.
    pub digest: [u8; 32],
}

/// A lint that did not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{id}: {detail}")]
pub struct Finding {
    /// Which.
    pub id: LintId,
    /// What was wanted and what came.
    pub detail: String,
}

/// Checks a DER TBSCertificate.
///
/// # Errors
/// Every [`Finding`]; where the DER cannot be read, that alone.
pub fn check(tbs: &[u8], expectation: &Expectation<'_>) -> Result<Report, Vec<Finding>> {
    let parsed = Tbs::parse(tbs);
    let mut passed = Vec::new();
    let mut findings = Vec::new();
    for lint in LINTS {
        let verdict = match &parsed {
            Ok(parsed) => (lint.check)(parsed, expectation),
            Err(error) => Err(error.to_string()),
        };
        match verdict {
            Ok(()) => passed.push(lint.id),
            Err(detail) => findings.push(Finding {
                id: lint.id,
                detail,
            }),
        }
        // Without the fields, the first lint is the only one that can say anything.
        if parsed.is_err() {
            break;
        }
    }
    if findings.is_empty() {
        Ok(Report {
            passed,
            digest: openssl::sha::sha256(tbs),
        })
    } else {
        Err(findings)
    }
}
