use serde::{Deserialize, Serialize};

use crate::{Hash, Text};

/// What a record tells of. The `request.*` events are terminal: each admitted request ends in exactly one of them, or in
/// the count of a `refusals.aggregate`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind")]
#[allow(
    clippy::large_enum_variant,
    reason = "one event a request; the largest is the commonest"
)]
pub enum Event {
    /// The signer is ready for its first request.
    #[serde(rename = "service.started")]
    ServiceStarted {
        /// Version of the database's schema.
        schema: u32,
    },
    /// The signer stops after it drained what it had accepted.
    #[serde(rename = "service.stopped")]
    ServiceStopped {
        /// Why: a signal's name or a fault.
        cause: Text,
    },
    /// A token came, went or refused.
    #[serde(rename = "token.event")]
    TokenEvent {
        /// CKA-independent label of the token.
        token_label: Text,
        /// Serial number of the token.
        token_serial: Text,
        /// For example `ready`, `lost`, `pin-refused`, `worker-killed`.
        change: Text,
        /// One line for a human.
        detail: Text,
    },
    /// A set of policy files came into force.
    #[serde(rename = "policy.activated")]
    PolicyActivated {
        /// Identity of the operator.
        actor: Text,
        /// Number of the version; only rises.
        number: u64,
        /// SHA-256 over the files.
        file_hash: Hash,
        /// SHA-256 over the canonical model.
        model_hash: Hash,
        /// Profiles in the set.
        profiles: u64,
    },
    /// A challenge was issued.
    #[serde(rename = "challenge.issued")]
    ChallengeIssued {
        /// Identity of the operator.
        actor: Text,
        /// Public id of the challenge, never the challenge.
        challenge_id: Text,
        /// `one-time` or `static`.
        challenge_kind: Text,
        /// The one profile it is for.
        profile: Text,
        /// RFC 4514 subject; absent for a static challenge.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        subject: Option<Text>,
        /// Unix seconds; absent where it does not expire.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires_at: Option<i64>,
    },
    /// A challenge was revoked before its use.
    #[serde(rename = "challenge.revoked")]
    ChallengeRevoked {
        /// Identity of the operator.
        actor: Text,
        /// Public id of the challenge.
        challenge_id: Text,
    },
    /// Names were added to an inventory or may be issued to once more.
    #[serde(rename = "inventory.changed")]
    InventoryChanged {
        /// Identity of the operator.
        actor: Text,
        /// Profile of the inventory.
        profile: Text,
        /// What was done.
        change: InventoryChange,
        /// Names that it was done to.
        names: u64,
        /// Number of changes to this inventory, this one included.
        inventory_sequence: u64,
        /// Head of the chain of hashes over its changes.
        inventory_hash: Hash,
    },
    /// A permit was turned into a durable intent: from here on the CA may sign this TBSCertificate.
    #[serde(rename = "intent.opened")]
    IntentOpened {
        /// The request permitted.
        #[serde(flatten)]
        request: Request,
        /// What may be signed.
        #[serde(flatten)]
        issuance: Issuance,
    },
    /// An intent that could not be finished: its serial counts as issued and revoked.
    #[serde(rename = "intent.abandoned")]
    IntentAbandoned {
        /// The request that had been permitted.
        #[serde(flatten)]
        request: Request,
        /// What might have been signed.
        #[serde(flatten)]
        issuance: Issuance,
        /// Why, one line.
        detail: Text,
    },
    /// A certificate was issued.
    #[serde(rename = "request.issued")]
    RequestIssued {
        /// The request answered.
        #[serde(flatten)]
        request: Request,
        /// What was signed.
        #[serde(flatten)]
        issuance: Issuance,
        /// SHA-256 of the DER certificate.
        certificate_sha256: Hash,
        /// Whether recovery finished it after a crash.
        recovered: bool,
    },
    /// A certificate issued before was handed out again; nothing was issued.
    #[serde(rename = "request.replayed")]
    RequestReplayed {
        /// The request answered.
        #[serde(flatten)]
        request: Request,
        /// What was handed out.
        answer: Answer,
        /// Serial of the certificate, hex.
        serial: Text,
    },
    /// A CertRep FAILURE.
    #[serde(rename = "request.refused")]
    RequestRefused {
        /// The request answered.
        #[serde(flatten)]
        request: Request,
        /// failInfo of RFC 8894 section 3.2.1.4.
        fail_info: u8,
        /// Id of the rule that was not met.
        rule: Text,
        /// Field, wanted, got; never a secret.
        detail: Text,
    },
    /// No CertRep could be built: HTTP 400.
    #[serde(rename = "request.malformed")]
    RequestMalformed {
        /// The request answered.
        #[serde(flatten)]
        request: Request,
        /// What was wrong with it.
        detail: Text,
    },
    /// No answer could be had: HTTP 503; the client comes again.
    #[serde(rename = "request.deferred")]
    RequestDeferred {
        /// The request put off.
        #[serde(flatten)]
        request: Request,
        /// What was not to be had.
        detail: Text,
    },
    /// Refusals too many to be recorded singly.
    #[serde(rename = "refusals.aggregate")]
    RefusalsAggregate {
        /// Identity of the frontend.
        peer: Text,
        /// Wall clock of the first, milliseconds since the epoch.
        from_ms: i64,
        /// Wall clock of the last, milliseconds since the epoch.
        to_ms: i64,
        /// How many ended in a FAILURE.
        refused: u64,
        /// How many were malformed.
        malformed: u64,
    },
    /// The wall clock moved against the monotonic one.
    #[serde(rename = "clock.step")]
    ClockStep {
        /// Milliseconds; negative is backwards.
        delta_ms: i64,
    },
}

impl Event {
    /// The `kind` member of the record.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::ServiceStarted { .. } => "service.started",
            Self::ServiceStopped { .. } => "service.stopped",
            Self::TokenEvent { .. } => "token.event",
            Self::PolicyActivated { .. } => "policy.activated",
            Self::ChallengeIssued { .. } => "challenge.issued",
            Self::ChallengeRevoked { .. } => "challenge.revoked",
            Self::InventoryChanged { .. } => "inventory.changed",
            Self::IntentOpened { .. } => "intent.opened",
            Self::IntentAbandoned { .. } => "intent.abandoned",
            Self::RequestIssued { .. } => "request.issued",
            Self::RequestReplayed { .. } => "request.replayed",
            Self::RequestRefused { .. } => "request.refused",
            Self::RequestMalformed { .. } => "request.malformed",
            Self::RequestDeferred { .. } => "request.deferred",
            Self::RefusalsAggregate { .. } => "refusals.aggregate",
            Self::ClockStep { .. } => "clock.step",
        }
    }
}

/// A pkiMessage, as far as it was understood when its record was made.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Request {
    /// Identity of the frontend that relayed it.
    pub peer: Text,
    /// SHA-256 of the frontend's DER certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer_certificate_sha256: Option<Hash>,
    /// Correlates with the log lines of both tiers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<Text>,
    /// SHA-256 of the pkiMessage as received.
    pub request_digest: Hash,
    /// RFC 8894 section 3.2.1.1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transaction_id: Option<Text>,
    /// RFC 8894 section 3.2.1.2, the decimal as it was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_type: Option<Text>,
    /// The profile that the frontend named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<Text>,
    /// Public id of the challenge that came with it, once known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub challenge_id: Option<Text>,
}

/// What the CA signs or signed for a request.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Issuance {
    /// Serial, hex.
    pub serial: Text,
    /// SHA-256 of the TBSCertificate.
    pub tbs_digest: Hash,
    /// CKA_ID of the CA key, hex.
    pub key_id: Text,
    /// Serial number of the token.
    pub token_serial: Text,
}

/// What a retransmission got.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// The stored CertRep, byte for byte; no key was used.
    StoredReply,
    /// The same certificate in a fresh CertRep.
    SameCertificate,
}

/// A change to an inventory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InventoryChange {
    /// Names added.
    Add,
    /// Names may be issued to once more.
    Reset,
}
