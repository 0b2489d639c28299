//! One pkiMessage in, one CertRep out: the only way to a certificate.
//!
//! [`Pipeline::issue`] is the list of steps that SECURITY.md and ARCHITECTURE.md give, in their order. Each step is a
//! file; what a step yields is the only thing that the next one takes.

mod decoy;
mod end;
mod evidence;
mod facts;
mod finish;
mod intent;
mod leaves;
mod lint;
mod opened;
mod outer;
mod refuse;
mod replay;
mod reply;
mod requester;
mod trail;

use std::sync::Arc;
use std::time::Instant;

use assay_hsm::Hsm;
use assay_policy::{Profile, decide};
use assay_runtime::identity::Identity;
use assay_scep::{Limits as MessageLimits, Request};
use assay_store::Store;

pub(crate) use decoy::Decoy;
pub(crate) use end::{Deferred, End, Refused};
pub(crate) use finish::{Finish, Recovered};
use intent::{Names, Opening};
use leaves::Leaves;
pub(crate) use refuse::Aggregate;
pub(crate) use reply::algorithms;
pub(crate) use trail::Trail;

use crate::admission::{Admission, RETRY_AFTER_SECONDS};
use crate::authority::Authority;
use crate::challenge_key::ChallengeKey;
use crate::config::LimitsConfig;
use crate::metrics;
use crate::policies::Policies;
use crate::recorder::Recorder;
use crate::revocation::Revocation;

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
    pub(crate) authority: Arc<Authority>,
    pub(crate) hsm: Hsm,
    pub(crate) store: Store,
    pub(crate) policies: Policies,
    pub(crate) challenge_key: ChallengeKey,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) admission: Admission,
    pub(crate) finish: Finish,
    pub(crate) revocation: Revocation,
    pub(crate) limits: LimitsConfig,
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
        let mut trail = Trail::of(received);
        let policy = self.policies.active();
        let Some(profile) = policy.select(&received.profile) else {
            return self.end(received, trail, None, End::UnknownProfile).await;
        };
        trail.profile = profile.name().to_string();
        trail.policy_hash = policy.model_hash();

        let request = match Request::parse(&received.pki_message, &self.message_limits) {
            Ok(request) => request,
            Err(malformed) => {
                let end = End::Malformed(malformed.to_string());
                return self.end(received, trail, None, end).await;
            }
        };
        trail.transaction_id = Some(request.transaction_id().as_str().to_owned());
        match self.issue(profile, &request, received, &mut trail).await {
            Ok(cert_rep) => (Answer::CertRep(cert_rep), Leaves::AtOnce),
            Err(end) => {
                self.end(received, trail, Some((profile, &request)), end)
                    .await
            }
        }
    }

    /// The numbered steps. Where one fails nothing of a later one has happened.
    async fn issue(
        &self,
        profile: &Profile,
        request: &Request,
        received: &Received,
        trail: &mut Trail,
    ) -> Result<Vec<u8>, End> {
        // 1 and 2: received and authenticated, on public data alone.
        let envelope = self.authenticate(profile, request, trail)?;
        if let Some(cert_rep) = self.identical_request(profile, trail).await? {
            return Ok(cert_rep);
        }

        // The token unwraps; the CSR proves possession of the key that signed the message.
        let opened = self.open(request, &envelope, &received.request_id).await?;
        let now = self.recorder.clock.now();
        let mut facts = facts::collect(profile, request, &opened, now)?;
        let mut evidence = self.evidence(profile, &facts, &opened).await?;
        if let Some(earlier) = evidence.retransmitted.take() {
            return self.equal_csr(profile, request, earlier, trail).await;
        }

        // 3: decided. The permit is the only way on, and is used once.
        facts.authority = evidence.authority(trail)?;
        let permit = decide(profile, &facts)?;
        let names = Names::of(&permit);
        let expected = profile.expected(&permit).map_err(End::deferred)?;

        // 4 and 5: built from policy, then read again by code that shares nothing with the builder.
        let issuer = &self.authority.issuer;
        let (not_before, not_after) = profile.validity(now, issuer);
        let serial = crate::serial::draw()?;
        let tbs = assay_policy::tbs(profile, permit, issuer, &serial, not_before, not_after)
            .map_err(End::deferred)?;
        let linted = lint::check(&self.authority, &expected, &tbs, now)?;

        // 6: intent durable. From here a crash ends in this certificate.
        let opening = self
            .open_intent(
                profile,
                &opened,
                &facts.authority,
                names,
                tbs,
                &linted,
                trail,
            )
            .await?;
        let intent = match opening {
            Opening::Opened(intent) => intent,
            Opening::AlreadyIssued(serial) => {
                let earlier = self.store.find_certificate(serial).await?;
                let earlier =
                    earlier.ok_or_else(|| End::deferred("the index lost a certificate"))?;
                return self.equal_csr(profile, request, earlier, trail).await;
            }
        };

        // 7 to 11: digest compared, signed, verified, result durable, delivered.
        let issued = self
            .finish
            .issue(intent, &linted, profile, request, trail)
            .await;
        issued.map_err(|error| {
            End::Deferred(Deferred {
                cause: assay_runtime::telemetry::chain(&error),
                has_record: true,
            })
        })
    }
}
