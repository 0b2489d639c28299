//! Every end but a certificate: what the device is told, what the record says, and when it leaves.

use std::sync::Arc;

use assay_audit::{Event, RequestClass};
use assay_policy::Profile;
use assay_scep::{Outcome, Request};
use assay_store::Store;

use super::reply_recipient::ReplyRecipient;
use super::rule::SignerRule;
use super::send_time::SendTime;
use super::{Answer, Deferred, End, EndRecords, Refused, RequestContext, reply};
use crate::admission::{Admission, RETRY_AFTER_SECONDS};
use crate::app::Parts;
use crate::metrics;
use crate::record_budget::{Counted, RecordBudgets};
use crate::recorder::Recorder;

/// Ends requests, and writes the counts of those that have no record of their own.
pub(crate) struct Refusals {
    admission: Arc<Admission>,
    store: Store,
    recorder: Arc<Recorder>,
    budgets: Arc<RecordBudgets>,
    end_records: EndRecords,
}

impl Refusals {
    pub(crate) fn new(parts: &Parts) -> Self {
        Self {
            admission: Arc::clone(&parts.admission),
            store: parts.store.clone(),
            recorder: Arc::clone(&parts.recorder),
            budgets: Arc::clone(&parts.budgets),
            end_records: EndRecords::new(parts),
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
        let class = context.standing.class();
        let recorded = self.end_records.end(class, event, evidence, context);
        match recorded.await {
            Ok(()) => Answer::CertRep(cert_rep),
            Err(_) => busy(),
        }
    }

    /// HTTP 503 for want of budget. Recorded as the refusal would have been, within the same budget of records.
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
        self.end_unanswered(context.standing.class(), event, context)
            .await;
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
        self.end_unanswered(context.standing.class(), event, context)
            .await;
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
            self.end_unanswered(RequestClass::Deferred, event, &context)
                .await;
        }
        busy()
    }

    /// Ends a request that gets no CertRep, so that nothing can be withheld where its record is not durable.
    async fn end_unanswered(&self, class: RequestClass, event: Event, context: &RequestContext) {
        if let Err(error) = self.end_records.end(class, event, None, context).await {
            tracing::error!(%error, "the audit log cannot be written");
        }
    }

    /// Writes the counts that are due; called each second.
    pub(crate) async fn write_counts(&self) {
        let due = self.budgets.due(self.recorder.budget_time());
        self.write(due).await;
    }

    /// Writes every count, at the end of the run.
    pub(crate) async fn write_last_counts(&self) {
        self.write(self.budgets.last()).await;
    }

    async fn write(&self, counted: Vec<Counted>) {
        if counted.is_empty() {
            return;
        }
        let drafts = counted.iter().map(|counted| {
            let (policy_hash, event) = counted.event();
            self.recorder.draft(policy_hash, event)
        });
        if let Err(error) = self.store.append_audit(drafts.collect()).await {
            tracing::error!(%error, "the counts of requests cannot be written; they are tried again");
            self.budgets.put_back(counted);
        }
    }

    /// The warning about profiles under which too many challenges fail.
    pub(crate) fn challenge_alarm(&self) -> Option<String> {
        self.budgets.alarm(self.recorder.budget_time())
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
