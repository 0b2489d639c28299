use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use assay_policy::{Bundle, PolicyFile, ProfileName, Proposal, Semantics, sign_proposal};
use assay_proto::v1::{self, PolicyBasisReply, PolicyProposal};
use assay_types::{Hash, Timestamp};

use crate::{Pair, Validity};

/// Approvals that a version needs beside its author.
pub const APPROVALS: usize = 2;

const AUTHOR: &str = "author";
const APPROVERS: [&str; APPROVALS] = ["second", "third"];
/// How long a proposal may be activated.
const YEAR: Duration = Duration::from_secs(365 * 86_400);

/// Who may propose and approve.
pub struct People(Vec<(&'static str, Pair)>);

/// A proposal before it is signed.
#[derive(Clone)]
pub struct Proposed {
    files: Vec<PolicyFile>,
    /// The text that people sign.
    pub proposal: Proposal,
    /// Who approves it.
    pub approvers: Vec<&'static str>,
}

impl People {
    /// An author and as many others as it takes.
    ///
    /// # Errors
    /// OpenSSL fails.
    pub fn new(validity: &Validity) -> Result<Self> {
        let names = [AUTHOR].into_iter().chain(APPROVERS);
        let people = names.map(|name| Ok((name, Pair::self_signed(name, validity)?)));
        people.collect::<Result<_>>().map(Self)
    }

    /// The table `[policy]` of `signer.toml`, with each certificate in a file of its person's name.
    pub fn table(&self) -> String {
        let mut table = format!("[policy]\napprovals = {APPROVALS}\n");
        for (person, _) in &self.0 {
            let _ = write!(
                table,
                "[[policy.approver]]\nperson = \"{person}\"\ncertificate = \"{person}.pem\"\n"
            );
        }
        table
    }

    /// The proposal as it is handed in.
    ///
    /// # Errors
    /// OpenSSL fails, or there is no such approver.
    pub fn sign(&self, proposed: &Proposed) -> Result<PolicyProposal> {
        let text = proposed.proposal.to_toml().into_bytes();
        let by = |person: &str| -> Result<Vec<u8>> {
            let found = self.0.iter().find(|(name, _)| *name == person);
            let (_, pair) = found.with_context(|| format!("nobody is called {person}"))?;
            Ok(sign_proposal(&text, &pair.certificate, &pair.key)?)
        };
        let approvals = proposed.approvers.iter().map(|name| by(name));
        let files = proposed.files.iter().cloned();
        Ok(PolicyProposal {
            files: files
                .map(|PolicyFile { name, content }| v1::PolicyFile { name, content })
                .collect(),
            author_signature: by(AUTHOR)?,
            approvals: approvals.collect::<Result<_>>()?,
            proposal: text.clone(),
        })
    }

    /// Signatures of these people over a statement.
    ///
    /// # Errors
    /// OpenSSL fails, or there is no such person.
    pub fn sign_statement(&self, statement: &[u8], people: &[&str]) -> Result<Vec<Vec<u8>>> {
        let by = |person: &&str| -> Result<Vec<u8>> {
            let found = self.0.iter().find(|(name, _)| name == person);
            let (_, pair) = found.with_context(|| format!("nobody is called {person}"))?;
            Ok(sign_proposal(statement, &pair.certificate, &pair.key)?)
        };
        people.iter().map(by).collect()
    }

    /// Each person's name, with the key and the certificate.
    pub fn all(&self) -> impl Iterator<Item = (&str, &Pair)> {
        self.0.iter().map(|(name, pair)| (*name, pair))
    }
}

impl Proposed {
    /// The next version after `basis`, of these profiles (name and text), which may be activated from `now` on.
    ///
    /// # Errors
    /// The profiles are wrong, or the basis is not as a signer states it.
    pub fn new(
        profiles: &[(&str, String)],
        basis: PolicyBasisReply,
        now: Timestamp,
    ) -> Result<Self> {
        let file = |(name, text): &(&str, String)| PolicyFile {
            name: format!("{name}.toml"),
            content: text.clone().into_bytes(),
        };
        let files: Vec<PolicyFile> = profiles.iter().map(file).collect();
        let bundle = Bundle::load(&files).map_err(|errors| anyhow!("{errors:?}"))?;
        let inventories = basis.inventories.iter();
        let inventories = inventories.map(|(name, head)| Ok((profile(name)?, hash(head)?)));
        let predecessor = Some(basis.predecessor.as_str()).filter(|hash| !hash.is_empty());
        Ok(Self {
            proposal: Proposal {
                number: basis.next_number,
                predecessor: predecessor.map(hash).transpose()?,
                files: bundle.file_hash(),
                model: bundle.model_hash(),
                semantics: Semantics::CURRENT,
                issuer: hash(&basis.issuer)?,
                hsm_configuration: None,
                not_before: now,
                expires: now + YEAR,
                ticket: "TEST-1".to_owned(),
                resumes: BTreeSet::new(),
                inventories: inventories.collect::<Result<_>>()?,
                settings: basis.settings.into_iter().collect(),
            },
            files,
            approvers: APPROVERS.to_vec(),
        })
    }
}

fn profile(name: &str) -> Result<ProfileName> {
    ProfileName::parse(name).with_context(|| format!("no profile is called {name}"))
}

fn hash(text: &str) -> Result<Hash> {
    Ok(text.parse()?)
}
