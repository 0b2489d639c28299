//! From the terms of SCEP to the terms of policy: the only place where the two meet.

use std::time::SystemTime;

use assay_policy::{Facts, Grant, RequestedExtension};
use assay_scep::Csr;
use assay_types::Digest;

/// Everything that a decision may look at.
pub fn facts(
    csr: &Csr,
    profile: &str,
    now: SystemTime,
    message_digest: Digest,
    grant: Option<Grant>,
) -> Facts {
    let extensions: Vec<RequestedExtension<'_>> = csr
        .extensions()
        .iter()
        .map(|extension| RequestedExtension {
            oid: extension.oid,
            value: &extension.value,
        })
        .collect();
    Facts::from_request(
        csr.subject_der(),
        csr.spki_der(),
        &extensions,
        profile,
        now,
        csr.signature_digest(),
        message_digest,
        grant,
    )
}
