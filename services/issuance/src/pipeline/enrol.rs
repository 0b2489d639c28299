//! From an envelope to a candidate: PKCSReq and RenewalReq.

use std::sync::Arc;
use std::time::Duration;

use assay_policy::{Profile, Quirk};
use assay_scep::{Envelope, Request};
use assay_store::Store;
use assay_types::Timestamp;

use super::issue::Candidate;
use super::opened::Opener;
use super::reply_recipient::{self, ReplyRecipient};
use super::requester::Requester;
use super::{End, EndRecords, Finish, RequestContext, Standing, Waiting, facts};
use crate::admission::Admission;
use crate::anchor::Unlogged;
use crate::app::Parts;
use crate::challenge_key::ChallengeKey;
use crate::random::Random;
use crate::recorder::Recorder;
use crate::rollover::Generations;
use crate::settings::LimitsConfig;

/// What a request for a certificate needs, from its envelope to its CertRep.
pub(super) struct Enrolment {
    pub(super) generations: Arc<Generations>,
    pub(super) store: Store,
    pub(super) recorder: Arc<Recorder>,
    pub(super) challenge_key: Arc<ChallengeKey>,
    pub(super) random: Arc<dyn Random>,
    pub(super) finish: Arc<Finish>,
    pub(super) unlogged: Arc<Unlogged>,
    pub(super) waiting: Waiting,
    pub(super) keep_evidence: Duration,
    pub(super) intent_ttl: Duration,
    pub(super) end_records: EndRecords,
    admission: Arc<Admission>,
    opener: Arc<Opener>,
    retransmit_window: Duration,
}

impl Enrolment {
    pub(super) fn new(
        parts: &Parts,
        limits: &LimitsConfig,
        keep_evidence: Duration,
        finish: Arc<Finish>,
        opener: Arc<Opener>,
    ) -> Self {
        Self {
            generations: Arc::clone(&parts.generations),
            store: parts.store.clone(),
            recorder: Arc::clone(&parts.recorder),
            challenge_key: Arc::clone(&parts.challenge_key),
            random: Arc::clone(&parts.random),
            finish,
            unlogged: Arc::clone(&parts.unlogged),
            waiting: Waiting::new(parts),
            keep_evidence,
            intent_ttl: limits.intent_ttl,
            end_records: EndRecords::new(parts),
            admission: Arc::clone(&parts.admission),
            opener,
            retransmit_window: limits.retransmit_window,
        }
    }

    /// Since when an equal CSR of the same key gets the certificate issued before.
    pub(super) fn retransmit_since(&self) -> Timestamp {
        self.recorder.timestamp() - self.retransmit_window
    }

    /// PKCSReq and RenewalReq: from an envelope to a candidate for a certificate.
    pub(super) async fn enrol(
        &self,
        profile: &Profile,
        request: &Request,
        envelope: &Envelope,
        requester: Requester,
        context: &mut RequestContext,
    ) -> Result<Vec<u8>, End> {
        if let Some(cert_rep) = self.identical_request(profile, context).await? {
            return Ok(cert_rep);
        }
        // What could not be answered is not decrypted.
        reply_recipient::check_profile(profile, request.signer()?)?;
        let stranger = matches!(requester, Requester::Key);
        if stranger && !self.admission.may_decrypt(&context.peer) {
            return Err(End::NotOpened);
        }
        // The token unwraps; the CSR proves possession of its key, which is the signer's on a first enrolment.
        let opened = self
            .opener
            .open(profile, request, envelope, &requester, context)
            .await?;
        let recipient = ReplyRecipient::of(request, &opened, context)?;
        let now = self.recorder.now();
        let mut facts = facts::collect(profile, request, &opened, now)?;
        context.needs(Quirk::of_digest(facts.csr_digest));
        crate::metrics::ignored_extensions(profile, &facts);
        let mut evidence = self.evidence(profile, &facts, &opened, context).await?;
        if let Some(earlier) = evidence.retransmitted.take() {
            return self.equal_csr(profile, recipient, earlier, context).await;
        }
        if let Some(queued) = evidence.queued.take() {
            context.standing = Standing::of_waiting(&queued.id);
            return self.progress(profile, recipient, *queued, context).await;
        }
        evidence.note_standing(profile, &requester, self.recorder.timestamp(), context);
        let fresh = evidence.fresh_for(&requester, &opened.signer, context)?;
        facts.grant = evidence.grant(&requester, &opened.signer, context)?;
        let (keep, random) = (self.keep_evidence, &*self.random);
        let candidate = Candidate::new(profile, &opened, facts, fresh, keep, random)?;
        match profile.approval() {
            Some(approval) => {
                self.queue(profile, approval, recipient, &opened, candidate, context)
                    .await
            }
            None => self.issue(profile, recipient, candidate, context).await,
        }
    }
}
