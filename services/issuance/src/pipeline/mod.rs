//! One pkiMessage in, one CertRep out: the only way to a certificate.
//!
//! `issue.rs` has the last steps of the list in ARCHITECTURE.md, in its order and with its numbers; this file leads to them.
//! Each step is a file; what a step yields is the only thing that the next one takes.

mod attempts;
mod decoy;
mod end;
mod end_record;
mod enrol;
mod evidence;
mod exceptions;
mod facts;
mod finish;
mod in_force;
mod intent;
mod issue;
mod lint;
mod opened;
mod opened_record;
mod outer;
mod pending;
mod query;
mod refuse;
mod replay;
mod reply;
mod reply_recipient;
mod request_context;
mod requester;
mod retained_evidence;
mod rule;
mod send_time;
mod source;
mod waiting;

use std::sync::Arc;
use std::time::Duration;

use assay_policy::Profile;
use assay_runtime::identity::Identity;
use assay_scep::{Limits as MessageLimits, Request};
use tokio::time::Instant;

use decoy::NoDecoy;
pub(crate) use end::{Deferred, End, Refused};
use end_record::EndRecords;
use enrol::Enrolment;
pub(crate) use finish::{Finish, Recovered, issuance};
use opened::Opener;
use outer::Asked;
use query::Query;
pub(crate) use refuse::Refusals;
pub(crate) use reply::algorithms;
pub(crate) use request_context::RequestContext;
use request_context::Standing;
use requester::Requester;
pub(crate) use send_time::LEAST_TICK;
use send_time::SendTime;
pub use waiting::Waiting;

use crate::admission::{Admission, RETRY_AFTER_SECONDS};
use crate::app::Parts;
use crate::metrics;
use crate::policies::{InForce, Policies};
use crate::recorder::Recorder;
use crate::rollover::Generations;
use crate::settings::LimitsConfig;

/// A pkiMessage as a frontend relayed it. Nothing in it but the frontend's identity is proven.
#[derive(Debug)]
pub struct Received {
    /// Who relays it.
    pub frontend: Identity,
    /// Empty for the default profile.
    pub profile: String,
    /// What log lines on the way carry.
    pub request_id: String,
    /// Its bytes.
    pub pki_message: Vec<u8>,
    /// When it came.
    pub at: Instant,
}

/// What the frontend makes an HTTP response of.
#[derive(Debug)]
pub enum Answer {
    /// A CertRep, DER.
    CertRep(Vec<u8>),
    /// No CertRep can be built, and why.
    Malformed(String),
    /// There is no such profile.
    UnknownProfile,
    /// There is no room now.
    Busy {
        /// When to come back.
        retry_after_seconds: u32,
    },
}

/// What every pkiMessage passes, and the contexts that answer it.
pub struct Pipeline {
    generations: Arc<Generations>,
    policies: Arc<Policies>,
    recorder: Arc<Recorder>,
    admission: Arc<Admission>,
    message_limits: MessageLimits,
    refusal_tick: Duration,
    enrolment: Enrolment,
    query: Query,
    refusals: Arc<Refusals>,
}

impl Pipeline {
    /// `finish` and `refusals` are shared with what is done beside requests.
    pub(crate) fn new(
        parts: &Parts,
        limits: &LimitsConfig,
        keep_evidence: Duration,
        finish: Arc<Finish>,
        refusals: Arc<Refusals>,
    ) -> Result<Self, NoDecoy> {
        let opener = Arc::new(Opener::new(parts)?);
        Ok(Self {
            generations: Arc::clone(&parts.generations),
            policies: Arc::clone(&parts.policies),
            recorder: Arc::clone(&parts.recorder),
            admission: Arc::clone(&parts.admission),
            message_limits: MessageLimits::default(),
            refusal_tick: limits.refusal_tick,
            enrolment: Enrolment::new(parts, limits, keep_evidence, finish, Arc::clone(&opener)),
            query: Query::new(parts, opener),
            refusals,
        })
    }

    /// Answers one request. Once it was admitted, one audit record ends it, or one more in a count where its class has no
    /// budget left. While the time is not known, none is admitted.
    pub async fn answer(&self, received: Received) -> Answer {
        let is_timely = self.recorder.check_clock().is_ok();
        let admitted = is_timely.then(|| self.admission.admit(received.frontend.name()));
        let Some(at_work) = admitted.flatten() else {
            metrics::turned_away();
            return Answer::Busy {
                retry_after_seconds: RETRY_AFTER_SECONDS,
            };
        };
        let (answer, send_time) = self.work(&received).await;
        // Waiting is no work: a flood of refusals must not hold the places of enrolments.
        drop(at_work);
        send_time.wait(received.at, self.refusal_tick).await;
        answer
    }

    async fn work(&self, received: &Received) -> (Answer, SendTime) {
        let policy = self.policies.active();
        let now = self.recorder.now();
        let stage = self.generations.stage(policy.approves_next_ca(), now);
        let mut context = RequestContext::of(received, self.generations.current(stage));
        let Some(profile) = policy.select(&received.profile) else {
            return self.refusals.end(context, None, End::UnknownProfile).await;
        };
        context.profile = profile.name().to_string();
        context.policy_hash = policy.model_hash();

        let request = match Request::parse(&received.pki_message, &self.message_limits) {
            Ok(request) => request,
            Err(malformed) => {
                let end = End::Malformed(malformed.to_string());
                return self.refusals.end(context, None, end).await;
            }
        };
        let quirks = profile.quirks_at(now);
        let (generation, ra) = self.generations.addressed(stage, &request, quirks);
        (context.generation, context.ra) = (Arc::clone(generation), Arc::clone(ra));
        context.transaction_id = Some(request.transaction_id().as_str().to_owned());
        match self.serve(&policy, profile, &request, &mut context).await {
            Ok(cert_rep) => (Answer::CertRep(cert_rep), SendTime::AtOnce),
            Err(end) => {
                self.refusals
                    .end(context, Some((profile, &request)), end)
                    .await
            }
        }
    }

    /// Step 4 for every message, then what its type asks for.
    async fn serve(
        &self,
        policy: &InForce,
        profile: &Profile,
        request: &Request,
        context: &mut RequestContext,
    ) -> Result<Vec<u8>, End> {
        let (asked, envelope) = self.authenticate(profile, request, context)?;
        self.check_in_force(policy, profile)?;
        match asked {
            Asked::Certificate(means) => {
                let requester = self.enrolment.requester(profile, request, means).await?;
                if let Requester::Issued(own) = &requester {
                    context.standing = Standing::of_certificate(own);
                }
                self.enrolment
                    .enrol(profile, request, envelope, requester, context)
                    .await
            }
            Asked::Progress => self.enrolment.poll(profile, request, context).await,
            Asked::IssuedCertificate => {
                let query = &self.query;
                query.get_cert(profile, request, envelope, context).await
            }
            Asked::Crl => {
                let query = &self.query;
                query.get_crl(profile, request, envelope, context).await
            }
        }
    }
}
