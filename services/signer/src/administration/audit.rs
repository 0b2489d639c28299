//! The audit log, as it is stored.

use assay_proto::v1::{AuditRecord, ListAuditReply, ListAuditRequest};

use super::error::AdminError;
use super::{AdministrationService, page};

/// Oldest first, from a position on.
pub(super) async fn list(
    service: &AdministrationService,
    _actor: &str,
    request: ListAuditRequest,
) -> Result<ListAuditReply, AdminError> {
    let ListAuditRequest { after, limit, kind } = request;
    let kind = Some(kind).filter(|kind| !kind.is_empty());
    let rows = service.store.list_audit(after, page(limit), kind).await?;
    let records = rows
        .into_iter()
        .map(|row| AuditRecord {
            sequence: row.sequence,
            json: String::from_utf8_lossy(&row.record).into_owned(),
        })
        .collect();
    Ok(ListAuditReply { records })
}
