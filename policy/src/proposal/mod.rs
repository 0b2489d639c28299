//! A version of the policy on its way into force: the proposal, and the signatures of people over it.
//!
//! ```text
//! bytes ──Proposal::parse──▶ Proposal ─┐
//! signatures ──────────────────────────┴─Approvers::examine──▶ Examined ──approved──▶ Approved
//! ```
//!
//! What is signed are the bytes of the proposal, which name everything else by hash.

mod approved;
mod approvers;
mod document;
mod fields;
mod recovery;
mod signature;

pub use approved::{Approved, Examined, Problem, SignedProposal};
pub use approvers::{Approver, Approvers, ApproversError, Purpose};
pub use document::{MAX_PROPOSAL, MAX_TICKET, Proposal};
pub use fields::ProposalError;
pub use recovery::{
    MAX_STATEMENT, NewStatement, RecoveryProblem, RecoveryStatement, StatementError,
};
pub use signature::{SignError, SignatureError, sign as sign_proposal};

/// Most approvals of one version: more than any board has members.
pub const MAX_APPROVALS: usize = 16;
