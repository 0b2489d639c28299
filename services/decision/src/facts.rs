//! From the terms of SCEP to the terms of policy: the only place where the two meet.

use std::time::SystemTime;

use assay_policy::{Facts, Grant, HashAlgorithm, RequestedExtension};
use assay_scep::{Csr, Digest};

/// Everything that a decision may look at.
pub fn facts(
    csr: &Csr,
    profile: &str,
    now: SystemTime,
    message_digest: HashAlgorithm,
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
        hash(csr.signature_digest()),
        message_digest,
        grant,
    )
}

/// A digest of a message in the terms of policy.
pub fn hash(digest: Digest) -> HashAlgorithm {
    match digest {
        Digest::Sha1 => HashAlgorithm::Sha1,
        Digest::Sha256 => HashAlgorithm::Sha256,
        Digest::Sha384 => HashAlgorithm::Sha384,
        Digest::Sha512 => HashAlgorithm::Sha512,
    }
}

/// A hash algorithm by the name under which it was kept.
pub fn named_hash(name: &str) -> Option<HashAlgorithm> {
    HashAlgorithm::ALL
        .iter()
        .copied()
        .find(|algorithm| algorithm.as_str() == name)
}
