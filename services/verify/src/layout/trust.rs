//! The trust directory: what an auditor pinned beforehand, from another source than the export.

use serde::{Deserialize, Serialize};

/// C2SP verifier key of the log, one line.
pub const LOG_KEY: &str = "log.vkey";
/// PEM certificates: a CA, then those above it, in order. Another CA is pinned in a file of its own, as [`ca_file`].
pub const CA: &str = "ca.pem";
/// C2SP verifier keys of the witnesses, one a line; may be absent.
pub const WITNESSES: &str = "witnesses.vkeys";
/// Identities of the journals of the HSM service, one per line in hexadecimal; may be absent.
pub const JOURNALS: &str = "journals";
/// The table `[policy]` of signer.toml, as [`ApproversFile`]; certificate paths are relative to the directory.
pub const APPROVERS: &str = "approvers.toml";
/// An earlier checkpoint that the export must be consistent with; may be absent.
pub const CHECKPOINT: &str = "checkpoint";

/// The file of the n-th pinned CA, from 1: [`CA`], then `ca-2.pem` and so on, without a gap.
pub fn ca_file(number: usize) -> String {
    if number <= 1 {
        CA.to_owned()
    } else {
        format!("ca-{number}.pem")
    }
}

/// [`APPROVERS`]:
///
/// ```text
/// [policy]
/// approvals = 2
///
/// [[policy.approver]]
/// person = "ada"
/// certificate = "approvers/ada.pem"
/// retired = false
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApproversFile {
    /// The table.
    pub policy: ApproversTable,
}

/// Who may approve, and how many must.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApproversTable {
    /// Approvals that a version needs, of people other than its author.
    pub approvals: usize,
    /// The pinned keys.
    pub approver: Vec<ApproverEntry>,
}

/// A key that may propose and approve.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApproverEntry {
    /// Whose it is.
    pub person: String,
    /// A PEM file, relative to the trust directory.
    pub certificate: String,
    /// Whether it counts for earlier versions only.
    #[serde(default)]
    pub retired: bool,
}
