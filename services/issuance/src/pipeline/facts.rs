//! What is known of an opened request, for its decision.

use std::time::SystemTime;

use assay_policy::{Facts, Profile};
use assay_scep::{FailInfo, Request};
use assay_types::Digest;

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
    Ok(assay_decision::facts(
        &opened.csr,
        profile.name().as_str(),
        now,
        message_digest,
        None,
    ))
}

/// A hash algorithm by the name under which it was kept.
pub(super) fn named_hash(name: &str) -> Result<Digest, End> {
    Digest::named(name).ok_or_else(|| End::deferred("the queue names an unknown hash algorithm"))
}
