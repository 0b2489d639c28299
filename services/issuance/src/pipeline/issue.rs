//! From a candidate to its certificate: the numbered steps, 7 to 14. Where one fails nothing of a later one has happened.

use std::time::Duration;

use assay_policy::{Facts, Permit, Profile, decide};
use assay_store::Consume;
use assay_types::Hash;

use super::enrol::Enrolment;
use super::intent::{Names, Opening};
use super::opened::Opened;
use super::reply_recipient::ReplyRecipient;
use super::retained_evidence::RetainedEvidence;
use super::{Deferred, End, RequestContext, exceptions, lint, source};
use crate::random::Random;

/// A request that was authenticated and opened, with what authorises it. Whether it gets a certificate is decided here.
pub(super) struct Candidate {
    pub(super) facts: Facts,
    pub(super) signer_spki_sha256: Hash,
    pub(super) csr_sha256: Hash,
    /// What the certificate uses up.
    pub(super) consume: Consume,
    /// For the evidence of the decision.
    pub(super) kept: RetainedEvidence,
}

impl Candidate {
    /// `fresh`: the challenge that a renewal uses up, to be enveloped under it.
    ///
    /// # Errors
    /// A refusal where nothing authorises the request.
    pub(super) fn new(
        profile: &Profile,
        opened: &Opened,
        facts: Facts,
        fresh: Option<String>,
        keep_evidence: Duration,
        random: &dyn Random,
    ) -> Result<Self, End> {
        let kept = RetainedEvidence::of(opened, keep_evidence, random)?;
        let refuse = |refusal| kept.refusal(&facts, refusal);
        Ok(Self {
            signer_spki_sha256: opened.signer.spki_sha256(),
            csr_sha256: opened.csr_sha256,
            consume: source::consume(profile, &facts, fresh, refuse)?,
            facts,
            kept,
        })
    }

    /// # Errors
    /// The policy's refusal, with its evidence.
    pub(super) fn decide(&self, profile: &Profile) -> Result<Permit, End> {
        decide(profile, &self.facts).map_err(|refusal| self.kept.refusal(&self.facts, refusal))
    }
}

impl Enrolment {
    pub(super) async fn issue(
        &self,
        profile: &Profile,
        recipient: ReplyRecipient<'_>,
        candidate: Candidate,
        context: &RequestContext,
    ) -> Result<Vec<u8>, End> {
        // 7: decided. The permit is the only way on, and is used once.
        let now = candidate.facts.now;
        let permit = candidate.decide(profile)?;
        let names = Names::of(&permit);
        let mut context = context.clone();
        context.needs(exceptions::of_issue(profile, &candidate.facts));
        let context = &context;
        let expected = profile.expected(&permit).map_err(End::deferred)?;

        // 8 and 9: built from policy, then read again by code that shares nothing with the builder.
        let ca = &context.generation.ca;
        let issuer = &ca.issuer;
        let (not_before, not_after) = profile.validity(now, issuer);
        let serial = crate::serial::draw(&*self.random)?;
        let tbs = assay_policy::tbs(profile, permit, issuer, &serial, not_before, not_after)
            .map_err(End::deferred)?;
        let linted = lint::check(ca, &expected, &tbs, now)?;

        // 10: intent durable. From here a crash ends in this certificate.
        let opening = self
            .open_intent(profile, candidate, names, tbs, &linted, context)
            .await?;
        let intent = match opening {
            Opening::Opened(intent) => *intent,
            Opening::AlreadyIssued(serial) => {
                return self
                    .issued_before(profile, recipient, serial, context)
                    .await;
            }
        };

        // 11 to 14: digest compared, signed, verified, result durable, delivered.
        let issued = self
            .finish
            .issue(intent, &linted, profile, recipient, context)
            .await;
        issued.map_err(|error| {
            End::Deferred(Deferred {
                cause: assay_runtime::telemetry::chain(&error),
                has_record: true,
            })
        })
    }
}
