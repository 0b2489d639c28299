//! What a profile says of certificates it issued before, and of requests that wait for a person.

use std::time::Duration;

use serde::Serialize;

use super::Profile;
use crate::canonical;

/// How a certificate of the profile may be renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Renewal {
    /// How early before the old certificate's NotAfter.
    #[serde(serialize_with = "canonical::seconds")]
    pub window: Duration,
    /// How long after the old certificate's NotAfter; zero where it must not have ended.
    #[serde(serialize_with = "canonical::seconds")]
    pub grace: Duration,
    /// Whether the new certificate may be for the old one's key.
    pub same_key: bool,
    /// Whether a certificate is renewed once only. A key that was stolen then makes no second line of certificates unseen.
    pub once: bool,
    /// What becomes of the old certificate.
    #[serde(flatten)]
    pub supersede: Supersede,
}

/// What becomes of a certificate once its successor is issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "supersede", content = "revoke_after", rename_all = "lowercase")]
pub enum Supersede {
    /// It stays valid until its NotAfter.
    Keep,
    /// It is revoked this long after its successor's issue, with the reason superseded (RFC 5280 section 5.3.1).
    #[serde(rename = "revoke", serialize_with = "canonical::seconds")]
    RevokeAfter(Duration),
}

/// That a request which policy permits waits for an operator (RFC 8894 section 3.3.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Approval {
    /// Whether two operators must approve.
    pub four_eyes: bool,
    /// A request that nobody decided within this time is denied.
    #[serde(serialize_with = "canonical::seconds")]
    pub expires: Duration,
}

impl Approval {
    /// Operators who must approve, each another one.
    pub fn operators(&self) -> u32 {
        if self.four_eyes { 2 } else { 1 }
    }
}

impl Profile {
    /// How certificates are renewed; `None` where they are not.
    pub fn renewal(&self) -> Option<&Renewal> {
        self.renewal.as_ref()
    }

    /// How permitted requests are approved; `None` where they are issued at once.
    pub fn approval(&self) -> Option<&Approval> {
        self.approval.as_ref()
    }
}
