//! Requests that wait for approval: listed, shown with every rule of the decision, approved or denied.

use std::sync::Arc;

use assay_audit::Event;
use assay_policy::{Approval, verdicts};
use assay_proto::Named;
use assay_proto::v1::{
    DecideRequestReply, DecideRequestRequest, GetRequestReply, GetRequestRequest,
    ListRequestsReply, ListRequestsRequest, RequestInfo, RuleVerdict,
};
use assay_store::{DecideOutcome, PendingDecision, PendingQuery, PendingRow, PendingVerdict};

use super::error::AdminError;
use super::page::Paging;
use super::{AdministrationService, challenges, known_profile, wire};

/// Newest first.
pub(super) async fn list(
    service: &AdministrationService,
    _actor: &str,
    mut request: ListRequestsRequest,
) -> Result<ListRequestsReply, AdminError> {
    let page = request.page.take();
    let paging = Paging::open("list_requests", &request, page)?;
    let ListRequestsRequest {
        page: _,
        profile,
        state,
        subject,
        san,
        serial,
        transaction_id,
        created,
    } = request;
    let query = PendingQuery {
        profile: known_profile(service, profile).await?,
        state: wire::pending_state(state)?,
        subject: wire::subject(&subject)?,
        san: wire::san(&san)?,
        serial: wire::serial(&serial)?,
        transaction_id: wire::transaction(&transaction_id)?,
        created: wire::span(created)?,
        before: paging.after,
        rows: paging.rows,
    };
    let found = service.store.list_pending(query).await?;
    let mut requests = Vec::with_capacity(found.rows.len());
    for row in found.rows {
        requests.push(info(service, row).await?);
    }
    Ok(ListRequestsReply {
        requests,
        page: paging.reply(found.next)?,
    })
}

/// One, as the policy in force would decide it now.
pub(super) async fn show(
    service: &AdministrationService,
    _actor: &str,
    request: GetRequestRequest,
) -> Result<GetRequestReply, AdminError> {
    let GetRequestRequest { id } = request;
    let row = find(service, &id).await?;
    let in_force = service.policies.active();
    let profile = challenges::named(&in_force, &row.profile)?;
    let read = service.waiting.read(profile, &row).await;
    let (csr, facts) = read.ok_or_else(|| {
        AdminError::WrongState(format!("request {id} cannot be read any more; deny it"))
    })?;
    let rules = verdicts(profile, &facts)
        .into_iter()
        .map(|verdict| RuleVerdict {
            rule: verdict.rule.id.to_string(),
            title: verdict.rule.title.to_owned(),
            holds: verdict.refusal.is_none(),
            detail: verdict
                .refusal
                .map(|refusal| refusal.detail)
                .unwrap_or_default(),
        })
        .collect();
    Ok(GetRequestReply {
        // Again: a row of the database is not trusted to lack the challenge.
        csr: csr.without_challenge(),
        rules,
        info: Some(info(service, row).await?),
    })
}

/// Approves or denies. With four eyes on the profile two different operators approve.
pub(super) async fn decide(
    service: &AdministrationService,
    actor: &str,
    request: DecideRequestRequest,
) -> Result<DecideRequestReply, AdminError> {
    let DecideRequestRequest { id, approve } = request;
    let row = find(service, &id).await?;
    let required = approvals_needed(service, &row);
    let recorder = Arc::clone(&service.recorder);
    let policy_hash = service.policies.active().model_hash();
    let (by, pending_id) = (actor.to_owned(), id.clone());
    let decision = PendingDecision {
        id: id.clone(),
        approver: actor.to_owned(),
        verdict: if approve {
            PendingVerdict::Approve
        } else {
            PendingVerdict::Deny
        },
        four_eyes: required > 1,
        at: recorder.timestamp(),
    };
    let outcome = service
        .store
        .decide_pending(decision, move |outcome| {
            let event = match outcome {
                DecideOutcome::Approved { approvals }
                | DecideOutcome::AwaitsAnother { approvals } => Event::PendingApproved {
                    actor: by.into(),
                    pending_id: pending_id.into(),
                    approvals: *approvals,
                    required: required.into(),
                    note: String::new().into(),
                },
                DecideOutcome::Denied
                | DecideOutcome::Repeated
                | DecideOutcome::Closed(_)
                | DecideOutcome::Unknown => Event::PendingDenied {
                    actor: by.into(),
                    pending_id: pending_id.into(),
                    note: String::new().into(),
                },
            };
            recorder.draft(policy_hash, event)
        })
        .await?;
    match outcome {
        DecideOutcome::Approved { .. }
        | DecideOutcome::AwaitsAnother { .. }
        | DecideOutcome::Denied => {
            let row = find(service, &id).await?;
            Ok(DecideRequestReply {
                info: Some(info(service, row).await?),
            })
        }
        DecideOutcome::Repeated => Err(AdminError::WrongState(format!(
            "{actor} has approved request {id} already; it needs another operator"
        ))),
        DecideOutcome::Closed(state) => Err(AdminError::WrongState(format!(
            "request {id} is {}; only a pending one can be decided",
            wire::request_state(state).as_str()
        ))),
        DecideOutcome::Unknown => Err(unknown(&id)),
    }
}

async fn find(service: &AdministrationService, id: &str) -> Result<PendingRow, AdminError> {
    let row = service.store.find_pending_by_id(id.to_owned()).await?;
    row.ok_or_else(|| unknown(id))
}

fn unknown(id: &str) -> AdminError {
    AdminError::NotFound(format!(
        "there is no request {id}; `assay request list` shows their ids"
    ))
}

fn approvals_needed(service: &AdministrationService, row: &PendingRow) -> u32 {
    let in_force = service.policies.active();
    in_force
        .select(&row.profile)
        .and_then(|profile| profile.approval())
        .map_or(1, Approval::operators)
}

async fn info(service: &AdministrationService, row: PendingRow) -> Result<RequestInfo, AdminError> {
    let approvals = service.store.list_deciders(row.id.clone()).await?;
    Ok(RequestInfo {
        approvals_needed: approvals_needed(service, &row),
        approvals,
        id: row.id,
        profile: row.profile,
        state: wire::request_state(row.state).into(),
        subject: row.subject,
        sans: row.sans,
        transaction_id: row.transaction.transaction_id,
        created_at: Some(row.created_at.into()),
        expires_at: Some(row.expires_at.into()),
        serial: row
            .serial
            .map(|serial| serial.to_string())
            .unwrap_or_default(),
    })
}
