//! What the store knows of an opened request: whether it came before, and what authorises it.

use assay_policy::{Facts, Grant, Profile};
use assay_scep::SignerCertificate;
use assay_store::{
    CertificateRow, ChallengeRow, ChallengeState, EvidenceQuery, InventoryRow, PendingRow,
};
use assay_types::Timestamp;

use super::enrol::Enrolment;
use super::opened::Opened;
use super::requester::Requester;
use super::rule::SignerRule;
use super::{End, RequestContext, Standing, reply_recipient, source};

/// The answer of one read.
pub(super) struct Evidence {
    /// The same key sent an equal CSR within the retransmit window.
    pub(super) retransmitted: Option<CertificateRow>,
    /// The same key sent an equal CSR, which waits for approval.
    pub(super) queued: Option<Box<PendingRow>>,
    /// Whether a challenge came with the request.
    presented: bool,
    challenge: Option<ChallengeRow>,
    inventory: Option<InventoryRow>,
}

impl Enrolment {
    pub(super) async fn evidence(
        &self,
        profile: &Profile,
        facts: &Facts,
        opened: &Opened,
        context: &RequestContext,
    ) -> Result<Evidence, End> {
        let lookup = opened
            .csr
            .challenge_password()
            .map(|challenge| self.challenge_key.lookup(challenge.expose().as_bytes()))
            .transpose()?;
        let name = profile.inventory_name(&facts.subject);
        let found = self
            .store
            .evidence(EvidenceQuery {
                ca_id: context.generation.ca.id.clone(),
                signer_spki_sha256: opened.signer.spki_sha256(),
                csr_digest: opened.csr_sha256,
                retransmit_since: self.retransmit_since(),
                challenge: lookup,
                inventory: name.map(|name| (profile.name().to_string(), name)),
            })
            .await?;
        Ok(Evidence {
            retransmitted: found.retransmitted,
            queued: found.queued.map(Box::new),
            presented: lookup.is_some(),
            challenge: found.challenge,
            inventory: found.inventory,
        })
    }
}

impl Evidence {
    /// Notes whether the challenge that came with the request authorises its sender. One that does not is a failed
    /// challenge, whatever rule the request is refused for in the end.
    pub(super) fn note_standing(
        &self,
        profile: &Profile,
        requester: &Requester,
        now: Timestamp,
        context: &mut RequestContext,
    ) {
        if !self.presented {
            return;
        }
        let known = self.challenge.as_ref();
        let usable = |challenge: &&ChallengeRow| {
            challenge.state == ChallengeState::Open
                && challenge.profile == profile.name().as_str()
                && challenge.expires_at.is_none_or(|end| end > now)
        };
        let revoked = |challenge: &ChallengeRow| challenge.state == ChallengeState::Revoked;
        match requester {
            Requester::Key => {
                context.standing = match known.filter(usable) {
                    Some(challenge) => Standing::of_challenge(&challenge.id),
                    None => Standing::ChallengeFailed,
                };
            }
            // Its certificate authorises it already; with a challenge that it invents it would only find out others.
            Requester::Issued(_) if known.is_none_or(revoked) => {
                context.standing = Standing::ChallengeFailed;
            }
            Requester::Issued(_) => {}
        }
    }

    /// The challenge that a renewal uses up because its reply is enveloped under it.
    pub(super) fn fresh_for(
        &self,
        requester: &Requester,
        signer: &SignerCertificate,
        context: &mut RequestContext,
    ) -> Result<Option<String>, End> {
        let Requester::Issued(old) = requester else {
            return Ok(None);
        };
        let Some(challenge) = self.challenge.as_ref().filter(|_| signer.curve().is_some()) else {
            return Ok(None);
        };
        context.challenge_id = Some(challenge.id.clone());
        reply_recipient::fresh(challenge, old, signer).map(Some)
    }

    /// What authorises the request; `None` where nothing does. Whether that is what was asked for, the policy decides.
    pub(super) fn grant(
        self,
        requester: &Requester,
        signer: &SignerCertificate,
        context: &mut RequestContext,
    ) -> Result<Option<Grant>, End> {
        if let Some(challenge) = &self.challenge {
            context.challenge_id = Some(challenge.id.clone());
            reply_recipient::check_kind(challenge.kind, signer)?;
        }
        match requester {
            Requester::Key => self.challenge_grant(),
            Requester::Issued(old) => self.renewal_grant(old).map(Some),
        }
    }

    fn challenge_grant(self) -> Result<Option<Grant>, End> {
        let Some(challenge) = self.challenge else {
            return Ok(None);
        };
        match challenge.state {
            ChallengeState::Open => {}
            ChallengeState::Reserved => return Err(SignerRule::Reserved.refusal("the challenge")),
            ChallengeState::Spent => return Err(SignerRule::ChallengeSpent.refusal(&challenge.id)),
            ChallengeState::Revoked => {
                return Err(SignerRule::ChallengeRevoked.refusal(&challenge.id));
            }
        }
        source::challenge(challenge, self.inventory).map(Some)
    }

    /// A renewal needs no challenge. One that comes along must be known, as clients send their first one again; it is
    /// not used up.
    fn renewal_grant(self, old: &CertificateRow) -> Result<Grant, End> {
        let revoked = |challenge: &ChallengeRow| challenge.state == ChallengeState::Revoked;
        if self.presented && self.challenge.as_ref().is_none_or(revoked) {
            return Err(SignerRule::RenewalChallenge.refusal("the challenge is unknown or revoked"));
        }
        source::renewal(old, self.inventory)
    }
}
