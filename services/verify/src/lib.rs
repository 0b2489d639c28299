//! What an auditor proves offline: that an export of the audit log is whole, and that each certificate in it was decided
//! as the policy of its day says.
//!
//! ```text
//! Directory ──┐
//! Trust ──────┤
//! Journal ────┴─verify──▶ Report: proven, bad (the first bad record first), or incomplete
//! ```
//!
//! [`layout`] is the form of an export, for whoever writes one and for the verifier. [`Check::ALL`] lists what is checked.
//! Nothing here writes a file, opens a connection or reads a clock.

pub mod layout;

mod certificate;
mod check;
mod entry;
mod export;
mod frontier;
mod issuers;
mod journal;
mod ledger;
mod lost;
mod manifest;
mod named;
mod recoveries;
mod report;
mod signed;
mod tree;
mod trust;
mod verify;
mod versions;
mod work;

pub use assay_journal::Head;
pub use check::Check;
pub use export::{Directory, ExportFiles, MAX_FILES};
pub use frontier::signed_tree;
pub use journal::{Agreement, Interval, JournalReport, MAX_EVENTS, Noted};
pub use report::{ANY, Finding, MAX_FINDINGS, Report, Tally, Verdict, Where};
pub use trust::{Trust, TrustError};
pub use verify::{Options, verify};
