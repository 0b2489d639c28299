//! The statement that people sign before a state that was restored from a backup is brought up to the journal of the HSM service.

use assay_types::{CanonicalError, Hash, Timestamp, from_canonical, to_canonical};
use serde::{Deserialize, Serialize};

use super::MAX_APPROVALS;
use super::approvers::{Approvers, Purpose};
use super::document::{MAX_TICKET, plain};
use super::signature::{self, SignatureError};

/// Largest statement in bytes.
pub const MAX_STATEMENT: usize = 4 * 1024;

/// The one value of `statement`: no other text that approvers sign has it.
const KIND: &str = "assay recovery 1";

/// The statement of a recovery. It is signed as canonical JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecoveryStatement {
    statement: Kind,
    /// Identity of the journal of the HSM service.
    pub journal: Hash,
    /// Entries of its export.
    pub journal_entries: u64,
    /// Hash of the chain over them.
    pub journal_head: Hash,
    /// Records of the last tree of the log that the HSM service signed.
    pub log_size: u64,
    /// Root of that tree.
    pub log_root: Hash,
    /// Records of the restored state.
    pub restored_size: u64,
    /// Root of the tree over them.
    pub restored_root: Hash,
    /// Records that enter the log as hashes alone, as the restored state lacks them.
    pub hash_only: u64,
    /// The highest version number that was ever approved: the next version has a higher one.
    pub policy_floor: u64,
    /// Why the state is recovered.
    pub reason: String,
    /// When the statement was made.
    pub time: Timestamp,
}

/// The name of the form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct Kind;

impl From<Kind> for String {
    fn from(_: Kind) -> Self {
        KIND.to_owned()
    }
}

impl TryFrom<String> for Kind {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text == KIND {
            Ok(Self)
        } else {
            Err(format!("this release reads {KIND:?}, got {text:?}"))
        }
    }
}

/// The members of a statement, without its form.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "those of the statement")]
pub struct NewStatement {
    pub journal: Hash,
    pub journal_entries: u64,
    pub journal_head: Hash,
    pub log_size: u64,
    pub log_root: Hash,
    pub restored_size: u64,
    pub restored_root: Hash,
    pub policy_floor: u64,
    pub reason: String,
    pub time: Timestamp,
}

/// Why a text is not a statement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    /// Not of its form.
    #[error("not a recovery statement")]
    Form(#[from] CanonicalError),
    /// No reason, or one that cannot be shown on a line.
    #[error(
        "reason: wanted 1 to {MAX_TICKET} characters without quotes, backslashes and control characters"
    )]
    Reason,
    /// The numbers do not go together.
    #[error("hash_only: {found} records, between {restored} and {log} there are {wanted}")]
    Records {
        /// As it says.
        found: u64,
        /// Records of the restored state.
        restored: u64,
        /// Records of the log.
        log: u64,
        /// As it follows.
        wanted: u64,
    },
}

/// A reason why a statement does not count as approved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecoveryProblem {
    /// A signature counts for nothing.
    #[error("approval {number}: {error}")]
    Signature {
        /// From 1.
        number: usize,
        /// Why.
        error: SignatureError,
    },
    /// A retired key signed.
    #[error("approval {number}: signed with a retired key of {person}")]
    Retired {
        /// From 1.
        number: usize,
        /// Whose.
        person: String,
    },
    /// A person signed twice.
    #[error("approval {number}: {person} signed before and counts once")]
    Repeated {
        /// From 1.
        number: usize,
        /// Who.
        person: String,
    },
    /// Not enough.
    #[error(
        "{counted} of {needed} approvals; each of the people pinned in signer.toml signs with `assay recover approve`"
    )]
    TooFew {
        /// People whose approvals count.
        counted: usize,
        /// Approvals wanted.
        needed: usize,
    },
    /// Longer than any list of approvals.
    #[error("{0} approvals; {MAX_APPROVALS} at most")]
    TooMany(usize),
}

impl RecoveryStatement {
    /// The statement, whose number of lost records follows from the two sizes.
    ///
    /// # Errors
    /// [`StatementError::Reason`].
    pub fn new(new: NewStatement) -> Result<Self, StatementError> {
        let NewStatement {
            journal,
            journal_entries,
            journal_head,
            log_size,
            log_root,
            restored_size,
            restored_root,
            policy_floor,
            reason,
            time,
        } = new;
        let statement = Self {
            statement: Kind,
            journal,
            journal_entries,
            journal_head,
            log_size,
            log_root,
            restored_size,
            restored_root,
            hash_only: log_size.saturating_sub(restored_size),
            policy_floor,
            reason,
            time,
        };
        statement.check()?;
        Ok(statement)
    }

    /// Reads the one text of a statement.
    ///
    /// # Errors
    /// [`StatementError`].
    pub fn parse(text: &[u8]) -> Result<Self, StatementError> {
        let statement: Self = from_canonical(text, MAX_STATEMENT)?;
        statement.check()?;
        Ok(statement)
    }

    /// The text that is signed.
    ///
    /// # Errors
    /// [`StatementError::Form`].
    pub fn to_text(&self) -> Result<Vec<u8>, StatementError> {
        Ok(to_canonical(self, MAX_STATEMENT)?)
    }

    fn check(&self) -> Result<(), StatementError> {
        if !plain(&self.reason, MAX_TICKET) {
            return Err(StatementError::Reason);
        }
        let wanted = self.log_size.saturating_sub(self.restored_size);
        if self.hash_only != wanted {
            return Err(StatementError::Records {
                found: self.hash_only,
                restored: self.restored_size,
                log: self.log_size,
                wanted,
            });
        }
        Ok(())
    }
}

impl Approvers {
    /// The people who signed a statement, in the order in which their signatures came.
    ///
    /// # Errors
    /// All that stands in the way, where they are not enough or a signature counts for nothing.
    pub fn examine_recovery(
        &self,
        statement: &[u8],
        signatures: &[Vec<u8>],
        purpose: Purpose,
    ) -> Result<Vec<String>, Vec<RecoveryProblem>> {
        if signatures.len() > MAX_APPROVALS {
            return Err(vec![RecoveryProblem::TooMany(signatures.len())]);
        }
        let mut people: Vec<String> = Vec::new();
        let mut problems = Vec::new();
        for (number, der) in (1..).zip(signatures) {
            let person = match signature::signer(der, statement, self.pinned()) {
                Ok(approver) if approver.retired && purpose == Purpose::Activation => {
                    let person = approver.person.clone();
                    problems.push(RecoveryProblem::Retired { number, person });
                    continue;
                }
                Ok(approver) => approver.person.clone(),
                Err(error) => {
                    problems.push(RecoveryProblem::Signature { number, error });
                    continue;
                }
            };
            if people.contains(&person) {
                problems.push(RecoveryProblem::Repeated { number, person });
            } else {
                people.push(person);
            }
        }
        if people.len() < self.needed() {
            problems.push(RecoveryProblem::TooFew {
                counted: people.len(),
                needed: self.needed(),
            });
        }
        if problems.is_empty() {
            Ok(people)
        } else {
            Err(problems)
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test code")]
mod tests {
    use super::*;

    fn statement() -> RecoveryStatement {
        RecoveryStatement::new(NewStatement {
            journal: [1; 32].into(),
            journal_entries: 90,
            journal_head: [2; 32].into(),
            log_size: 40,
            log_root: [3; 32].into(),
            restored_size: 25,
            restored_root: [4; 32].into(),
            policy_floor: 7,
            reason: "the disk of the signer failed".to_owned(),
            time: Timestamp::from_seconds(1_900_000_000),
        })
        .unwrap()
    }

    #[test]
    fn a_statement_is_read_back_as_it_was_written_and_in_no_other_form() {
        let text = statement().to_text().unwrap();
        assert_eq!(statement().hash_only, 15);
        assert_eq!(RecoveryStatement::parse(&text).unwrap(), statement());
        let text = String::from_utf8(text).unwrap();
        for other in [
            format!("{text}\n"),
            text.replace(':', ": "),
            text.replace(KIND, "assay recovery 2"),
            text.replace("\"hash_only\":15", "\"hash_only\":14"),
            text.replace("the disk", "the \\\"disk"),
            text.replace("\"reason\"", "\"note\":\"\",\"reason\""),
        ] {
            assert_ne!(other, text);
            assert!(
                RecoveryStatement::parse(other.as_bytes()).is_err(),
                "{other}"
            );
        }
    }
}
