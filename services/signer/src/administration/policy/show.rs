//! Versions as they are kept.

use assay_issuance::InForce;
use assay_policy::Proposal;
use assay_proto::v1::{
    GetPolicyReply, GetPolicyRequest, ListPoliciesReply, ListPoliciesRequest, PolicyFile,
    PolicyInfo, PolicyProposal,
};

use assay_store::PolicyQuery;
use assay_types::Hash;

use super::super::error::AdminError;
use super::super::page::Paging;
use super::super::{AdministrationService, known_profile, wire};

/// Newest first.
pub(crate) async fn list(
    service: &AdministrationService,
    _actor: &str,
    mut request: ListPoliciesRequest,
) -> Result<ListPoliciesReply, AdminError> {
    let page = request.page.take();
    let paging = Paging::open("list_policies", &request, page)?;
    let ListPoliciesRequest {
        page: _,
        profile,
        activated,
    } = request;
    let query = PolicyQuery {
        profile: known_profile(service, profile).await?,
        activated: wire::span(activated)?,
        before: paging.after,
        rows: paging.rows,
    };
    let found = service.store.list_policies(query).await?;
    let in_force = service.policies.active();
    Ok(ListPoliciesReply {
        page: paging.reply(found.next)?,
        policies: found
            .rows
            .into_iter()
            .map(|info| view(info, &in_force))
            .collect(),
    })
}

/// One version with its files, and with everything that was signed.
pub(crate) async fn show(
    service: &AdministrationService,
    _actor: &str,
    request: GetPolicyRequest,
) -> Result<GetPolicyReply, AdminError> {
    let GetPolicyRequest { number } = request;
    let store = &service.store;
    let in_force = service.policies.active();
    let wanted = match number {
        0 => in_force.number(),
        number => number,
    };
    let policy = store.policy(wanted).await?.ok_or_else(|| {
        AdminError::NotFound(match number {
            0 => "no version is in force".to_owned(),
            number => format!("there is no version {number}; `assay policy history` lists them"),
        })
    })?;
    let (info, proposal) = as_proposed(policy);
    Ok(GetPolicyReply {
        proposal: Some(proposal),
        info: Some(view(info, &in_force)),
    })
}

/// A version's files with everything that was signed, byte for byte.
pub(crate) fn as_proposed(
    policy: assay_store::Policy,
) -> (assay_store::PolicyInfo, PolicyProposal) {
    let assay_store::Policy {
        info,
        files,
        author_signature,
        approvals,
    } = policy;
    let proposal = PolicyProposal {
        files: files
            .into_iter()
            .map(|(name, content)| PolicyFile { name, content })
            .collect(),
        proposal: info.proposal.clone(),
        author_signature,
        approvals,
    };
    (info, proposal)
}

fn view(info: assay_store::PolicyInfo, in_force: &InForce) -> PolicyInfo {
    let assay_store::PolicyInfo {
        number,
        file_hash,
        model_hash,
        profiles,
        proposal,
        author,
        approvers,
        activated_at,
        activated_by,
        active: _,
    } = info;
    let read = Proposal::parse(&proposal).ok();
    PolicyInfo {
        number,
        file_hash: file_hash.to_string(),
        model_hash: model_hash.to_string(),
        activated_at: Some(activated_at.into()),
        activated_by,
        // The newest one is not in force where the signer was started without it.
        active: number == in_force.number(),
        profiles,
        proposal_sha256: Hash::of(&proposal).to_string(),
        ticket: read
            .as_ref()
            .map(|read| read.ticket.clone())
            .unwrap_or_default(),
        author,
        approvers,
        not_before: read.as_ref().map(|read| read.not_before.into()),
        expires: read.as_ref().map(|read| read.expires.into()),
    }
}
