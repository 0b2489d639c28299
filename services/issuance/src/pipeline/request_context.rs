//! What is known of a request so far, for its audit record, its log line and its metrics.

use std::sync::Arc;

use assay_audit::Request;
use assay_policy::{Quirk, Quirks};
use assay_types::Hash;

use super::Received;
use crate::generation::Generation;
use crate::ra::Ra;

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
    /// Set once a challenge was found: the request is then more than anybody could send.
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
