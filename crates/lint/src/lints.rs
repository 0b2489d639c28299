//! The list: each lint with its number, its word and what must hold. policy/RULES.md has it with examples.

use crate::{Expectation, Lint, LintId, Tbs, Verdict};
use crate::{canonical, expected, extensions, names, references, strength, times};

const fn lint(
    code: &'static str,
    name: &'static str,
    title: &'static str,
    check: fn(&Tbs<'_>, &Expectation<'_>) -> Verdict,
) -> Lint {
    Lint {
        id: LintId { code, name },
        title,
        check,
    }
}

/// Every lint, in order of its number. Numbers are never given twice: a new lint stands at the end.
pub static LINTS: &[Lint] = &[
    lint(
        "LINT-01",
        "der",
        "the bytes are one TBSCertificate in DER, down to the last value (X.690 10, 11)",
        canonical::der,
    ),
    lint(
        "LINT-02",
        "version",
        "the version is v3 (RFC 5280 4.1.2.1)",
        expected::version,
    ),
    lint(
        "LINT-03",
        "serial-positive",
        "the serial number is positive (RFC 5280 4.1.2.2)",
        expected::serial_positive,
    ),
    lint(
        "LINT-04",
        "serial-length",
        "the serial number has at most 20 octets (RFC 5280 4.1.2.2)",
        expected::serial_length,
    ),
    lint(
        "LINT-05",
        "serial-entropy",
        "the serial number has room for 128 random bits",
        expected::serial_entropy,
    ),
    lint(
        "LINT-06",
        "signature-algorithm",
        "the signature algorithm is the issuer's (RFC 5280 4.1.2.3)",
        expected::signature,
    ),
    lint(
        "LINT-07",
        "issuer-name",
        "the issuer is the CA's subject, byte for byte (RFC 5280 4.1.2.4)",
        expected::issuer,
    ),
    lint(
        "LINT-08",
        "validity-encoding",
        "UTCTime through 2049, then GeneralizedTime (RFC 5280 4.1.2.5)",
        times::encoding,
    ),
    lint(
        "LINT-09",
        "validity-order",
        "NotBefore is before NotAfter",
        times::order,
    ),
    lint(
        "LINT-10",
        "validity-now",
        "the certificate is valid now",
        times::now,
    ),
    lint(
        "LINT-11",
        "validity-nested",
        "the validity lies within the issuer's",
        times::nested,
    ),
    lint(
        "LINT-12",
        "validity-length",
        "the validity is no longer than the profile's",
        times::length,
    ),
    lint(
        "LINT-13",
        "subject-expected",
        "the subject is the permitted one, byte for byte",
        names::subject_expected,
    ),
    lint(
        "LINT-14",
        "subject-present",
        "a subject, or a critical subjectAltName (RFC 5280 4.1.2.6)",
        names::subject_present,
    ),
    lint(
        "LINT-15",
        "subject-strings",
        "subject values are clean text in an allowed string type",
        names::subject_strings,
    ),
    lint(
        "LINT-16",
        "subject-duplicates",
        "no RDN occurs twice in the subject",
        names::subject_duplicates,
    ),
    lint(
        "LINT-17",
        "key-expected",
        "the key is the requested one, byte for byte",
        expected::key,
    ),
    lint(
        "LINT-18",
        "key-strength",
        "RSA of 2048 to 8192 bits, or a point on a NIST curve",
        strength::key,
    ),
    lint(
        "LINT-19",
        "unique-identifiers",
        "there are no unique identifiers (RFC 5280 4.1.2.8)",
        expected::unique_identifiers,
    ),
    lint(
        "LINT-20",
        "extension-duplicates",
        "no extension occurs twice (RFC 5280 4.2)",
        extensions::duplicates,
    ),
    lint(
        "LINT-21",
        "extension-set",
        "the extensions and their criticality are the profile's",
        extensions::set,
    ),
    lint(
        "LINT-22",
        "extension-criticality",
        "extensions are critical where RFC 5280 says so",
        extensions::criticality,
    ),
    lint(
        "LINT-23",
        "basic-constraints",
        "the certificate is no CA (RFC 5280 4.2.1.9)",
        extensions::basic_constraints,
    ),
    lint(
        "LINT-24",
        "key-usage",
        "the key usage is the profile's and signs neither certificates nor CRLs",
        extensions::key_usage,
    ),
    lint(
        "LINT-25",
        "extended-key-usage",
        "the extended key usage is the profile's",
        extensions::extended_key_usage,
    ),
    lint(
        "LINT-26",
        "usage-consistency",
        "key usage fits the key and the extended key usage",
        extensions::usage_consistency,
    ),
    lint(
        "LINT-27",
        "subject-key-identifier",
        "the subject key identifier is SHA-1 of the key (RFC 5280 4.2.1.2 (1))",
        extensions::subject_key_identifier,
    ),
    lint(
        "LINT-28",
        "authority-key-identifier",
        "the authority key identifier is the issuer's, alone (RFC 5280 4.2.1.1)",
        extensions::authority_key_identifier,
    ),
    lint(
        "LINT-29",
        "san-expected",
        "the subject alternative names are the permitted ones",
        names::san_expected,
    ),
    lint(
        "LINT-30",
        "san-forms",
        "each subject alternative name is well-formed (RFC 5280 4.2.1.6)",
        names::san_forms,
    ),
    lint(
        "LINT-31",
        "san-duplicates",
        "no subject alternative name occurs twice",
        names::san_duplicates,
    ),
    lint(
        "LINT-32",
        "subject-lengths",
        "subject values keep their upper bounds (RFC 5280 A.1)",
        names::subject_lengths,
    ),
    lint(
        "LINT-33",
        "subject-not-issuer",
        "the subject is another name than the issuer's",
        names::subject_not_issuer,
    ),
    lint(
        "LINT-34",
        "key-parameters",
        "the key's parameters are NULL for RSA, a named curve for EC (RFC 3279 2.3.1, RFC 5480 2.1.1)",
        strength::key_parameters,
    ),
    lint(
        "LINT-35",
        "key-not-issuer",
        "the key is another than the issuer's",
        strength::key_not_issuer,
    ),
    lint(
        "LINT-36",
        "signature-strength",
        "the signature is by SHA-256 or longer and fits the issuer's key (RFC 4055, RFC 5758)",
        strength::signature,
    ),
    lint(
        "LINT-37",
        "issuer-key-strength",
        "the issuer's key is RSA of 2048 to 8192 bits, or a point on a NIST curve",
        |_, expectation| expectation.issuer.key_strength(),
    ),
    lint(
        "LINT-38",
        "issuer-ca",
        "the issuer has a critical basicConstraints with CA:TRUE (RFC 5280 4.2.1.9)",
        |_, expectation| expectation.issuer.is_ca(),
    ),
    lint(
        "LINT-39",
        "issuer-key-usage",
        "the issuer's key usage has keyCertSign (RFC 5280 4.2.1.3)",
        |_, expectation| expectation.issuer.signs_certificates(),
    ),
    lint(
        "LINT-40",
        "issuer-path-length",
        "each CA above leaves room for those below it (RFC 5280 4.2.1.9)",
        |_, expectation| expectation.issuer.path_length(),
    ),
    lint(
        "LINT-41",
        "name-constraints",
        "subject and alternative names keep the name constraints of every CA above (RFC 5280 4.2.1.10)",
        names::constraints,
    ),
    lint(
        "LINT-42",
        "extension-known",
        "every extension is one that this release issues",
        extensions::known,
    ),
    lint(
        "LINT-43",
        "extension-encodings",
        "bit strings have no trailing zeros, lists are not empty and name nothing twice",
        extensions::encodings,
    ),
    lint(
        "LINT-44",
        "certificate-policies",
        "the certificate policies are the profile's, without qualifiers (RFC 5280 4.2.1.4)",
        references::policies,
    ),
    lint(
        "LINT-45",
        "crl-distribution-points",
        "the CRL distribution point is the profile's (RFC 5280 4.2.1.13)",
        references::distribution_points,
    ),
    lint(
        "LINT-46",
        "authority-information-access",
        "the places of the issuer's certificate and of OCSP are the profile's (RFC 5280 4.2.2.1)",
        references::access,
    ),
];
