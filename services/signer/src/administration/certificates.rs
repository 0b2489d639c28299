//! The issued index.

use assay_proto::v1::{
    CertificateInfo, GetCertificateReply, GetCertificateRequest, GetLineageReply,
    GetLineageRequest, ListCertificatesReply, ListCertificatesRequest,
};
use assay_store::{CertificateQuery, CertificateRow};

use super::error::AdminError;
use super::page::Paging;
use super::{AdministrationService, known_profile, wire};

/// Newest first.
pub(super) async fn list(
    service: &AdministrationService,
    _actor: &str,
    mut request: ListCertificatesRequest,
) -> Result<ListCertificatesReply, AdminError> {
    let page = request.page.take();
    let paging = Paging::open("list_certificates", &request, page)?;
    let ListCertificatesRequest {
        page: _,
        profile,
        state,
        subject,
        san,
        serial,
        transaction_id,
        issued,
    } = request;
    let query = CertificateQuery {
        profile: known_profile(service, profile).await?,
        status: wire::certificate_status(state)?,
        subject: wire::subject(&subject)?,
        san: wire::san(&san)?,
        serial: wire::serial(&serial)?,
        transaction_id: wire::transaction(&transaction_id)?,
        closed: wire::span(issued)?,
        before: paging.after,
        rows: paging.rows,
    };
    let found = service.store.list_certificates(query).await?;
    Ok(ListCertificatesReply {
        certificates: found.rows.into_iter().map(info).collect(),
        page: paging.reply(found.next)?,
    })
}

/// One, with its DER.
pub(super) async fn show(
    service: &AdministrationService,
    _actor: &str,
    request: GetCertificateRequest,
) -> Result<GetCertificateReply, AdminError> {
    let GetCertificateRequest { serial } = request;
    let parsed = wire::required_serial(&serial)?;
    let row = service
        .store
        .find_certificate(parsed)
        .await?
        .ok_or_else(|| AdminError::NotFound(format!("no certificate has the serial {serial}")))?;
    Ok(GetCertificateReply {
        der: row.der.clone().unwrap_or_default(),
        info: Some(info(row)),
    })
}

/// The certificates that one descends from by renewal, and a page of those that descend from it.
pub(super) async fn lineage(
    service: &AdministrationService,
    _actor: &str,
    mut request: GetLineageRequest,
) -> Result<GetLineageReply, AdminError> {
    let page = request.page.take();
    let paging = Paging::open("get_lineage", &request, page)?;
    let GetLineageRequest { page: _, serial } = request;
    let parsed = wire::required_serial(&serial)?;
    let store = &service.store;
    if store.find_certificate(parsed.clone()).await?.is_none() {
        let missing = format!("no certificate has the serial {serial}");
        return Err(AdminError::NotFound(missing));
    }
    let ancestors = store.ancestors(parsed.clone()).await?;
    let descendants = store
        .list_descendants(parsed, paging.after, paging.rows)
        .await?;
    Ok(GetLineageReply {
        ancestors: ancestors.into_iter().map(info).collect(),
        descendants: descendants.rows.into_iter().map(info).collect(),
        page: paging.reply(descendants.next)?,
    })
}

/// As the contract shows it.
pub(super) fn info(row: CertificateRow) -> CertificateInfo {
    let state = wire::certificate_state(row.status());
    let CertificateRow {
        position,
        serial,
        state: _,
        ca_id: _,
        profile,
        subject,
        sans,
        not_before,
        not_after,
        closed_at,
        der: _,
        sha256,
        transaction_id,
        policy_hash,
        revoked_at,
        revocation_reason,
        revoke_at: _,
        renewal_of,
        superseded_by,
    } = row;
    CertificateInfo {
        position,
        serial: serial.to_string(),
        profile,
        subject,
        sans,
        not_before: Some(not_before.into()),
        not_after: Some(not_after.into()),
        issued_at: closed_at.map(Into::into),
        sha256: sha256.map(String::from).unwrap_or_default(),
        transaction_id,
        policy_hash: policy_hash.map(String::from).unwrap_or_default(),
        state: state.into(),
        revoked_at: revoked_at.map(Into::into),
        revocation_reason: revocation_reason.map(|reason| wire::revocation_reason(reason).into()),
        superseded_by: superseded_by
            .map(|serial| serial.to_string())
            .unwrap_or_default(),
        renewal_of: renewal_of
            .map(|serial| serial.to_string())
            .unwrap_or_default(),
    }
}
