//! From the terms of SCEP to the terms of policy: the only place where the two meet.

use std::time::SystemTime;

use assay_policy::{Authority, Facts, HashAlgorithm, Profile, RequestedExtension};
use assay_scep::{Csr, Digest, FailInfo, Request};

use super::End;
use super::opened::Opened;

/// Everything that the decision may look at, but for what authorises the request: that is found with the help of it.
pub(super) fn collect(
    profile: &Profile,
    request: &Request,
    opened: &Opened,
    now: SystemTime,
) -> Result<Facts, End> {
    // `authenticate` held the digest to the profile, so it is one that can be named.
    let message_digest = request.digest().ok_or_else(|| {
        End::refused(
            FailInfo::BadAlg,
            "SCEP:digest",
            "the message's digest has no name",
        )
    })?;
    let csr = &opened.csr;
    let extensions = extensions(csr);
    Ok(Facts::from_request(
        csr.subject_der(),
        csr.spki_der(),
        &extensions,
        profile.name().as_str(),
        now,
        hash(csr.signature_digest()),
        hash(message_digest),
        Authority::None,
    ))
}

/// The extensions that a CSR asks for, in the terms of policy.
pub(super) fn extensions(csr: &Csr) -> Vec<RequestedExtension<'_>> {
    csr.extensions()
        .iter()
        .map(|extension| RequestedExtension {
            oid: extension.oid,
            value: &extension.value,
        })
        .collect()
}

/// A hash algorithm by the name under which it was kept.
pub(super) fn named_hash(name: &str) -> Result<HashAlgorithm, End> {
    HashAlgorithm::ALL
        .iter()
        .copied()
        .find(|algorithm| algorithm.as_str() == name)
        .ok_or_else(|| End::deferred("the queue names an unknown hash algorithm"))
}

pub(super) fn hash(digest: Digest) -> HashAlgorithm {
    match digest {
        Digest::Sha1 => HashAlgorithm::Sha1,
        Digest::Sha256 => HashAlgorithm::Sha256,
        Digest::Sha384 => HashAlgorithm::Sha384,
        Digest::Sha512 => HashAlgorithm::Sha512,
    }
}
