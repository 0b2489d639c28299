use assay_types::{Hash, Timestamp, TimestampMillis};
use serde::{Deserialize, Serialize};

use crate::Text;

/// One list of the events: the enum, with the `kind` of each, and [`Event::KINDS`].
macro_rules! events {
    ($(
        $(#[$doc:meta])*
        $variant:ident = $kind:literal { $($(#[$attribute:meta])* $field:ident: $type:ty,)* }
    )+) => {
        /// What a record tells of. The `request.*` events are terminal: each admitted request ends in one of them or, past a
        /// budget for unauthenticated or repeated requests, in the count of a `requests.counted`.
        #[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
        #[serde(tag = "kind")]
        #[allow(
            clippy::large_enum_variant,
            reason = "one event a request; the largest is the commonest"
        )]
        pub enum Event {
            $(
                $(#[$doc])*
                #[serde(rename = $kind)]
                $variant { $($(#[$attribute])* $field: $type,)* },
            )+
        }

        impl Event {
            /// Every value that [`Self::kind`] has.
            pub const KINDS: &'static [&'static str] = &[$($kind,)+];

            /// The `kind` member of the record.
            pub fn kind(&self) -> &'static str {
                match self {
                    $(Self::$variant { .. } => $kind,)+
                }
            }
        }
    };
}

events! {
    /// The signer is ready for its first request.
    ServiceStarted = "service.started" {
        /// Version of the database's schema.
        schema: u32,
        /// SHA-256 of the kernel's id of the boot; absent if the time between the boot and the record before is not known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        kernel_boot: Option<Hash>,
        /// The time of that boot, by the last moment that was known to be right: the next run of the boot continues from it. Absent with
        /// `kernel_boot`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        booted_ms: Option<TimestampMillis>,
    }
    /// The signer stops after it drained what it had accepted.
    ServiceStopped = "service.stopped" {
        /// Why: a signal's name or a fault.
        cause: Text,
    }
    /// A token came, went or refused.
    TokenEvent = "token.event" {
        /// CKA-independent label of the token.
        token_label: Text,
        /// Serial number of the token.
        token_serial: Text,
        /// For example `ready`, `lost`, `pin-refused`.
        change: Text,
        /// One line for a human.
        detail: Text,
    }
    /// A set of policy files came into force.
    PolicyActivated = "policy.activated" {
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
        /// SHA-256 of the proposal that was approved; what the next version names as its predecessor.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        proposal_sha256: Option<Hash>,
        /// Who wrote it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        author: Option<Text>,
        /// Who approved it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        approvers: Vec<Text>,
        /// Stopped profiles that it resumes.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        resumed: Vec<Text>,
    }
    /// Devices are told of the CA that takes over, by GetNextCACert; again where its time was moved.
    CaAnnounced = "ca.announced" {
        /// SHA-256 of the next CA's certificate.
        ca_sha256: Hash,
        /// SHA-256 of the present CA's certificate.
        predecessor_sha256: Hash,
        /// When the next one becomes the present one.
        switch_at: Timestamp,
        /// Until when requests to the RA of the old one are answered.
        answered_until: Timestamp,
    }
    /// The announced CA took over.
    CaSwitched = "ca.switched" {
        /// SHA-256 of its certificate.
        ca_sha256: Hash,
        /// SHA-256 of the certificate of the one before.
        predecessor_sha256: Hash,
    }
    /// An operator stopped a profile: it issues nothing until an approved version resumes it.
    ProfileStopped = "profile.stopped" {
        /// Identity of the operator.
        actor: Text,
        /// The profile.
        profile: Text,
        /// The operator's words.
        reason: Text,
    }
    /// What the HSM service counted of the key of one CA on one connection.
    HsmCounted = "hsm.counted" {
        /// Number of the run, from 0; with `boot_id` it names one connection and one CA.
        run: u64,
        /// Process id of the service.
        pid: u32,
        /// Signatures of the CA key: certificates and CRLs.
        ca_signatures: u64,
        /// Whether the connection ended with this count.
        last: bool,
    }
    /// A challenge was issued.
    ChallengeIssued = "challenge.issued" {
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
        /// When it expires; absent where it does not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires_at: Option<Timestamp>,
        /// SHA-256 of the canonical JSON of what it is bound to: profile, subject, names.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        claims_sha256: Option<Hash>,
    }
    /// A challenge was revoked before its use.
    ChallengeRevoked = "challenge.revoked" {
        /// Identity of the operator.
        actor: Text,
        /// Public id of the challenge.
        challenge_id: Text,
    }
    /// Names were added to an inventory or may be issued to once more.
    InventoryChanged = "inventory.changed" {
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
    }
    /// A certificate that only the journal of the HSM service knew was taken up; the next record revokes it.
    CertificateImported = "certificate.imported" {
        /// Identity of the operator.
        actor: Text,
        /// Serial, hex.
        serial: Text,
        /// RFC 4514 subject.
        subject: Text,
        /// notAfter.
        not_after: Timestamp,
        /// SHA-256 of the TBSCertificate, by which the journal names it.
        tbs_digest: Hash,
        /// SHA-256 of the DER certificate.
        certificate_sha256: Hash,
    }
    /// A state that was restored from a backup was brought as far as the journal of the HSM service goes. The records before this
    /// one that the backup lacked are in the log as hashes alone. Every profile is stopped, every open challenge is void and
    /// every waiting request is closed from here on.
    StateRecovered = "state.recovered" {
        /// SHA-256 of the statement that was signed.
        statement_sha256: Hash,
        /// Identity of the journal.
        journal: Hash,
        /// Records of the last tree that the HSM service signed.
        log_size: u64,
        /// Root of that tree.
        log_root: Hash,
        /// Records of the restored state.
        restored_size: u64,
        /// Root of the tree over them.
        restored_root: Hash,
        /// The number of the next version of the policy is above it.
        policy_floor: u64,
        /// Who signed it.
        approvers: Vec<Text>,
        /// Last CRL of each CA by the journal, whose numbers the next ones continue.
        crls: Vec<RecoveredCrl>,
        /// Certificates that were taken up.
        certificates: u64,
        /// Certificates whose revocation or hold was taken up or ended.
        statuses: u64,
        /// Intents that were given up.
        intents: u64,
        /// Challenges that are void from here on.
        challenges: u64,
        /// Waiting requests that are closed from here on.
        requests: u64,
        /// Names of inventories that count as used from here on.
        names: u64,
    }
    /// A recovery took up a certificate of the journal whose record the backup lacked.
    CertificateRecovered = "certificate.recovered" {
        /// Serial, hex.
        serial: Text,
        /// RFC 4514 subject.
        subject: Text,
        /// notAfter.
        not_after: Timestamp,
        /// SHA-256 of the TBSCertificate, by which the journal names it.
        tbs_digest: Hash,
        /// SHA-256 of the DER certificate; absent where the journal has no signature of it, and it counts as revoked.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        certificate_sha256: Option<Hash>,
    }
    /// A recovery took up what the last CRL of the journal says of a certificate and the backup did not.
    StatusRecovered = "status.recovered" {
        /// Serial, hex.
        serial: Text,
        /// Since when it is revoked or on hold; absent where it is neither any more.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        revoked_at: Option<Timestamp>,
        /// CRLReason of RFC 5280 section 5.3.1.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Text>,
    }
    /// A certificate was revoked for good.
    CertificateRevoked = "certificate.revoked" {
        /// Identity of the operator, or of the signer where a schedule did it.
        actor: Text,
        /// Serial, hex.
        serial: Text,
        /// CRLReason of RFC 5280 section 5.3.1.
        reason: Text,
        /// Serial of the certificate whose revocation was to reach its successors, this one among them; absent otherwise.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        successor_of: Option<Text>,
    }
    /// A certificate was put on hold: revoked until it is released.
    CertificateHeld = "certificate.held" {
        /// Identity of the operator.
        actor: Text,
        /// Serial, hex.
        serial: Text,
        /// Serial of the certificate whose hold was to reach its successors, this one among them; absent otherwise.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        successor_of: Option<Text>,
    }
    /// A certificate on hold became valid again.
    CertificateReleased = "certificate.released" {
        /// Identity of the operator.
        actor: Text,
        /// Serial, hex.
        serial: Text,
    }
    /// A certificate was renewed by another.
    CertificateSuperseded = "certificate.superseded" {
        /// Serial of the old one, hex.
        serial: Text,
        /// Serial of the new one, hex.
        successor: Text,
        /// When the old one is to be revoked; absent where it is kept.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        revoke_at: Option<Timestamp>,
    }
    /// A CRL was signed.
    CrlIssued = "crl.issued" {
        /// CRL number of RFC 5280 section 5.2.3.
        number: u64,
        /// SHA-256 of the DER CRL.
        crl_sha256: Hash,
        /// SHA-256 of its TBSCertList, by which the journal of the HSM service names it.
        tbs_digest: Hash,
        /// thisUpdate.
        this_update: Timestamp,
        /// nextUpdate.
        next_update: Timestamp,
        /// Certificates listed.
        entries: u64,
        /// SHA-256 of the DER of its revokedCertificates, tag and length included; of nothing if the list has no entries.
        entries_sha256: Hash,
        /// Sequence number of the newest record when the entries were read: the list has the changes up to it and no other.
        covers: u64,
        /// Subject key identifier of the CA, hex.
        key_id: Text,
        /// Serial number of the token.
        token_serial: Text,
    }
    /// An operator approved a waiting request.
    PendingApproved = "pending.approved" {
        /// Identity of the operator.
        actor: Text,
        /// Id of the waiting request.
        pending_id: Text,
        /// Operators who approved it so far, this one included.
        approvals: u64,
        /// Operators whose approval it needs.
        required: u64,
        /// The operator's words.
        note: Text,
    }
    /// An operator denied a waiting request.
    PendingDenied = "pending.denied" {
        /// Identity of the operator.
        actor: Text,
        /// Id of the waiting request.
        pending_id: Text,
        /// The operator's words.
        note: Text,
    }
    /// A waiting or approved request came to nothing in its time.
    PendingExpired = "pending.expired" {
        /// Id of the waiting request.
        pending_id: Text,
    }
    /// A permit was turned into a durable intent: from here on the CA may sign this TBSCertificate.
    IntentOpened = "intent.opened" {
        /// The request permitted.
        #[serde(flatten)]
        request: Request,
        /// What may be signed.
        #[serde(flatten)]
        issuance: Issuance,
        /// Salted hash of the evidence on which it was decided.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        evidence: Option<Hash>,
    }
    /// An intent that could not be finished: its serial counts as issued and revoked.
    IntentAbandoned = "intent.abandoned" {
        /// The request that had been permitted.
        #[serde(flatten)]
        request: Request,
        /// What might have been signed.
        #[serde(flatten)]
        issuance: Issuance,
        /// notAfter of what might have been signed, until which CRLs list the serial; absent if the HSM service never had it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        listed_until: Option<Timestamp>,
        /// Why, one line.
        detail: Text,
    }
    /// A certificate was issued.
    RequestIssued = "request.issued" {
        /// The request answered.
        #[serde(flatten)]
        request: Request,
        /// What was signed.
        #[serde(flatten)]
        issuance: Issuance,
        /// SHA-256 of the DER certificate.
        certificate_sha256: Hash,
        /// Serial of the certificate that it renews, hex; absent where it renews none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        renewal_of: Option<Text>,
        /// Whether recovery finished it after a crash.
        recovered: bool,
    }
    /// A certificate issued before was handed out again; nothing was issued.
    RequestReplayed = "request.replayed" {
        /// The request answered.
        #[serde(flatten)]
        request: Request,
        /// What was handed out.
        answer: Answer,
        /// Serial of the certificate, hex.
        serial: Text,
    }
    /// A request that policy permits was queued for an operator: a CertRep PENDING.
    RequestPending = "request.pending" {
        /// The request answered.
        #[serde(flatten)]
        request: Request,
        /// Id of the waiting request, which this one began or repeats.
        pending_id: Text,
        /// Salted hash of the evidence on which it was decided.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        evidence: Option<Hash>,
    }
    /// A CertPoll for a request that still waits: a CertRep PENDING.
    RequestPolled = "request.polled" {
        /// The request answered.
        #[serde(flatten)]
        request: Request,
        /// Id of the waiting request.
        pending_id: Text,
    }
    /// A GetCert or GetCRL was answered.
    RequestQueried = "request.queried" {
        /// The request answered.
        #[serde(flatten)]
        request: Request,
        /// Serial of the certificate handed out, hex.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        serial: Option<Text>,
        /// Number of the CRL handed out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        crl_number: Option<u64>,
    }
    /// A CertRep FAILURE.
    RequestRefused = "request.refused" {
        /// The request answered.
        #[serde(flatten)]
        request: Request,
        /// failInfo of RFC 8894 section 3.2.1.4.
        fail_info: u8,
        /// Id of the rule that was not met.
        rule: Text,
        /// Field, wanted, got; never a secret.
        detail: Text,
        /// Salted hash of the evidence on which it was decided.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        evidence: Option<Hash>,
    }
    /// No CertRep could be built: HTTP 400.
    RequestMalformed = "request.malformed" {
        /// The request answered.
        #[serde(flatten)]
        request: Request,
        /// What was wrong with it.
        detail: Text,
    }
    /// No answer could be had: HTTP 503; the client comes again.
    RequestDeferred = "request.deferred" {
        /// The request put off.
        #[serde(flatten)]
        request: Request,
        /// What was not to be had.
        detail: Text,
    }
    /// Requests of one class that have no record of their own, because there were more than the budget of the class allows.
    RequestsCounted = "requests.counted" {
        /// Identity of the frontend that relayed them.
        peer: Text,
        /// Their class.
        class: RequestClass,
        /// Their profile; absent where the frontend named none that is in force.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        profile: Option<Text>,
        /// Wall clock of the first.
        from_ms: TimestampMillis,
        /// Wall clock of the last.
        to_ms: TimestampMillis,
        /// How many there were.
        requests: u64,
        /// How many different keys signed them; at least as many where `more_signer_keys` says so. 0 where no signature was
        /// verified.
        signer_keys: u64,
        /// Whether there may have been more keys than [`MAX_SIGNER_KEYS`], up to which they are distinguished.
        more_signer_keys: bool,
    }
    /// The wall clock moved against the monotonic one.
    ClockStep = "clock.step" {
        /// Milliseconds; negative is backwards.
        delta_ms: i64,
    }
    /// An operator accepted a jump of the wall clock. The record has the accepted time, which may be before that of earlier records.
    ClockAccepted = "clock.accepted" {
        /// Identity of the operator.
        actor: Text,
        /// The expected time when the jump was found.
        from: Timestamp,
        /// The wall clock at that moment.
        to: Timestamp,
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
    /// `password`: the reply is enveloped under that challenge (RFC 5652 section 6.2.4); absent: to the requester's key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_envelope: Option<Text>,
    /// Exceptions of the profile that it needed so far.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quirks: Vec<Text>,
}

/// What the CA signs or signed for a request.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Issuance {
    /// Serial, hex.
    pub serial: Text,
    /// SHA-256 of the TBSCertificate.
    pub tbs_digest: Hash,
    /// Subject key identifier of the CA, hex.
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

/// Different signer keys that a `requests.counted` tells apart. A bound, as a stranger makes as many keys as they like.
pub const MAX_SIGNER_KEYS: u64 = 256;

/// The class of a request as far as its record is concerned: each has a budget of single records, past which requests are
/// counted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RequestClass {
    /// Refused before a signature was verified: malformed, an unknown profile, an algorithm, a wrong signature.
    Unverified,
    /// Refused with a valid signature of a key that nothing authorises: it did not open, or brought no challenge.
    Unauthorised,
    /// Refused with a challenge that authorises nothing: unknown, used, revoked, expired or of another profile.
    ChallengeFailed,
    /// Refused though a challenge, a certificate or a waiting request authorises its sender to ask.
    Refused,
    /// HTTP 503, as the token, the store or something else was not there.
    Deferred,
    /// The certificate issued before was handed out again.
    Replayed,
    /// A poll for a request that still waits.
    Polled,
    /// A GetCert or GetCRL was answered.
    Queried,
}

impl RequestClass {
    /// Every class.
    pub const ALL: [Self; 8] = [
        Self::Unverified,
        Self::Unauthorised,
        Self::ChallengeFailed,
        Self::Refused,
        Self::Deferred,
        Self::Replayed,
        Self::Polled,
        Self::Queried,
    ];

    /// As records name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unverified => "unverified",
            Self::Unauthorised => "unauthorised",
            Self::ChallengeFailed => "challenge-failed",
            Self::Refused => "refused",
            Self::Deferred => "deferred",
            Self::Replayed => "replayed",
            Self::Polled => "polled",
            Self::Queried => "queried",
        }
    }
}

/// The last CRL of a CA by the journal of the HSM service.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RecoveredCrl {
    /// Subject key identifier of the CA, hex.
    pub key_id: Text,
    /// SHA-256 of the SubjectPublicKeyInfo of the CA, by which the journal names it.
    pub issuer: Hash,
    /// Its number.
    pub number: u64,
    /// Its thisUpdate.
    pub this_update: Timestamp,
}

/// A change to an inventory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InventoryChange {
    /// Names added.
    Add,
    /// Names may be issued to once more.
    Reset,
    /// Names struck off.
    Remove,
}
