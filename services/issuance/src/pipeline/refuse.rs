//! Every end but a certificate: what the device is told, what the record says, and when it leaves.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use assay_audit::{Attachment, Event};
use assay_policy::Profile;
use assay_scep::{Outcome, Request};
use assay_store::{Store, StoreError};
use assay_types::{Hash, TimestampMillis};

use super::reply_recipient::ReplyRecipient;
use super::rule::SignerRule;
use super::send_time::SendTime;
use super::{Answer, Deferred, End, Refused, RequestContext, reply};
use crate::admission::{Admission, RETRY_AFTER_SECONDS};
use crate::app::Parts;
use crate::metrics;
use crate::recorder::Recorder;

/// Refusals a second of requests that nobody authenticated which get a record of their own; the rest are counted in one
/// aggregate a second, so that whoever holds the frontend cannot fill the books.
const SINGLE_RECORDS_PER_SECOND: u32 = 50;

/// Refusals a second whose evidence is kept; further ones have their record alone. A device that is refused again and
/// again would else fill the disk with what is longer than a record.
const EVIDENCE_PER_SECOND: u32 = 20;

/// Ends requests; what was only counted is written once a second.
pub(crate) struct Refusals {
    admission: Arc<Admission>,
    store: Store,
    recorder: Arc<Recorder>,
    counted: Aggregate,
}

impl Refusals {
    pub(crate) fn new(parts: &Parts) -> Self {
        Self {
            admission: Arc::clone(&parts.admission),
            store: parts.store.clone(),
            recorder: Arc::clone(&parts.recorder),
            counted: Aggregate::default(),
        }
    }

    /// Records how the request ended and makes its answer.
    pub(super) async fn end(
        &self,
        context: RequestContext,
        spoken: Option<(&Profile, &Request)>,
        end: End,
    ) -> (Answer, SendTime) {
        let leaves = match end {
            End::Undecipherable | End::Unanswered => SendTime::OnTick,
            End::UnknownProfile
            | End::Malformed(_)
            | End::Refused(_)
            | End::NotOpened
            | End::Deferred(_) => SendTime::AtOnce,
        };
        (self.end_now(context, spoken, end).await, leaves)
    }

    async fn end_now(
        &self,
        context: RequestContext,
        spoken: Option<(&Profile, &Request)>,
        end: End,
    ) -> Answer {
        metrics::request_ended(&context, end.label());
        let refused = match end {
            End::UnknownProfile => {
                self.record_malformed(&context, "no profile of this name")
                    .await;
                return Answer::UnknownProfile;
            }
            End::Malformed(reason) => {
                self.record_malformed(&context, &reason).await;
                return Answer::Malformed(reason);
            }
            End::NotOpened => {
                return self
                    .defer_refusal(&context, "too many messages that do not open")
                    .await;
            }
            End::Deferred(deferred) => return self.defer(context, deferred).await,
            End::Refused(refused) => refused,
            End::Undecipherable => uniform(SignerRule::Uniform),
            End::Unanswered => uniform(SignerRule::UnknownCertificate),
        };
        let Some((profile, request)) = spoken else {
            return self.defer(context, Deferred::without_cause()).await;
        };
        self.refuse(&context, profile, request, refused).await
    }

    /// A signed CertRep FAILURE, if the budget for them allows one.
    async fn refuse(
        &self,
        context: &RequestContext,
        profile: &Profile,
        request: &Request,
        refused: Refused,
    ) -> Answer {
        if !self.admission.may_refuse() {
            return self.defer_refusal(context, "too many refusals").await;
        }
        let Refused {
            fail_info,
            rule,
            detail,
            evidence,
        } = refused;
        let outcome = Outcome::Failure {
            fail_info,
            // The uniform failure says nothing, whatever the profile allows.
            text: (profile.fail_info_text() && !detail.is_empty())
                .then(|| format!("{rule}: {detail}")),
        };
        let algorithms = reply::algorithms(
            profile,
            context.generation.token.key_transports(),
            self.recorder.now(),
        );
        let recipient = ReplyRecipient::by_key(request);
        let built = reply::build(
            &*context.generation.token,
            &algorithms,
            recipient,
            &outcome,
            context,
        )
        .await;
        let cert_rep = match built {
            Ok(cert_rep) => cert_rep,
            Err(error) => return self.defer(context.clone(), Deferred::because(error)).await,
        };
        tracing::info!(
            request_id = context.request_id,
            transaction_id = context.transaction_id,
            profile = context.profile,
            %fail_info,
            rule,
            detail,
            "request refused"
        );
        let event = Event::RequestRefused {
            request: context.request(),
            fail_info: fail_info as u8,
            rule: rule.into(),
            detail: detail.into(),
            evidence: None,
        };
        let recorded = self
            .record_refusal(context, event, evidence, Kind::Refused)
            .await;
        match recorded {
            Ok(()) => Answer::CertRep(cert_rep),
            Err(_) => busy(),
        }
    }

    /// HTTP 503 for want of budget. Recorded as refusals are: that there are too many is no reason to write more.
    async fn defer_refusal(&self, context: &RequestContext, cause: &'static str) -> Answer {
        tracing::info!(
            request_id = context.request_id,
            transaction_id = context.transaction_id,
            profile = context.profile,
            cause,
            "refusal deferred"
        );
        let event = Event::RequestDeferred {
            request: context.request(),
            detail: cause.into(),
        };
        if let Err(error) = self
            .record_refusal(context, event, None, Kind::Refused)
            .await
        {
            tracing::error!(%error, "the audit log cannot be written");
        }
        busy()
    }

    async fn record_malformed(&self, context: &RequestContext, reason: &str) {
        tracing::info!(
            request_id = context.request_id,
            profile = context.profile,
            reason,
            "request malformed"
        );
        let event = Event::RequestMalformed {
            request: context.request(),
            detail: reason.into(),
        };
        if let Err(error) = self
            .record_refusal(context, event, None, Kind::Malformed)
            .await
        {
            tracing::error!(%error, "the audit log cannot be written");
        }
    }

    /// HTTP 503.
    async fn defer(&self, context: RequestContext, deferred: Deferred) -> Answer {
        let Deferred { cause, has_record } = deferred;
        tracing::warn!(
            request_id = context.request_id,
            profile = context.profile,
            cause,
            has_record,
            "request deferred"
        );
        if !has_record {
            let event = Event::RequestDeferred {
                request: context.request(),
                detail: cause.into(),
            };
            let recorded = self
                .recorder
                .append(&self.store, context.policy_hash, event);
            if let Err(error) = recorded.await {
                tracing::error!(%error, "the audit log cannot be written");
            }
        }
        busy()
    }

    /// One record, or one more in this second's count where nobody authenticated the request and there are many.
    async fn record_refusal(
        &self,
        context: &RequestContext,
        event: Event,
        evidence: Option<Box<Attachment>>,
        kind: Kind,
    ) -> Result<(), StoreError> {
        let now = self.recorder.timestamp_millis();
        if context.challenge_id.is_none() && !self.counted.single(&context.peer, kind, now) {
            return Ok(());
        }
        let mut draft = self.recorder.draft(context.policy_hash, event);
        if let Some(evidence) = evidence
            && self.counted.may_keep()
        {
            draft = draft.with_evidence(*evidence);
        }
        self.store.append_audit(vec![draft]).await.map(drop)
    }

    /// Writes what was only counted; called once a second.
    pub(crate) async fn flush(&self, policy_hash: Option<Hash>) {
        for event in self.counted.take() {
            let recorded = self.recorder.append(&self.store, policy_hash, event);
            if let Err(error) = recorded.await {
                tracing::error!(%error, "the audit log cannot be written");
            }
        }
    }
}

impl Deferred {
    fn because(cause: impl std::fmt::Display) -> Self {
        Self {
            cause: cause.to_string(),
            has_record: false,
        }
    }

    fn without_cause() -> Self {
        Self::because("no answer could be built")
    }
}

/// The uniform failure of scep class X: badRequest, no text, no cause.
fn uniform(rule: SignerRule) -> Refused {
    Refused {
        fail_info: rule.fail_info(),
        rule: rule.id().to_owned(),
        detail: String::new(),
        evidence: None,
    }
}

fn busy() -> Answer {
    Answer::Busy {
        retry_after_seconds: RETRY_AFTER_SECONDS,
    }
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Refused,
    Malformed,
}

/// Refusals of this second that are counted, not recorded, by frontend.
#[derive(Default)]
struct Aggregate(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    recorded_singly: u32,
    evidence_kept: u32,
    by_peer: BTreeMap<String, Count>,
}

struct Count {
    from: TimestampMillis,
    to: TimestampMillis,
    refused: u64,
    malformed: u64,
}

impl Aggregate {
    /// Whether this one gets a record of its own; else it is counted.
    fn single(&self, peer: &str, kind: Kind, now: TimestampMillis) -> bool {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.recorded_singly < SINGLE_RECORDS_PER_SECOND {
            counts.recorded_singly += 1;
            return true;
        }
        let count = counts.by_peer.entry(peer.to_owned()).or_insert(Count {
            from: now,
            to: now,
            refused: 0,
            malformed: 0,
        });
        count.to = now;
        match kind {
            Kind::Refused => count.refused += 1,
            Kind::Malformed => count.malformed += 1,
        }
        false
    }

    /// Whether a refusal's evidence may be kept in this second still.
    fn may_keep(&self) -> bool {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = counts.evidence_kept < EVIDENCE_PER_SECOND;
        counts.evidence_kept += u32::from(room);
        room
    }

    /// Begins a new second and gives the aggregates of the last.
    fn take(&self) -> Vec<Event> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *counts)
            .by_peer
            .into_iter()
            .map(|(peer, count)| Event::RefusalsAggregate {
                peer: peer.into(),
                from_ms: count.from,
                to_ms: count.to,
                refused: count.refused,
                malformed: count.malformed,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: TimestampMillis = TimestampMillis::from_millis(7);

    #[test]
    fn past_the_bound_refusals_are_counted_and_none_is_lost() {
        let aggregate = Aggregate::default();
        let singles = (0..80)
            .filter(|_| aggregate.single("assay://frontend/a", Kind::Refused, NOW))
            .count();
        assert_eq!(singles, 50);
        assert!(matches!(
            aggregate.take().as_slice(),
            [Event::RefusalsAggregate {
                refused: 30,
                malformed: 0,
                ..
            }]
        ));
        assert!(aggregate.single("assay://frontend/a", Kind::Refused, NOW));
    }

    #[test]
    fn past_the_bound_refusals_are_recorded_without_evidence() {
        let aggregate = Aggregate::default();
        assert_eq!((0..80).filter(|_| aggregate.may_keep()).count(), 20);
        aggregate.take();
        assert!(aggregate.may_keep());
    }
}
