//! The issued index.

use assay_proto::v1::{
    CertificateInfo, GetCertificateReply, GetCertificateRequest, ListCertificatesReply,
    ListCertificatesRequest,
};
use assay_store::{CertificateRow, CertificateState, Serial};

use super::error::AdminError;
use super::{AdministrationService, page};

/// Newest first.
pub(super) async fn list(
    service: &AdministrationService,
    _actor: &str,
    request: ListCertificatesRequest,
) -> Result<ListCertificatesReply, AdminError> {
    let ListCertificatesRequest {
        profile,
        before,
        limit,
    } = request;
    let profile = Some(profile).filter(|profile| !profile.is_empty());
    let rows = service
        .pipeline
        .store
        .list_certificates(profile, before, page(limit))
        .await?;
    Ok(ListCertificatesReply {
        certificates: rows.into_iter().map(info).collect(),
    })
}

/// One, with its DER.
pub(super) async fn show(
    service: &AdministrationService,
    _actor: &str,
    request: GetCertificateRequest,
) -> Result<GetCertificateReply, AdminError> {
    let GetCertificateRequest { serial } = request;
    let parsed: Serial = serial
        .parse()
        .map_err(|error| AdminError::Invalid(format!("`{serial}`: {error}")))?;
    let row = service
        .pipeline
        .store
        .find_certificate(parsed)
        .await?
        .ok_or_else(|| AdminError::NotFound(format!("no certificate has the serial {serial}")))?;
    Ok(GetCertificateReply {
        der: row.der.clone().unwrap_or_default(),
        info: Some(info(row)),
    })
}

fn info(row: CertificateRow) -> CertificateInfo {
    CertificateInfo {
        position: row.position,
        serial: row.serial.to_string(),
        profile: row.profile,
        subject: row.subject,
        sans: row.sans,
        not_before: row.not_before,
        not_after: row.not_after,
        issued_at: row.closed_at.unwrap_or_default(),
        sha256: row.sha256.map(hex::encode).unwrap_or_default(),
        transaction_id: row.transaction_id,
        policy_hash: hex::encode(row.policy_hash),
        state: state(row.state, row.revoked_at).to_owned(),
        revoked_at: row.revoked_at.unwrap_or_default(),
        revocation_reason: String::new(),
        superseded_by: String::new(),
    }
}

fn state(state: CertificateState, revoked_at: Option<i64>) -> &'static str {
    match state {
        CertificateState::Intent => "intent",
        CertificateState::Abandoned => "abandoned",
        CertificateState::Issued if revoked_at.is_some() => "revoked",
        CertificateState::Issued => "issued",
    }
}
