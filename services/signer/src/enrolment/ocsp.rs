//! What frontends ask for of OCSP, and what they are answered, in the terms of the contract.

use assay_issuance::OcspAnswer;
use assay_ocsp::Issuer;
use assay_proto::v1::ocsp_response_reply::Outcome;
use assay_proto::v1::{Busy, OcspHash, OcspIssuer, OcspSigned, OcspUnknown, OcspWaiting};
use assay_types::CertIdHash;

/// A revocation is to be seen within this by whoever asks through an HTTP cache.
const MAX_AGE_SECONDS: u32 = 300;

/// The CA that is asked about; `None` where its hash has no name.
pub(super) fn issuer(asked: &OcspIssuer) -> Option<Issuer> {
    let hash = match asked.hash() {
        OcspHash::Sha1 => CertIdHash::Sha1,
        OcspHash::Sha256 => CertIdHash::Sha256,
        OcspHash::Unspecified => return None,
    };
    Some(Issuer {
        hash,
        name_hash: asked.name_hash.clone(),
        key_hash: asked.key_hash.clone(),
    })
}

/// A CA that there are responses for.
pub(super) fn told(issuer: &Issuer) -> OcspIssuer {
    OcspIssuer {
        hash: match issuer.hash {
            CertIdHash::Sha1 => OcspHash::Sha1,
            CertIdHash::Sha256 => OcspHash::Sha256,
        }
        .into(),
        name_hash: issuer.name_hash.clone(),
        key_hash: issuer.key_hash.clone(),
    }
}

pub(super) fn outcome(answer: OcspAnswer) -> Outcome {
    match answer {
        OcspAnswer::Signed {
            response,
            this_update,
            next_update,
        } => Outcome::Signed(OcspSigned {
            response,
            this_update: Some(this_update.into()),
            next_update: Some(next_update.into()),
            max_age_seconds: MAX_AGE_SECONDS,
        }),
        OcspAnswer::Unknown => Outcome::Unknown(OcspUnknown {}),
        OcspAnswer::Waiting => Outcome::Waiting(OcspWaiting {}),
        OcspAnswer::Busy {
            retry_after_seconds,
        } => Outcome::Busy(Busy {
            retry_after_seconds,
        }),
    }
}
