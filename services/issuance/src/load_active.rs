//! At start: the version that was in force is proven again, from its files to the last signature.

use std::time::SystemTime;

use assay_policy::{Bundle, PolicyFile, Purpose, SignedProposal};
use assay_store::{Store, StoreError};

use crate::policies::{ActivePolicy, NotApproved};
use crate::terms::Terms;

/// What an operator does where a version cannot come into force again but nothing is damaged.
const WAY_OUT: &str =
    "undo the change, or start with --without-policy and activate an approved version";

/// Why the policy that was in force cannot be put in force again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadActiveError {
    #[error("the state cannot be read")]
    Store(#[from] StoreError),
    #[error(
        "policy {number} was activated by another release and does not load in this one: {problems}"
    )]
    Bundle { number: u64, problems: String },
    #[error(
        "policy {number} is not approved by the approvers of signer.toml: {problems}; {WAY_OUT}"
    )]
    NotApproved { number: u64, problems: String },
    #[error("policy {number} was approved for another signer: {problems}; {WAY_OUT}")]
    OtherTerms { number: u64, problems: String },
    #[error("policy {number} in the state file is not what was approved; restore it from a backup")]
    Altered { number: u64 },
}

/// The policy in force according to the store and the approvers; `None` before the first activation.
pub(crate) async fn load_active(
    store: &Store,
    terms: &Terms,
    without_policy: bool,
    now: SystemTime,
) -> Result<Option<ActivePolicy>, LoadActiveError> {
    let Some(policy) = store.active_policy().await? else {
        return Ok(None);
    };
    let number = policy.info.number;
    if without_policy {
        tracing::warn!(
            number,
            "started without a policy, as asked: nothing is issued"
        );
        return Ok(None);
    }
    let signed = SignedProposal {
        proposal: policy.info.proposal,
        author: policy.author_signature,
        approvals: policy.approvals,
    };
    let approved = terms
        .approvers
        .examine(&signed, Purpose::InForce)
        .approved()
        .map_err(|problems| LoadActiveError::NotApproved {
            number,
            problems: lines(&problems),
        })?;
    let proposal = approved.proposal();
    let approval =
        terms
            .stands(proposal, now)
            .map_err(|differences| LoadActiveError::OtherTerms {
                number,
                problems: differences.join("; "),
            })?;
    let files: Vec<PolicyFile> = policy
        .files
        .into_iter()
        .map(|(name, content)| PolicyFile { name, content })
        .collect();
    let bundle = Bundle::load(&files).map_err(|errors| LoadActiveError::Bundle {
        number,
        problems: lines(&errors),
    })?;
    if proposal.number != number {
        return Err(LoadActiveError::Altered { number });
    }
    match ActivePolicy::new(&approved, bundle, approval) {
        Ok(active) => Ok(Some(active)),
        Err(NotApproved::Files) => Err(LoadActiveError::Altered { number }),
        Err(other @ NotApproved::Model) => Err(LoadActiveError::Bundle {
            number,
            problems: other.to_string(),
        }),
    }
}

/// Several errors as one text.
fn lines<T: ToString>(errors: &[T]) -> String {
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    lines.join("; ")
}
