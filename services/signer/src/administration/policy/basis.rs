//! What the next proposal must say.

use assay_proto::v1::{PolicyApprover, PolicyBasisReply, PolicyBasisRequest};

use super::super::error::AdminError;
use super::super::{AdministrationService, wire};
use super::candidate::newest;

/// As things stand now.
pub(crate) async fn basis(
    service: &AdministrationService,
    _actor: &str,
    request: PolicyBasisRequest,
) -> Result<PolicyBasisReply, AdminError> {
    let PolicyBasisRequest {} = request;
    let (store, terms) = (&service.store, &service.terms);
    let hash = newest(store.active_policy().await?.as_ref());
    let heads = store.inventory_heads().await?;
    let stops = store.stops().await?;
    Ok(PolicyBasisReply {
        next_number: store.next_policy_number().await?,
        predecessor: hash.map(String::from).unwrap_or_default(),
        issuer: terms.issuer().to_string(),
        settings: terms.settings().clone().into_iter().collect(),
        inventories: heads
            .into_iter()
            .map(|(profile, head)| (profile, head.hash.to_string()))
            .collect(),
        approvals: u32::try_from(terms.approvers().needed()).unwrap_or(u32::MAX),
        approvers: terms
            .approvers()
            .pinned()
            .iter()
            .map(|approver| PolicyApprover {
                person: approver.person.clone(),
                spki_sha256: approver.spki_sha256.to_string(),
                retired: approver.retired,
            })
            .collect(),
        stopped: stops.into_iter().map(wire::stopped).collect(),
    })
}
