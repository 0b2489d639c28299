//! From a candidate to the version in force: durable, recorded, and only then used.

use std::sync::Arc;

use assay_audit::{Event, Text};
use assay_issuance::{ActivePolicy, warn_of_single_ra};
use assay_proto::v1::{
    ActivatePolicyReply, ActivatePolicyRequest, CheckPolicyReply, CheckPolicyRequest,
};
use assay_store::{ActivateOutcome, NewPolicy};

use super::super::AdministrationService;
use super::super::error::AdminError;
use super::candidate::{Candidate, Ready};

/// Says what activation would say, and changes nothing.
pub(crate) async fn check(
    service: &AdministrationService,
    _actor: &str,
    request: CheckPolicyRequest,
) -> Result<CheckPolicyReply, AdminError> {
    let CheckPolicyRequest { proposal } = request;
    let candidate = Candidate::examine(service, proposal.unwrap_or_default()).await?;
    let needed = service.terms.approvers().needed();
    Ok(CheckPolicyReply {
        ready: candidate.verdict.is_ok(),
        problems: candidate.verdict.err().unwrap_or_default(),
        number: candidate.number,
        author: candidate.author,
        approvers: candidate.approvers,
        approvals_needed: u32::try_from(needed).unwrap_or(u32::MAX),
    })
}

/// Makes an approved version the one in force, or says all that stands in its way.
pub(crate) async fn activate(
    service: &AdministrationService,
    actor: &str,
    request: ActivatePolicyRequest,
) -> Result<ActivatePolicyReply, AdminError> {
    let ActivatePolicyRequest { proposal } = request;
    let changing = service.policies.change().await;
    let candidate = Candidate::examine(service, proposal.unwrap_or_default()).await?;
    let number = candidate.number;
    let (new, Ready { bundle, approved }) = match new_policy(service, actor, candidate) {
        Ok(new) => new,
        Err(problems) => {
            tracing::warn!(number, actor, ?problems, "activation refused");
            return Err(AdminError::Invalid(problems.join("\n")));
        }
    };
    let active = ActivePolicy::new(&approved, bundle, service.terms.approval())
        .map_err(|error| AdminError::Invalid(error.to_string()))?;
    let reply = ActivatePolicyReply {
        number,
        file_hash: new.file_hash.to_string(),
        model_hash: new.model_hash.to_string(),
        profiles: new.profiles.clone(),
    };
    let event = Event::PolicyActivated {
        actor: actor.into(),
        number,
        file_hash: new.file_hash,
        model_hash: new.model_hash,
        profiles: new.profiles.len() as u64,
        proposal_sha256: Some(approved.sha256()),
        author: Some(approved.author().into()),
        approvers: texts(approved.approvers()),
        resumed: Vec::new(),
    };
    let (recorder, model_hash) = (Arc::clone(&service.recorder), new.model_hash);
    let outcome = service
        .store
        .activate_policy(new, move |lifted| {
            recorder.draft(Some(model_hash), with_resumed(event, &lifted))
        })
        .await?;
    if outcome == ActivateOutcome::NotNext {
        tracing::warn!(number, actor, "activation refused: another one was faster");
        return Err(AdminError::WrongState(
            "another version came into force meanwhile; propose the files again".to_owned(),
        ));
    }
    let policies = &service.policies;
    policies.set_stops(service.store.stops().await?, &changing);
    // What it decides shall come after a signed head that holds its activation. A token that does not sign this signs no
    // certificate either.
    if let Err(error) = service.log.checkpoint(Some(model_hash)).await {
        let error = assay_runtime::telemetry::chain(&error);
        tracing::warn!(number, error, "no checkpoint over the activation yet");
    }
    policies.activate(active, &changing);
    let now = service.recorder.now();
    for profile in policies.active().profiles() {
        warn_of_single_ra(profile, now);
    }
    tracing::info!(
        number,
        actor,
        author = approved.author(),
        approvers = ?approved.approvers(),
        model_hash = model_hash.to_string(),
        "policy activated"
    );
    Ok(reply)
}

/// The row of an approved candidate.
fn new_policy(
    service: &AdministrationService,
    actor: &str,
    candidate: Candidate,
) -> Result<(NewPolicy, Ready), Vec<String>> {
    let ready = candidate.verdict?;
    let proposal = ready.approved.proposal();
    let new = NewPolicy {
        number: proposal.number,
        predecessor: proposal.predecessor,
        file_hash: ready.bundle.file_hash(),
        model_hash: ready.bundle.model_hash(),
        profiles: ready
            .bundle
            .profiles()
            .keys()
            .map(ToString::to_string)
            .collect(),
        files: candidate
            .files
            .into_iter()
            .map(|file| (file.name, file.content))
            .collect(),
        proposal: candidate.signed.proposal,
        author: ready.approved.author().to_owned(),
        author_signature: candidate.signed.author,
        approvers: ready.approved.approvers().to_vec(),
        approvals: candidate.signed.approvals,
        resumes: proposal.resumes.iter().map(ToString::to_string).collect(),
        not_before: proposal.not_before,
        activated_at: service.recorder.timestamp(),
        activated_by: actor.to_owned(),
    };
    Ok((new, ready))
}

/// Which profiles issue again is known in the transaction only.
fn with_resumed(mut event: Event, lifted: &[String]) -> Event {
    if let Event::PolicyActivated { resumed, .. } = &mut event {
        *resumed = texts(lifted);
    }
    event
}

fn texts(people: &[String]) -> Vec<Text> {
    people.iter().map(|name| name.as_str().into()).collect()
}
