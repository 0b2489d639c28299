//! The exact-match whitelist policy: model, loader, decision, and the certificate built from it.
//!
//! ```text
//! files ──Bundle::load──▶ Profile ─┐
//! request ──Facts::from_request──▶ Facts ─┴─decide──▶ Permit ──tbs──▶ Tbs
//! ```
//!
//! A set of files comes into force as a [`Proposal`] that people signed: [`Approvers`] says whose signatures count, and
//! yields an [`Approved`].
//!
//! A [`Permit`] has no public constructor, cannot be copied, and is consumed by [`tbs()`]: no certificate without a
//! decision, one certificate a decision. Nothing here does I/O but [`Bundle::read_dir`], and nothing reads a clock.

mod algorithm;
mod attribute;
mod bundle;
mod canonical;
mod comparison;
mod demand;
mod describe;
mod diff;
mod dn;
mod facts;
mod grant;
mod key;
mod load;
mod permit;
mod profile;
mod proposal;
mod refusal;
mod rules;
mod san;
mod semantics;
mod tbs;
mod text;
mod warnings;

pub use algorithm::{ContentCipher, KeyTransport, KeyUsageBit};
pub use assay_types::{Curve, Digest};
pub use attribute::StringEncoding;
pub use bundle::{Bundle, PolicyFile, ReadError};
pub use comparison::Comparison;
pub use diff::{Bearing, Change, Effect, diff, diff_profiles, diff_proposals};
pub use dn::{Dn, DnAttribute, DnError, Rdn};
pub use facts::{Attribute, Facts, Malformed, RequestedExtension};
pub use grant::{ClaimedNames, Claims, ForeignClaims, Grant, InventoryEntry, Renewed, Source};
pub use key::{KeyAlgorithm, PublicKeyFacts};
pub use load::{LoadError, LoadRule};
pub use permit::{Expected, Permit};
pub use profile::{
    Approval, ChallengeKind, NameCase, Profile, ProfileName, Quirk, Quirks, Quotas, Renewal,
    Supersede,
};
pub use proposal::{
    Approved, Approver, Approvers, ApproversError, Examined, MAX_APPROVALS, MAX_PROPOSAL,
    MAX_STATEMENT, MAX_TICKET, NewStatement, Problem, Proposal, ProposalError, Purpose,
    RecoveryProblem, RecoveryStatement, SignError, SignatureError, SignedProposal, StatementError,
    sign_proposal,
};
pub use refusal::{Refusal, RuleId};
pub use rules::{Field, FieldState, RULES, Rule, RuleVerdict, decide, explain, fields, verdicts};
pub use san::{SanError, SanKind, SubjectAltName};
pub use semantics::Semantics;
pub use tbs::{Issuer, Tbs, TbsError, tbs};
pub use warnings::{Warning, WarningKind, warnings};
