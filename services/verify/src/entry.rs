//! A record with what belongs to it.

use std::time::Duration;

use assay_audit::{Event, Record, Request};
use assay_decision::Evidence;
use assay_policy::{Dn, StringEncoding};
use assay_types::{Hash, Timestamp, TimestampMillis};

/// The longest time between a decision and its record, or a record and the next one in the log: requests are made
/// at the same time, and one may wait for the token or the disk while others pass it.
pub(crate) const SLACK: Duration = Duration::from_millis(SLACK_MS);
/// [`SLACK`] in milliseconds.
pub(crate) const SLACK_MS: u64 = 120_000;

/// One record of a bundle that is held.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) record: Record,
    pub(crate) evidence: EvidenceState,
    /// Of a `request.issued` or `certificate.imported` whose certificate is there and can be read.
    pub(crate) certificate: Option<Certified>,
}

/// The evidence of a record.
#[derive(Debug)]
pub(crate) enum EvidenceState {
    /// The record names none.
    None,
    /// The record names some that is not held, or cannot be read.
    Gone,
    /// As it was hashed.
    Held(Box<Evidence>),
}

/// What a renewal is compared with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Certified {
    pub(crate) not_after: Timestamp,
    /// Of the SubjectPublicKeyInfo.
    pub(crate) spki_sha256: Hash,
    /// As [`subject_hash`]; `None` for one that no policy names.
    pub(crate) subject: Option<Hash>,
    /// As [`names_hash`].
    pub(crate) sans: Hash,
    /// SHA-256 of the certificates of CAs that it can be of, by name and key identifier.
    pub(crate) issuers: Vec<Hash>,
    /// SHA-256 of the key of its CA.
    pub(crate) ca_key: Option<Hash>,
    /// SHA-256 of its signature, without the BIT STRING around it.
    pub(crate) signature: Hash,
}

impl Entry {
    pub(crate) fn sequence(&self) -> u64 {
        self.record.sequence
    }

    pub(crate) fn wall_ms(&self) -> TimestampMillis {
        self.record.draft.moment.wall_ms
    }

    pub(crate) fn wall(&self) -> Timestamp {
        self.wall_ms().seconds()
    }

    pub(crate) fn evidence(&self) -> Option<&Evidence> {
        match &self.evidence {
            EvidenceState::Held(evidence) => Some(evidence),
            EvidenceState::None | EvidenceState::Gone => None,
        }
    }
}

/// Of a subject, whatever its values are encoded as: a policy chooses that for each.
pub(crate) fn subject_hash(subject: &Dn) -> Option<Hash> {
    let der = subject.to_der(StringEncoding::Utf8).ok()?;
    Some(Hash::of(&der))
}

/// Of subject alternative names as text, in any order.
pub(crate) fn names_hash(names: &[String]) -> Hash {
    let mut names = names.to_vec();
    names.sort_unstable();
    // No name holds a line feed.
    Hash::of(names.join("\n").as_bytes())
}

impl Entry {
    /// Whether it uses something up: its evidence says what.
    pub(crate) fn is_permit(&self) -> bool {
        matches!(
            self.record.draft.event,
            Event::IntentOpened { .. } | Event::RequestPending { .. }
        )
    }

    /// The request that it tells of.
    pub(crate) fn request(&self) -> Option<&Request> {
        if let Event::IntentOpened { request, .. }
        | Event::IntentAbandoned { request, .. }
        | Event::RequestIssued { request, .. }
        | Event::RequestReplayed { request, .. }
        | Event::RequestPending { request, .. }
        | Event::RequestPolled { request, .. }
        | Event::RequestQueried { request, .. }
        | Event::RequestRefused { request, .. }
        | Event::RequestMalformed { request, .. }
        | Event::RequestDeferred { request, .. } = &self.record.draft.event
        {
            Some(request)
        } else {
            None
        }
    }

    pub(crate) fn event(&self) -> &Event {
        &self.record.draft.event
    }
}
