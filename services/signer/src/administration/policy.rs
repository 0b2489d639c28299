//! Policy: one set of files in force at a time, kept byte for byte.

use std::sync::Arc;

use assay_audit::Event;
use assay_policy::{Bundle, PolicyFile};
use assay_proto::v1::{
    ActivatePolicyReply, ActivatePolicyRequest, CheckPolicyReply, CheckPolicyRequest,
    GetPolicyReply, GetPolicyRequest, ListPoliciesReply, ListPoliciesRequest, PolicyBasisReply,
    PolicyBasisRequest, PolicyInfo, StopProfileReply, StopProfileRequest,
};
use assay_store::{NewPolicy, Store, StoreError};

use super::AdministrationService;
use super::error::AdminError;
use crate::policies::ActivePolicy;
use crate::ra::warn_of_single_ra;

/// Why the policy that was in force cannot be put in force again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadActiveError {
    #[error("the state cannot be read")]
    Store(#[from] StoreError),
    #[error(
        "policy {number} was activated by another release and does not load in this one: {problems}"
    )]
    Bundle { number: u64, problems: String },
}

/// The policy in force according to the store; `None` before the first activation.
pub(crate) async fn load_active(store: &Store) -> Result<Option<ActivePolicy>, LoadActiveError> {
    let Some(policy) = store.active_policy().await? else {
        return Ok(None);
    };
    let number = policy.info.number;
    let files: Vec<PolicyFile> = policy
        .files
        .into_iter()
        .map(|(name, content)| PolicyFile { name, content })
        .collect();
    let bundle = Bundle::load(&files).map_err(|errors| LoadActiveError::Bundle {
        number,
        problems: lines(&errors, "; "),
    })?;
    Ok(Some(ActivePolicy::new(number, bundle)))
}

/// Makes a whole set of files the policy in force: checked, durable and recorded before its first use.
pub(super) async fn activate(
    service: &AdministrationService,
    actor: &str,
    request: ActivatePolicyRequest,
) -> Result<ActivatePolicyReply, AdminError> {
    let ActivatePolicyRequest { proposal } = request;
    let files: Vec<PolicyFile> = proposal
        .unwrap_or_default()
        .files
        .into_iter()
        .map(|file| PolicyFile {
            name: file.name,
            content: file.content,
        })
        .collect();
    let bundle =
        Bundle::load(&files).map_err(|errors| AdminError::Invalid(lines(&errors, "\n")))?;
    let (authority, now) = (
        &service.pipeline.authority,
        service.pipeline.recorder.clock.now(),
    );
    for profile in bundle.profiles.values() {
        let served = authority.serves(profile, now);
        served.map_err(|error| AdminError::Invalid(error.to_string()))?;
    }
    let profiles: Vec<String> = bundle.profiles.keys().map(ToString::to_string).collect();
    let (file_hash, model_hash) = (bundle.file_hash, bundle.model_hash);

    let recorder = Arc::clone(&service.pipeline.recorder);
    let (by, count) = (actor.to_owned(), profiles.len() as u64);
    let number = service
        .pipeline
        .store
        .activate_policy(
            NewPolicy {
                file_hash,
                model_hash,
                profiles: profiles.clone(),
                files: files
                    .into_iter()
                    .map(|file| (file.name, file.content))
                    .collect(),
                activated_at: recorder.clock.now_seconds(),
                activated_by: actor.to_owned(),
            },
            move |number| {
                let event = Event::PolicyActivated {
                    actor: by.into(),
                    number,
                    file_hash: file_hash.into(),
                    model_hash: model_hash.into(),
                    profiles: count,
                    proposal_sha256: None,
                    author: None,
                    approvers: Vec::new(),
                    resumed: Vec::new(),
                };
                recorder.draft(Some(model_hash), event)
            },
        )
        .await?;
    for profile in bundle.profiles.values() {
        warn_of_single_ra(profile, now);
    }
    service
        .pipeline
        .policies
        .activate(ActivePolicy::new(number, bundle));
    tracing::info!(
        number,
        actor,
        model_hash = hex::encode(model_hash),
        "policy activated"
    );
    Ok(ActivatePolicyReply {
        number,
        file_hash: hex::encode(file_hash),
        model_hash: hex::encode(model_hash),
        profiles,
    })
}

/// Newest first.
pub(super) async fn list(
    service: &AdministrationService,
    _actor: &str,
    request: ListPoliciesRequest,
) -> Result<ListPoliciesReply, AdminError> {
    let ListPoliciesRequest {} = request;
    let policies = service.pipeline.store.list_policies().await?;
    Ok(ListPoliciesReply {
        policies: policies
            .into_iter()
            .map(|info| PolicyInfo {
                number: info.number,
                file_hash: hex::encode(info.file_hash),
                model_hash: hex::encode(info.model_hash),
                activated_at: info.activated_at,
                activated_by: info.activated_by,
                active: info.active,
                profiles: info.profiles,
                ..PolicyInfo::default()
            })
            .collect(),
    })
}

fn lines(errors: &[assay_policy::LoadError], separator: &str) -> String {
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    lines.join(separator)
}

pub(super) async fn basis(
    _service: &AdministrationService,
    _actor: &str,
    _request: PolicyBasisRequest,
) -> Result<PolicyBasisReply, AdminError> {
    Err(AdminError::NotYet)
}

pub(super) async fn check(
    _service: &AdministrationService,
    _actor: &str,
    _request: CheckPolicyRequest,
) -> Result<CheckPolicyReply, AdminError> {
    Err(AdminError::NotYet)
}

pub(super) async fn show(
    _service: &AdministrationService,
    _actor: &str,
    _request: GetPolicyRequest,
) -> Result<GetPolicyReply, AdminError> {
    Err(AdminError::NotYet)
}

pub(super) async fn stop(
    _service: &AdministrationService,
    _actor: &str,
    _request: StopProfileRequest,
) -> Result<StopProfileReply, AdminError> {
    Err(AdminError::NotYet)
}
