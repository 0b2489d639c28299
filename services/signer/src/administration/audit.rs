//! The audit log, as it is stored.

use assay_audit::Event;
use assay_proto::v1::{AuditRecord, ListAuditReply, ListAuditRequest};
use assay_store::AuditQuery;

use super::error::AdminError;
use super::page::Paging;
use super::{AdministrationService, known_profile, wire};

/// Newest first.
pub(super) async fn list(
    service: &AdministrationService,
    _actor: &str,
    mut request: ListAuditRequest,
) -> Result<ListAuditReply, AdminError> {
    let page = request.page.take();
    let paging = Paging::open("list_audit", &request, page)?;
    let ListAuditRequest {
        page: _,
        kind,
        profile,
        serial,
        transaction_id,
        recorded,
    } = request;
    let query = AuditQuery {
        kind: known_kind(kind)?,
        profile: known_profile(service, profile).await?,
        serial: wire::serial(&serial)?,
        transaction_id: wire::transaction(&transaction_id)?,
        recorded: wire::span(recorded)?,
        before: paging.after,
        rows: paging.rows,
    };
    let found = service.store.list_audit(query).await?;
    let records = found
        .rows
        .into_iter()
        .map(|row| AuditRecord {
            sequence: row.sequence,
            json: String::from_utf8_lossy(&row.record).into_owned(),
        })
        .collect();
    Ok(ListAuditReply {
        records,
        page: paging.reply(found.next)?,
    })
}

fn known_kind(kind: String) -> Result<Option<String>, AdminError> {
    if kind.is_empty() || Event::KINDS.contains(&kind.as_str()) {
        return Ok(wire::text(kind));
    }
    Err(AdminError::Invalid(format!(
        "there is no record of the kind `{kind}`; the kinds are {}",
        Event::KINDS.join(", ")
    )))
}
