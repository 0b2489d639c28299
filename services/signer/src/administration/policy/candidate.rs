//! A proposal with its files and signatures, held to everything that activation asks for.

use assay_policy::{Approved, Bundle, PolicyFile, Proposal, Purpose, SignedProposal};
use assay_proto::v1::PolicyProposal;
use assay_store::{Policy, StoreError};
use assay_types::Hash;

use super::super::AdministrationService;

/// What came, and all that stands in its way.
pub(super) struct Candidate {
    pub(super) files: Vec<PolicyFile>,
    pub(super) signed: SignedProposal,
    pub(super) number: u64,
    pub(super) author: String,
    pub(super) approvers: Vec<String>,
    pub(super) verdict: Result<Ready, Vec<String>>,
}

/// A bundle and the approval of exactly this bundle.
pub(super) struct Ready {
    pub(super) bundle: Bundle,
    pub(super) approved: Approved,
}

impl Candidate {
    pub(super) async fn examine(
        service: &AdministrationService,
        proposal: PolicyProposal,
    ) -> Result<Self, StoreError> {
        let PolicyProposal {
            files,
            proposal,
            author_signature,
            approvals,
        } = proposal;
        let files: Vec<PolicyFile> = files
            .into_iter()
            .map(|file| PolicyFile {
                name: file.name,
                content: file.content,
            })
            .collect();
        let signed = SignedProposal {
            proposal,
            author: author_signature,
            approvals,
        };
        let terms = &service.terms;
        let examined = terms.approvers().examine(&signed, Purpose::Activation);
        let mut problems: Vec<String> = examined.problems.iter().map(ToString::to_string).collect();
        let bundle = Bundle::load(&files)
            .map_err(|errors| problems.extend(errors.iter().map(ToString::to_string)))
            .ok();
        problems.extend(bundle.iter().flat_map(|bundle| unserved(service, bundle)));
        if let Some(proposal) = &examined.proposal {
            problems.extend(terms.differences(proposal));
            problems.extend(untimely(service).await?);
            if let Some(bundle) = &bundle {
                problems.extend(other_files(proposal, bundle));
            }
            problems.extend(place(service, proposal).await?);
            problems.extend(inventories(service, proposal).await?);
            problems.extend(resumes(service, proposal, bundle.as_ref()).await?);
        }
        let number = examined.proposal.as_ref().map_or(0, |found| found.number);
        let author = examined.author.clone().unwrap_or_default();
        let approvers = examined.approvers.clone();
        let verdict = match (examined.approved(), bundle) {
            (Ok(approved), Some(bundle)) if problems.is_empty() => Ok(Ready { bundle, approved }),
            _ => Err(problems),
        };
        Ok(Self {
            files,
            signed,
            number,
            author,
            approvers,
            verdict,
        })
    }
}

/// Hash of the newest version, whether it is in force or not.
pub(super) fn newest(policy: Option<&Policy>) -> Option<Hash> {
    policy.map(|policy| Hash::of(&policy.info.proposal))
}

/// Profiles that ask for a key or a form which the HSM service does not have.
fn unserved(service: &AdministrationService, bundle: &Bundle) -> Vec<String> {
    let now = service.recorder.now();
    bundle
        .profiles()
        .values()
        .flat_map(|profile| service.generations.unserved(profile, now))
        .collect()
}

/// A CA that cannot take over at its time.
async fn untimely(service: &AdministrationService) -> Result<Option<String>, StoreError> {
    let (generations, now) = (&service.generations, service.recorder.now());
    generations.untimely(&service.store, now).await
}

fn other_files(proposal: &Proposal, bundle: &Bundle) -> Option<String> {
    if proposal.files != bundle.file_hash() {
        return Some(format!(
            "files: the proposal is of the files {}, these are {}",
            proposal.files,
            bundle.file_hash()
        ));
    }
    (proposal.model != bundle.model_hash()).then(|| {
        "model: the files mean something else to this release than to the one that proposed them; propose them again"
            .to_owned()
    })
}

/// Its place in the line of versions and in time.
async fn place(
    service: &AdministrationService,
    proposal: &Proposal,
) -> Result<Vec<String>, StoreError> {
    let mut problems = Vec::new();
    let policy = service.store.active_policy().await?;
    let hash = newest(policy.as_ref());
    let next = service.store.next_policy_number().await?;
    if proposal.number != next {
        problems.push(format!(
            "number: it is version {}, the next one is {next}; propose the files again",
            proposal.number
        ));
    }
    if proposal.predecessor != hash {
        let text = |hash: Option<Hash>| hash.map_or("none".to_owned(), String::from);
        problems.push(format!(
            "predecessor: it follows {}, the version in force is {}; propose the files again",
            text(proposal.predecessor),
            text(hash)
        ));
    }
    let now = service.recorder.timestamp();
    if now < proposal.not_before {
        problems.push("not_before: it may not come into force yet".to_owned());
    }
    if now >= proposal.expires {
        problems.push("expires: it has expired; propose the files again".to_owned());
    }
    Ok(problems)
}

async fn inventories(
    service: &AdministrationService,
    proposal: &Proposal,
) -> Result<Vec<String>, StoreError> {
    let mut problems = Vec::new();
    for (profile, head) in &proposal.inventories {
        let known = service
            .store
            .had_inventory_head(profile.to_string(), *head)
            .await?;
        if !known {
            problems.push(format!(
                "inventories.{profile}: the inventory never had the head {head}"
            ));
        }
    }
    Ok(problems)
}

async fn resumes(
    service: &AdministrationService,
    proposal: &Proposal,
    bundle: Option<&Bundle>,
) -> Result<Vec<String>, StoreError> {
    let stops = service.store.stops().await?;
    let mut problems = Vec::new();
    for profile in &proposal.resumes {
        let name = profile.as_str();
        match stops.iter().find(|stop| stop.profile == name) {
            None => problems.push(format!("resumes: {name} is not stopped")),
            Some(stop) if stop.stopped_at > proposal.not_before => problems.push(format!(
                "resumes: {name} was stopped after the proposal was made; propose it again"
            )),
            Some(_) => {}
        }
        if bundle.is_some_and(|bundle| bundle.profile(name).is_none()) {
            problems.push(format!("resumes: the files have no profile {name}"));
        }
    }
    Ok(problems)
}
