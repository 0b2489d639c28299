//! The signer's durable state: one SQLite file, one writer, group commit.
//!
//! Whoever gets `Ok` from a method that writes may rely on the change being on disk, its audit records with it. Times are
//! given by the caller. A file holds the queries of a group of tables.

mod approvals;
mod attachments;
mod audit;
mod certificates;
mod challenge_key;
mod challenges;
mod checkpoints;
mod commits;
mod consume;
mod crl_reason;
mod crls;
mod error;
mod evidence;
mod expiring;
mod export;
mod imports;
#[cfg(feature = "inspect")]
pub mod inspect;
mod intents;
mod inventory;
mod issuers;
mod lineage;
mod lock;
mod log_check;
mod ocsp;
mod page;
mod pending;
mod permit;
mod policies;
mod polls;
mod queue;
mod quirks;
mod quotas;
mod reader;
mod recovery;
mod reservations;
mod reserve;
mod revocations;
mod rollovers;
mod room;
mod schema;
mod snapshot;
mod sql;
mod status;
mod stops;
mod store;
mod transactions;
mod tree;
mod upkeep;
mod writer;

pub use approvals::{DecideOutcome, PendingDecision, PendingVerdict};
pub use audit::{AuditQuery, AuditRow};
pub use certificates::{
    Census, CertificateQuery, CertificateRow, CertificateState, CertificateStatus,
};
pub use challenge_key::KeyOutcome;
pub use challenges::{
    ChallengeKind, ChallengeQuery, ChallengeRow, ChallengeState, ChallengeStatus, KeyedHash,
    NewChallenge, Revocation,
};
pub use checkpoints::{CheckpointRow, NewCheckpoint};
pub use commits::StateKey;
pub use consume::{Consume, RenewalTerms};
pub use crl_reason::{BadReason, CrlReason};
pub use crls::{CrlOutcome, CrlRow, NewCrl, RevokedEntry, RevokedList};
pub use error::{OpenError, OpenFault, StoreError};
pub use evidence::{Evidence, EvidenceQuery};
pub use expiring::{ExpiringQuery, ExpirySpan};
pub use export::{ExportExtent, ExportRow, InventoryChangeRow};
pub use imports::{ImportOutcome, NewImport};
pub use intents::{Completed, Completion, OpenIntent, OpenedRecord};
pub use inventory::{
    Change, ChangeRequest, InventoryHead, InventoryItem, InventoryQuery, InventoryRow,
    InventoryStatus, NO_CHANGES, RemoveOutcome,
};
pub use issuers::IssuerRow;
pub use lineage::{LineageRevocation, LineageRevoked, MAX_ANCESTORS, MAX_SUCCESSORS, Successors};
pub use log_check::{LogFault, LogState};
pub use ocsp::{DueResponse, OcspCounts, OcspFound, OcspRow, SignedResponse};
pub use page::{Page, Span};
pub use pending::{PendingQuery, PendingRow, PendingState};
pub use permit::{NewIntent, PermitOutcome, PermitWrite};
pub use policies::{ActivateOutcome, NewPolicy, Policy, PolicyInfo, PolicyQuery};
pub use polls::Polled;
pub use queue::PendingWrite;
pub use quirks::{QuirkKey, QuirkQuery, QuirkRow};
pub use quotas::QuotaCharge;
pub use recovery::{
    RecoverOutcome, RecoveredCertificate, RecoveredCrl, Recovery, RecoveryCounts, RecoveryRow,
    RecoveryStep,
};
pub use reserve::Reserve;
pub use revocations::{ReleaseOutcome, RevokeOutcome};
pub use rollovers::RolloverRow;
pub use room::{RESERVE, URGENT_CHANGES};
pub use schema::VERSION;
pub use sql::MAX_ROWS;
pub use status::Counts;
pub use stops::Stop;
pub use store::{Options, Store};
pub use transactions::{Reply, TransactionKey, TransactionRow};
pub use tree::MAX_LEAVES;
pub use upkeep::{PRUNE_BATCH, Retention};
