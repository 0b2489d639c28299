//! The versions of the policy that an export holds, each held to its signatures before any record is read.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use assay_policy::{Approved, Approvers, Bundle, PolicyFile, Proposal, Purpose, SignedProposal};
use assay_types::Hash;

use crate::issuers::Issuers;
use crate::layout::Place;
use crate::named::{Named, Wrong};
use crate::report::{Finding, Findings};
use crate::{Check, ExportFiles, export};

/// Largest file of a version: a policy file has 256 KiB at most.
const MAX_FILE: usize = 256 * 1024;
/// Versions that are read at most: one an hour for a year.
const MAX_VERSIONS: usize = 10_000;

/// By number, and by what their records name them by.
#[derive(Debug, Default)]
pub(crate) struct Versions {
    by_number: BTreeMap<u64, Version>,
    by_model: HashMap<Hash, u64>,
}

/// One version.
#[derive(Debug)]
pub(crate) struct Version {
    pub(crate) number: u64,
    pub(crate) proposal: Proposal,
    /// Of the text that was signed.
    pub(crate) sha256: Hash,
    pub(crate) bundle: Bundle,
    /// CAs that may issue under it.
    pub(crate) named: Named,
    /// Where approvers are pinned, and approved it.
    pub(crate) approved: Option<Approved>,
}

#[derive(Default)]
struct Paths {
    approvals: BTreeSet<u64>,
    files: BTreeSet<String>,
}

impl Versions {
    /// Reads every version among `places`. `issuers` are the CAs that one may name.
    pub(crate) fn read(
        export: &dyn ExportFiles,
        places: &[Place],
        approvers: Option<&Approvers>,
        issuers: &Issuers,
        findings: &mut Findings,
    ) -> Self {
        let mut paths: BTreeMap<u64, Paths> = BTreeMap::new();
        for place in places {
            match place {
                Place::Proposal(n) | Place::Author(n) => {
                    paths.entry(*n).or_default();
                }
                Place::Approval(n, k) => {
                    paths.entry(*n).or_default().approvals.insert(*k);
                }
                Place::Policy(n, profile) => {
                    paths.entry(*n).or_default().files.insert(profile.clone());
                }
                Place::Manifest
                | Place::Checkpoint
                | Place::LogKey
                | Place::Issuer(_, _)
                | Place::Recovery(_)
                | Place::RecoveryApproval(_, _)
                | Place::Inventory(_)
                | Place::Evidence(_)
                | Place::Certificates(_) => {}
            }
        }
        let mut versions = Self::default();
        for (number, paths) in paths.into_iter().take(MAX_VERSIONS) {
            let mut reader = Reader {
                export,
                number,
                findings,
            };
            if let Some(version) = reader.version(&paths, approvers, issuers) {
                let model = version.bundle.model_hash();
                versions.by_model.entry(model).or_insert(number);
                versions.by_number.insert(number, version);
            }
        }
        versions
    }

    pub(crate) fn get(&self, number: u64) -> Option<&Version> {
        self.by_number.get(&number)
    }

    /// A version of this model hash; all of them mean the same.
    pub(crate) fn of_model(&self, model: &Hash) -> Option<&Version> {
        self.get(*self.by_model.get(model)?)
    }

    pub(crate) fn numbers(&self) -> impl Iterator<Item = u64> + '_ {
        self.by_number.keys().copied()
    }
}

struct Reader<'a> {
    export: &'a dyn ExportFiles,
    number: u64,
    findings: &'a mut Findings,
}

impl Reader<'_> {
    fn version(
        &mut self,
        paths: &Paths,
        approvers: Option<&Approvers>,
        issuers: &Issuers,
    ) -> Option<Version> {
        let number = self.number;
        let proposal = self.file(&Place::Proposal(number))?;
        let author = self.file(&Place::Author(number))?;
        let mut approvals = Vec::new();
        for (wanted, &got) in (1..).zip(&paths.approvals) {
            let place = Place::Approval(number, got);
            self.findings
                .same(Check::Versions, &place, "number", &wanted, &got);
            approvals.push(self.file(&place)?);
        }
        let mut files = Vec::new();
        for profile in &paths.files {
            let content = self.file(&Place::Policy(number, profile.clone()))?;
            files.push(PolicyFile {
                name: format!("{profile}.toml"),
                content,
            });
        }
        let bundle = self.bundle(&files)?;
        let signed = SignedProposal {
            proposal,
            author,
            approvals,
        };
        let sha256 = Hash::of(&signed.proposal);
        let parsed = self.proposal(&signed, &bundle)?;
        let named = self.named(&parsed, issuers);
        let approved = self.approved(&signed, approvers);
        Some(Version {
            number,
            proposal: parsed,
            sha256,
            bundle,
            named,
            approved,
        })
    }

    fn file(&mut self, place: &Place) -> Option<Vec<u8>> {
        let got = match export::read(self.export, &place.to_string(), MAX_FILE) {
            Ok(Some(bytes)) => return Some(bytes),
            Ok(None) => "no such file".to_owned(),
            Err(error) => error.to_string(),
        };
        self.bad(Check::Versions, place, "file", "a part of the version", got);
        None
    }

    fn bundle(&mut self, files: &[PolicyFile]) -> Option<Bundle> {
        match Bundle::load(files) {
            Ok(bundle) => Some(bundle),
            Err(errors) => {
                let place = Place::Proposal(self.number);
                let got = errors.first().map(ToString::to_string).unwrap_or_default();
                let wanted = "policy files that this release loads";
                self.bad(Check::Versions, &place, "files", wanted, got);
                None
            }
        }
    }

    fn proposal(&mut self, signed: &SignedProposal, bundle: &Bundle) -> Option<Proposal> {
        let place = Place::Proposal(self.number);
        let proposal = match Proposal::parse(&signed.proposal) {
            Ok(proposal) => proposal,
            Err(error) => {
                self.bad(Check::Versions, &place, "text", "a proposal", error);
                return None;
            }
        };
        let check = Check::Versions;
        let findings = &mut *self.findings;
        findings.same(check, &place, "number", &self.number, &proposal.number);
        for (member, wanted, got) in [
            ("files", bundle.file_hash(), proposal.files),
            ("model", bundle.model_hash(), proposal.model),
        ] {
            findings.same(check, &place, member, &wanted, &got);
        }
        Some(proposal)
    }

    /// A version is for CAs of the export.
    fn named(&mut self, proposal: &Proposal, issuers: &Issuers) -> Named {
        let place = Place::Proposal(self.number);
        let (named, wrong) = Named::read(proposal);
        if let Some(Wrong {
            setting,
            wanted,
            got,
        }) = wrong
        {
            let member = format!("settings.{setting}");
            self.bad(Check::Approvals, &place, &member, wanted, got);
        }
        if !issuers.is_empty() {
            let next = named
                .next
                .map(|next| ("settings.rollover.issuer", next.issuer));
            for (member, ca) in [("issuer", named.issuer)].into_iter().chain(next) {
                let known = issuers.of_sha256(&ca).is_some();
                let wanted = "a CA of the export";
                self.findings
                    .hold(known, Check::Approvals, &place, member, wanted, ca);
            }
        }
        named
    }

    fn approved(
        &mut self,
        signed: &SignedProposal,
        approvers: Option<&Approvers>,
    ) -> Option<Approved> {
        let place = Place::Proposal(self.number);
        let check = Check::Approvals;
        let wanted = "the signatures of its author and of enough approvers";
        let Some(approvers) = approvers else {
            let got = "no pinned approvers to hold it to";
            let finding = Finding::new(check, &place, "signatures", wanted, got);
            self.findings.open(finding);
            return None;
        };
        self.findings.made(check);
        match approvers.examine(signed, Purpose::InForce).approved() {
            Ok(approved) => Some(approved),
            Err(problems) => {
                for problem in problems {
                    let finding = Finding::new(check, &place, "signatures", wanted, problem);
                    self.findings.bad(finding);
                }
                None
            }
        }
    }

    fn bad(
        &mut self,
        check: Check,
        place: &Place,
        member: &str,
        wanted: &str,
        got: impl std::fmt::Display,
    ) {
        self.findings.made(check);
        self.findings
            .bad(Finding::new(check, place, member, wanted, got));
    }
}
