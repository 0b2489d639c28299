//! One pkiMessage in, one CertRep out: the only way to a certificate.
//!
//! `issue.rs` is the list of steps that SECURITY.md and ARCHITECTURE.md give, in their order; here is what leads to it.
//! Each step is a file; what a step yields is the only thing that the next one takes.

mod asker;
mod decoy;
mod end;
mod evidence;
mod exceptions;
mod facts;
mod finish;
mod intent;
mod issue;
mod kept;
mod leaves;
mod lint;
mod opened;
mod outer;
mod pending;
mod query;
mod refuse;
mod replay;
mod reply;
mod requester;
mod rule;
mod source;
mod standing;
mod trail;

use std::sync::Arc;
use std::time::Instant;

use assay_policy::{Profile, Quirk};
use assay_runtime::identity::Identity;
use assay_scep::{Envelope, Limits as MessageLimits, Request};
use assay_store::Store;

use asker::Asker;
pub(crate) use decoy::Decoy;
pub(crate) use end::{Deferred, End, Refused};
pub(crate) use finish::{Finish, Recovered};
use issue::Candidate;
pub(crate) use leaves::LEAST_TICK;
use leaves::Leaves;
use outer::Asked;
pub(crate) use refuse::Aggregate;
pub(crate) use reply::algorithms;
use requester::Requester;
pub(crate) use trail::Trail;

use crate::admission::{Admission, RETRY_AFTER_SECONDS};
use crate::challenge_key::ChallengeKey;
use crate::config::{AuditConfig, LimitsConfig};
use crate::log::Log;
use crate::metrics;
use crate::policies::{InForce, Policies};
use crate::recorder::Recorder;
use crate::rollover::Generations;
use crate::terms::Terms;

/// A pkiMessage as a frontend relayed it. Nothing in it but the frontend's identity is proven.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) frontend: Identity,
    /// Empty for the default profile.
    pub(crate) profile: String,
    pub(crate) request_id: String,
    pub(crate) pki_message: Vec<u8>,
    pub(crate) at: Instant,
}

/// What the frontend makes an HTTP response of.
#[derive(Debug)]
pub(crate) enum Answer {
    CertRep(Vec<u8>),
    Malformed(String),
    UnknownProfile,
    Busy { retry_after_seconds: u32 },
}

/// Everything that issuing needs.
pub(crate) struct Pipeline {
    pub(crate) generations: Arc<Generations>,
    pub(crate) store: Store,
    pub(crate) policies: Policies,
    pub(crate) challenge_key: ChallengeKey,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) admission: Admission,
    pub(crate) finish: Finish,
    pub(crate) log: Log,
    pub(crate) audit: AuditConfig,
    pub(crate) limits: LimitsConfig,
    pub(crate) terms: Terms,
    pub(crate) message_limits: MessageLimits,
    pub(crate) refusals: Aggregate,
    pub(crate) decoy: Decoy,
}

impl Pipeline {
    /// Answers one request; exactly one terminal audit record comes of it, once it was admitted.
    pub(crate) async fn answer(&self, received: Received) -> Answer {
        let Some(at_work) = self.admission.admit(received.frontend.name()) else {
            metrics::turned_away();
            return Answer::Busy {
                retry_after_seconds: RETRY_AFTER_SECONDS,
            };
        };
        let (answer, leaves) = self.work(&received).await;
        // Waiting is no work: a flood of refusals must not hold the places of enrolments.
        drop(at_work);
        leaves.wait(received.at, self.limits.refusal_tick).await;
        answer
    }

    async fn work(&self, received: &Received) -> (Answer, Leaves) {
        let policy = self.policies.active();
        let now = self.recorder.clock.now();
        let stage = self.generations.stage(policy.approves_next_ca(), now);
        let mut trail = Trail::of(received, self.generations.current(stage));
        let Some(profile) = policy.select(&received.profile) else {
            return self.end(trail, None, End::UnknownProfile).await;
        };
        trail.profile = profile.name().to_string();
        trail.policy_hash = policy.model_hash();

        let request = match Request::parse(&received.pki_message, &self.message_limits) {
            Ok(request) => request,
            Err(malformed) => {
                let end = End::Malformed(malformed.to_string());
                return self.end(trail, None, end).await;
            }
        };
        let quirks = profile.quirks_at(now);
        let (generation, ra) = self.generations.addressed(stage, &request, quirks);
        (trail.generation, trail.ra) = (Arc::clone(generation), Arc::clone(ra));
        trail.transaction_id = Some(request.transaction_id().as_str().to_owned());
        match self.serve(&policy, profile, &request, &mut trail).await {
            Ok(cert_rep) => (Answer::CertRep(cert_rep), Leaves::AtOnce),
            Err(end) => self.end(trail, Some((profile, &request)), end).await,
        }
    }

    /// Steps 1 and 2 for every message, then what its type asks for.
    async fn serve(
        &self,
        policy: &InForce,
        profile: &Profile,
        request: &Request,
        trail: &mut Trail,
    ) -> Result<Vec<u8>, End> {
        let (asked, envelope) = self.authenticate(profile, request, trail)?;
        self.stands(policy, profile)?;
        match asked {
            Asked::Certificate(means) => {
                let requester = self.requester(request, means).await?;
                self.enrol(profile, request, &envelope, requester, trail)
                    .await
            }
            Asked::Progress => self.poll(profile, request, trail).await,
            Asked::IssuedCertificate => self.get_cert(profile, request, &envelope, trail).await,
            Asked::Crl => self.get_crl(profile, request, &envelope, trail).await,
        }
    }

    /// PKCSReq and RenewalReq: from an envelope to a candidate for a certificate.
    async fn enrol(
        &self,
        profile: &Profile,
        request: &Request,
        envelope: &Envelope,
        requester: Requester,
        trail: &mut Trail,
    ) -> Result<Vec<u8>, End> {
        if let Some(cert_rep) = self.identical_request(profile, trail).await? {
            return Ok(cert_rep);
        }
        // What could not be answered is not decrypted.
        asker::check_profile(profile, request.signer()?)?;
        let stranger = matches!(requester, Requester::Key);
        if stranger && !self.admission.may_decrypt(&trail.peer) {
            return Err(End::NotOpened);
        }
        // The token unwraps; the CSR proves possession of its key, which is the signer's on a first enrolment.
        let opened = self
            .open(profile, request, envelope, &requester, trail)
            .await?;
        let asker = Asker::of(request, &opened, trail)?;
        let now = self.recorder.clock.now();
        let mut facts = facts::collect(profile, request, &opened, now)?;
        trail.needs(Quirk::of_digest(facts.csr_digest));
        let mut evidence = self.evidence(profile, &facts, &opened, trail).await?;
        if let Some(earlier) = evidence.retransmitted.take() {
            return self.equal_csr(profile, asker, earlier, trail).await;
        }
        if let Some(queued) = evidence.queued.take() {
            return self.progress(profile, asker, *queued, trail).await;
        }
        let fresh = evidence.fresh_for(&requester, &opened.signer, trail)?;
        facts.authority = evidence.authority(&requester, &opened.signer, trail)?;
        let candidate = Candidate::new(profile, &opened, facts, fresh, self.audit.keep_evidence)?;
        match profile.approval() {
            Some(approval) => {
                self.queue(profile, approval, asker, &opened, candidate, trail)
                    .await
            }
            None => self.issue(profile, asker, candidate, trail).await,
        }
    }
}
