//! The record that ends a request, or one more in a count where its class has no budget left.

use std::sync::Arc;

use assay_audit::{Attachment, Event, RequestClass};
use assay_store::{Store, StoreError};

use super::RequestContext;
use crate::app::Parts;
use crate::metrics;
use crate::record_budget::{RecordBudgets, Subject};
use crate::recorder::Recorder;

/// Ends requests that made no certificate, intent or waiting request. Those have their record with what they change.
#[derive(Clone)]
pub(super) struct EndRecords {
    store: Store,
    recorder: Arc<Recorder>,
    budgets: Arc<RecordBudgets>,
}

impl EndRecords {
    pub(super) fn new(parts: &Parts) -> Self {
        Self {
            store: parts.store.clone(),
            recorder: Arc::clone(&parts.recorder),
            budgets: Arc::clone(&parts.budgets),
        }
    }

    /// Whether the request gets a record of its own. It is counted otherwise, and nothing of it is to be written.
    pub(super) fn is_single(&self, class: RequestClass, context: &RequestContext) -> bool {
        let subject = Subject {
            class,
            peer: &context.peer,
            // Before a profile was found the name is the request's own.
            profile: context.policy_hash.map(|_| context.profile.as_str()),
            policy_hash: context.policy_hash,
            source: context.standing.source(),
            signer_key: context.signer_key,
        };
        let single = self.budgets.single(&subject, self.recorder.budget_time());
        if !single {
            metrics::counted(class.as_str());
        }
        single
    }

    /// Writes `event` as the end of the request, or counts the request.
    pub(super) async fn end(
        &self,
        class: RequestClass,
        event: Event,
        evidence: Option<Box<Attachment>>,
        context: &RequestContext,
    ) -> Result<(), StoreError> {
        if !self.is_single(class, context) {
            return Ok(());
        }
        let mut draft = self.recorder.draft(context.policy_hash, event);
        if let Some(evidence) = evidence
            && self
                .budgets
                .may_keep(evidence.content.len(), self.recorder.budget_time())
        {
            draft = draft.with_evidence(*evidence);
        }
        self.store.append_audit(vec![draft]).await.map(drop)
    }
}
