//! Checks of a final TBSCertificate before it is signed; shares no code with its builder.
//!
//! Two kinds: what RFC 5280 wants of every certificate, and what the profile wants of this one. Every lint has an
//! id, runs on the DER alone, and is listed in [`LINTS`].

mod expected;
mod extensions;
mod names;
mod parse;
mod times;

use std::fmt;
use std::time::{Duration, SystemTime};

use const_oid::ObjectIdentifier;

pub use parse::{IssuerCertificate, IssuerError};

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
    /// Longest time between NotBefore and NotAfter.
    pub max_validity: Duration,
    /// The signer's clock.
    pub now: SystemTime,
}

/// Identifier of a lint: `serial-length`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LintId(&'static str);

impl LintId {
    /// The identifier.
    pub fn as_str(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for LintId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
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

const DER: LintId = LintId("der");

const fn lint(
    id: &'static str,
    title: &'static str,
    check: fn(&Tbs<'_>, &Expectation<'_>) -> Verdict,
) -> Lint {
    Lint {
        id: LintId(id),
        title,
        check,
    }
}

/// Every lint but `der`, which holds where the others can run at all.
pub static LINTS: &[Lint] = &[
    lint(
        "version",
        "the version is v3 (RFC 5280 4.1.2.1)",
        expected::version,
    ),
    lint(
        "serial-positive",
        "the serial number is positive (RFC 5280 4.1.2.2)",
        expected::serial_positive,
    ),
    lint(
        "serial-length",
        "the serial number has at most 20 octets (RFC 5280 4.1.2.2)",
        expected::serial_length,
    ),
    lint(
        "serial-entropy",
        "the serial number has room for 128 random bits",
        expected::serial_entropy,
    ),
    lint(
        "signature-algorithm",
        "the signature algorithm is the issuer's (RFC 5280 4.1.2.3)",
        expected::signature,
    ),
    lint(
        "issuer-name",
        "the issuer is the CA's subject, byte for byte (RFC 5280 4.1.2.4)",
        expected::issuer,
    ),
    lint(
        "validity-encoding",
        "UTCTime through 2049, then GeneralizedTime (RFC 5280 4.1.2.5)",
        times::encoding,
    ),
    lint(
        "validity-order",
        "NotBefore is before NotAfter",
        times::order,
    ),
    lint("validity-now", "the certificate is valid now", times::now),
    lint(
        "validity-nested",
        "the validity lies within the issuer's",
        times::nested,
    ),
    lint(
        "validity-length",
        "the validity is no longer than the profile's",
        times::length,
    ),
    lint(
        "subject-expected",
        "the subject is the permitted one, byte for byte",
        names::subject_expected,
    ),
    lint(
        "subject-present",
        "a subject, or a critical subjectAltName (RFC 5280 4.1.2.6)",
        names::subject_present,
    ),
    lint(
        "subject-strings",
        "subject values are clean text in an allowed string type",
        names::subject_strings,
    ),
    lint(
        "subject-duplicates",
        "no RDN occurs twice in the subject",
        names::subject_duplicates,
    ),
    lint(
        "key-expected",
        "the key is the requested one, byte for byte",
        expected::key,
    ),
    lint(
        "key-strength",
        "RSA of 2048 bits or a point on a NIST curve",
        expected::key_strength,
    ),
    lint(
        "unique-identifiers",
        "there are no unique identifiers (RFC 5280 4.1.2.8)",
        expected::unique_identifiers,
    ),
    lint(
        "extension-duplicates",
        "no extension occurs twice (RFC 5280 4.2)",
        extensions::duplicates,
    ),
    lint(
        "extension-set",
        "the extensions and their criticality are the profile's",
        extensions::set,
    ),
    lint(
        "extension-criticality",
        "extensions are critical where RFC 5280 says so",
        extensions::criticality,
    ),
    lint(
        "basic-constraints",
        "the certificate is no CA (RFC 5280 4.2.1.9)",
        extensions::basic_constraints,
    ),
    lint(
        "key-usage",
        "the key usage is the profile's and signs neither certificates nor CRLs",
        extensions::key_usage,
    ),
    lint(
        "extended-key-usage",
        "the extended key usage is the profile's",
        extensions::extended_key_usage,
    ),
    lint(
        "usage-consistency",
        "key usage fits the key and the extended key usage",
        extensions::usage_consistency,
    ),
    lint(
        "subject-key-identifier",
        "SHA-1 of the key (RFC 5280 4.2.1.2 (1))",
        extensions::subject_key_identifier,
    ),
    lint(
        "authority-key-identifier",
        "the issuer's identifier alone (RFC 5280 4.2.1.1)",
        extensions::authority_key_identifier,
    ),
    lint(
        "san-expected",
        "the subject alternative names are the permitted ones",
        names::san_expected,
    ),
    lint(
        "san-forms",
        "each subject alternative name is well-formed (RFC 5280 4.2.1.6)",
        names::san_forms,
    ),
    lint(
        "san-duplicates",
        "no subject alternative name occurs twice",
        names::san_duplicates,
    ),
];

/// Checks a DER TBSCertificate.
///
/// # Errors
/// Every [`Finding`]; where the DER cannot be read, that alone.
pub fn check(tbs: &[u8], expectation: &Expectation<'_>) -> Result<Report, Vec<Finding>> {
    let parsed = Tbs::parse(tbs).map_err(|error| {
        vec![Finding {
            id: DER,
            detail: error.to_string(),
        }]
    })?;
    let mut passed = vec![DER];
    let mut findings = Vec::new();
    for lint in LINTS {
        match (lint.check)(&parsed, expectation) {
            Ok(()) => passed.push(lint.id),
            Err(detail) => findings.push(Finding {
                id: lint.id,
                detail,
            }),
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
