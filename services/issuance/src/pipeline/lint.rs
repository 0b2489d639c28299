//! Step 9, linted: the final TBS read again, by code that shares nothing with its builder.

use std::time::SystemTime;

use assay_lint::Expectation;
use assay_policy::{Expected, Tbs};
use assay_types::Hash;

use super::End;
use crate::issuing_ca::IssuingCa;

/// The digest of a TBS that passed. Made by [`check`] only.
pub(super) struct Linted {
    digest: Hash,
}

impl Linted {
    pub(super) fn digest(&self) -> Hash {
        self.digest
    }
}

/// Holds the TBS to RFC 5280 and to what the profile says of it. A finding is a fault of ours, never of the request.
pub(super) fn check(
    ca: &IssuingCa,
    expected: &Expected,
    tbs: &Tbs,
    now: SystemTime,
) -> Result<Linted, End> {
    let expectation = Expectation {
        issuer: &ca.lint_issuer,
        signature_algorithm_der: &ca.issuer.signature_algorithm_der,
        subject_der: &expected.subject_der,
        spki_der: &expected.spki_der,
        san_der: expected.san_der.as_deref(),
        extensions: &expected.extensions,
        key_usage: expected.key_usage,
        extended_key_usage: &expected.extended_key_usage,
        policies: &expected.policies,
        crl_distribution_points: &expected.crl_distribution_points,
        ca_issuers: &expected.ca_issuers,
        ocsp: &expected.ocsp,
        max_validity: expected.max_validity,
        now,
    };
    match assay_lint::check(tbs.der(), &expectation) {
        Ok(report) => Ok(Linted {
            digest: report.digest.into(),
        }),
        Err(findings) => {
            let findings: Vec<String> = findings.iter().map(ToString::to_string).collect();
            let findings = findings.join("; ");
            tracing::error!(
                findings,
                "the certificate to be issued does not pass its lints; nothing is signed"
            );
            Err(End::deferred(format!("lint: {findings}")))
        }
    }
}
