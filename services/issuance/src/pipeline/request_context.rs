//! What is known of a request so far, for its audit record, its log line and its metrics.

use std::sync::Arc;

use assay_audit::{Request, RequestClass};
use assay_policy::{Quirk, Quirks};
use assay_store::CertificateRow;
use assay_types::Hash;

use super::Received;
use crate::generation::Generation;
use crate::ra::Ra;

/// How far the sender of a request is known: decides how its refusal is recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    /// No signature was verified.
    Unverified,
    /// It was signed by the key that it names, and nothing authorises that key.
    Unauthorised,
    /// It came with a challenge that authorises nothing.
    ChallengeFailed,
    /// A challenge, a certificate or a waiting request, as this names it.
    Known(String),
}

impl Standing {
    pub(super) fn of_certificate(own: &CertificateRow) -> Self {
        Self::Known(format!("certificate {}", own.serial))
    }

    pub(super) fn of_waiting(id: &str) -> Self {
        Self::Known(format!("request {id}"))
    }

    pub(super) fn of_challenge(id: &str) -> Self {
        Self::Known(format!("challenge {id}"))
    }

    /// The class of its refusal.
    pub(super) fn class(&self) -> RequestClass {
        match self {
            Self::Unverified => RequestClass::Unverified,
            Self::Unauthorised => RequestClass::Unauthorised,
            Self::ChallengeFailed => RequestClass::ChallengeFailed,
            Self::Known(_) => RequestClass::Refused,
        }
    }

    /// The source that authorises it.
    pub(super) fn source(&self) -> Option<&str> {
        match self {
            Self::Known(source) => Some(source),
            Self::Unverified | Self::Unauthorised | Self::ChallengeFailed => None,
        }
    }
}

/// Grows along the pipeline; whoever ends the request makes its terminal record of it.
#[derive(Clone)]
pub(crate) struct RequestContext {
    pub(crate) peer: String,
    pub(crate) request_id: String,
    pub(crate) request_digest: Hash,
    pub(crate) profile: String,
    pub(crate) policy_hash: Option<Hash>,
    pub(crate) transaction_id: Option<String>,
    pub(crate) message_type: Option<String>,
    /// The CA that answers: the one whose RA the message is enveloped to.
    pub(crate) generation: Arc<Generation>,
    /// That RA.
    pub(crate) ra: Arc<Ra>,
    /// SHA-256 of the key that signed it, once the signature was verified.
    pub(crate) signer_key: Option<Hash>,
    /// How far its sender is known.
    pub(crate) standing: Standing,
    /// Set once a challenge was found.
    pub(crate) challenge_id: Option<String>,
    /// The reply is enveloped under the challenge, as the requester's key cannot decrypt.
    pub(crate) under_password: bool,
    /// Exceptions of its profile that the request needed so far, each once.
    pub(crate) quirks: Vec<Quirk>,
}

impl RequestContext {
    /// Until the message is read, the CA that GetCACert names answers, by the RA of most profiles.
    pub(super) fn of(received: &Received, current: &Arc<Generation>) -> Self {
        Self {
            peer: received.frontend.to_string(),
            request_id: received.request_id.clone(),
            request_digest: Hash::of(&received.pki_message),
            profile: received.profile.clone(),
            policy_hash: None,
            transaction_id: None,
            message_type: None,
            signer_key: None,
            standing: Standing::Unverified,
            generation: Arc::clone(current),
            ra: Arc::clone(current.ca.ra(Quirks::default())),
            challenge_id: None,
            under_password: false,
            quirks: Vec::new(),
        }
    }

    /// Notes the exceptions that a step of the request needed.
    pub(super) fn needs(&mut self, quirks: impl IntoIterator<Item = Quirk>) {
        for quirk in quirks {
            if !self.quirks.contains(&quirk) {
                self.quirks.push(quirk);
            }
        }
    }

    /// The part of a record that tells of the request.
    pub(crate) fn request(&self) -> Request {
        Request {
            peer: self.peer.as_str().into(),
            peer_certificate_sha256: None,
            request_id: Some(self.request_id.as_str().into()),
            request_digest: self.request_digest,
            transaction_id: self.transaction_id.as_deref().map(Into::into),
            message_type: self.message_type.as_deref().map(Into::into),
            profile: Some(self.profile.as_str().into()),
            challenge_id: self.challenge_id.as_deref().map(Into::into),
            reply_envelope: self.under_password.then(|| "password".into()),
            quirks: self
                .quirks
                .iter()
                .map(|quirk| quirk.as_str().into())
                .collect(),
        }
    }
}
