//! A decision as another policy would make it: for drafts, against what was recorded.

use assay_policy::{Bundle, Refusal, explain};

use crate::again::read_csr;
use crate::deviation::Deviation;
use crate::evidence::{Evidence, Verdict};
use crate::facts::facts;

/// The rule of a policy's own term: a draft is judged as if it had been in force.
const IN_FORCE: &str = "POL-02";

/// How a request fares under a policy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Prospect {
    /// A certificate, at once.
    Permit,
    /// A certificate, once an operator approves.
    Approval,
    /// The rule that refuses, and why.
    Refusal(Refusal),
    /// The policy has no profile of that name.
    NoProfile,
}

/// How a request that was decided before would fare under `bundle`. It is judged at the time of its decision, with what
/// authorised it then, as if `bundle` had been in force: POL-02 is left out. What is not in the evidence is not judged:
/// the cipher of the envelope, quotas, and an inventory other than the one that was asked.
///
/// # Errors
/// Where the evidence does not hold a CSR.
pub fn decide_under(evidence: &Evidence, bundle: &Bundle) -> Result<Prospect, Deviation> {
    let csr = read_csr(evidence)?;
    let Some(profile) = bundle.profile(&evidence.profile) else {
        return Ok(Prospect::NoProfile);
    };
    let facts = facts(
        &csr,
        &evidence.profile,
        evidence.decided_ms.into(),
        evidence.message_hash,
        evidence.grant.clone(),
    );
    let refusal = explain(profile, &facts)
        .into_iter()
        .find(|refusal| refusal.rule.as_str() != IN_FORCE);
    Ok(match refusal {
        Some(refusal) => Prospect::Refusal(refusal),
        None if profile.approval().is_some() => Prospect::Approval,
        None => Prospect::Permit,
    })
}

/// How the other policy's decision differs from the recorded one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Flip {
    /// Refused then, a certificate now.
    ToAllowed,
    /// A certificate then, refused now.
    ToRefused,
    /// At once then, after an approval now.
    ApprovalAdded,
    /// After an approval then, at once now.
    ApprovalDropped,
    /// Refused both times, by another rule.
    OtherRule,
}

impl Prospect {
    /// What changed since the decision that `evidence` records; `None` where nothing did.
    pub fn flip(&self, evidence: &Evidence) -> Option<Flip> {
        let approved = evidence.pending_id.is_some();
        match (&evidence.verdict, self) {
            (Verdict::Refusal { .. }, Self::Permit | Self::Approval) => Some(Flip::ToAllowed),
            (Verdict::Refusal { rule }, Self::Refusal(refusal)) => {
                (refusal.rule.as_str() != rule).then_some(Flip::OtherRule)
            }
            (Verdict::Refusal { .. }, Self::NoProfile) => Some(Flip::OtherRule),
            (Verdict::Permit(_) | Verdict::Pending, Self::Refusal(_) | Self::NoProfile) => {
                Some(Flip::ToRefused)
            }
            (Verdict::Permit(_) | Verdict::Pending, Self::Permit) => {
                approved.then_some(Flip::ApprovalDropped)
            }
            (Verdict::Permit(_) | Verdict::Pending, Self::Approval) => {
                (!approved).then_some(Flip::ApprovalAdded)
            }
        }
    }
}
