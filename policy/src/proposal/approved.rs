//! The count: who proposed a version, who approved it, and whether that is enough.

use super::approvers::{Approver, Approvers, Purpose};
use super::document::Proposal;
use super::signature::{self, SignatureError};
use super::{MAX_APPROVALS, ProposalError};
use assay_types::Hash;

/// A proposal with the signatures that came with it. Nothing in it is proven.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SignedProposal {
    /// The text, byte for byte as it was signed.
    pub proposal: Vec<u8>,
    /// DER CMS of whoever wrote it.
    pub author: Vec<u8>,
    /// DER CMS of each who approves it.
    pub approvals: Vec<Vec<u8>>,
}

/// What the signatures of a proposal come to.
#[derive(Debug)]
pub struct Examined {
    /// Where it can be read.
    pub proposal: Option<Proposal>,
    /// Who wrote it, where that is proven.
    pub author: Option<String>,
    /// The people whose approvals count, in the order in which they came.
    pub approvers: Vec<String>,
    /// All that stands in the way; empty where it is approved.
    pub problems: Vec<Problem>,
    bytes: Vec<u8>,
}

/// A proposal that its author and enough others signed. Made by [`Examined::approved`] only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approved {
    proposal: Proposal,
    sha256: Hash,
    author: String,
    approvers: Vec<String>,
}

/// What stands in the way of a proposal. An approval that does not count is a problem even where others are enough: a
/// version in force has no signature with it that means nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// It cannot be read.
    #[error("{0}")]
    Proposal(#[from] ProposalError),
    /// The author's signature counts for nothing.
    #[error("author.p7s: {0}")]
    Author(SignatureError),
    /// An approval counts for nothing.
    #[error("approval {number}: {error}")]
    Approval {
        /// From 1.
        number: usize,
        /// Why.
        error: SignatureError,
    },
    /// A retired key signed.
    #[error(
        "{signature}: signed with a retired key of {person}; a new version needs a key that is not retired"
    )]
    Retired {
        /// Which signature.
        signature: String,
        /// Whose.
        person: String,
    },
    /// The author approved.
    #[error("approval {number}: {person} wrote the proposal and does not count as an approver")]
    OwnApproval {
        /// From 1.
        number: usize,
        /// Who.
        person: String,
    },
    /// A person approved twice.
    #[error("approval {number}: {person} approved it before and counts once")]
    Repeated {
        /// From 1.
        number: usize,
        /// Who.
        person: String,
    },
    /// Not enough.
    #[error(
        "{counted} of {needed} approvals; {} may still approve",
        missing(eligible)
    )]
    TooFew {
        /// People whose approvals count.
        counted: usize,
        /// Approvals wanted.
        needed: usize,
        /// Who has not approved.
        eligible: Vec<String>,
    },
    /// Longer than any list of approvals.
    #[error("{0} approvals; {MAX_APPROVALS} at most")]
    TooManyApprovals(usize),
}

impl Approvers {
    /// Looks at every signature of a proposal and says what they come to.
    pub fn examine(&self, signed: &SignedProposal, purpose: Purpose) -> Examined {
        let mut examined = Examined {
            proposal: None,
            author: None,
            approvers: Vec::new(),
            problems: Vec::new(),
            bytes: signed.proposal.clone(),
        };
        match Proposal::parse(&signed.proposal) {
            Ok(proposal) => examined.proposal = Some(proposal),
            Err(error) => examined.problems.push(Problem::Proposal(error)),
        }
        if signed.approvals.len() > MAX_APPROVALS {
            let problem = Problem::TooManyApprovals(signed.approvals.len());
            examined.problems.push(problem);
            return examined;
        }
        match self.who(&signed.author, signed, purpose, "author.p7s") {
            Ok(author) => examined.author = Some(author.person.clone()),
            Err(Doubt::Signature(error)) => examined.problems.push(Problem::Author(error)),
            Err(Doubt::Retired(problem)) => examined.problems.push(problem),
        }
        for (number, der) in (1..).zip(&signed.approvals) {
            match self.who(der, signed, purpose, &format!("approval {number}")) {
                Ok(approver) => examined.count(number, &approver.person),
                Err(Doubt::Signature(error)) => {
                    examined.problems.push(Problem::Approval { number, error });
                }
                Err(Doubt::Retired(problem)) => examined.problems.push(problem),
            }
        }
        if examined.approvers.len() < self.needed() {
            examined.problems.push(Problem::TooFew {
                counted: examined.approvers.len(),
                needed: self.needed(),
                eligible: self.eligible(&examined),
            });
        }
        examined
    }

    fn who(
        &self,
        der: &[u8],
        signed: &SignedProposal,
        purpose: Purpose,
        signature: &str,
    ) -> Result<&Approver, Doubt> {
        let approver =
            signature::signer(der, &signed.proposal, self.pinned()).map_err(Doubt::Signature)?;
        if approver.retired && purpose == Purpose::Activation {
            return Err(Doubt::Retired(Problem::Retired {
                signature: signature.to_owned(),
                person: approver.person.clone(),
            }));
        }
        Ok(approver)
    }

    fn eligible(&self, examined: &Examined) -> Vec<String> {
        let mut people: Vec<String> = self
            .pinned()
            .iter()
            .filter(|approver| !approver.retired)
            .map(|approver| approver.person.clone())
            .filter(|person| {
                examined.author.as_ref() != Some(person) && !examined.approvers.contains(person)
            })
            .collect();
        people.sort_unstable();
        people.dedup();
        people
    }
}

impl Examined {
    /// The value that activation takes, where nothing stands in the way.
    ///
    /// # Errors
    /// All that does.
    pub fn approved(self) -> Result<Approved, Vec<Problem>> {
        match (self.proposal, self.author) {
            (Some(proposal), Some(author)) if self.problems.is_empty() => Ok(Approved {
                sha256: Hash::of(&self.bytes),
                proposal,
                author,
                approvers: self.approvers,
            }),
            _ => Err(self.problems),
        }
    }

    fn count(&mut self, number: usize, person: &str) {
        let person = person.to_owned();
        if self.author.as_ref() == Some(&person) {
            self.problems.push(Problem::OwnApproval { number, person });
        } else if self.approvers.contains(&person) {
            self.problems.push(Problem::Repeated { number, person });
        } else {
            self.approvers.push(person);
        }
    }
}

impl Approved {
    /// What was approved.
    pub fn proposal(&self) -> &Proposal {
        &self.proposal
    }

    /// SHA-256 of the text that was signed.
    pub fn sha256(&self) -> Hash {
        self.sha256
    }

    /// Who wrote it.
    pub fn author(&self) -> &str {
        &self.author
    }

    /// Who approved it: distinct people, none of them the author.
    pub fn approvers(&self) -> &[String] {
        &self.approvers
    }
}

enum Doubt {
    Signature(SignatureError),
    Retired(Problem),
}

fn missing(eligible: &[String]) -> String {
    if eligible.is_empty() {
        "nobody".to_owned()
    } else {
        eligible.join(", ")
    }
}
