//! Step 9, linted: the final TBS read again, by code that shares nothing with its builder.

use std::time::SystemTime;

use assay_decision::expectation;
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
    let expectation = expectation(&ca.lint_issuer, &ca.issuer, expected, now);
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
