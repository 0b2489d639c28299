//! The issued index.

use assay_proto::v1::{
    CertificateInfo, GetCertificateReply, GetCertificateRequest, ListCertificatesReply,
    ListCertificatesRequest,
};
use assay_store::{CertificateRow, CertificateState, CrlReason, Serial};

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
        .store
        .find_certificate(parsed)
        .await?
        .ok_or_else(|| AdminError::NotFound(format!("no certificate has the serial {serial}")))?;
    Ok(GetCertificateReply {
        der: row.der.clone().unwrap_or_default(),
        info: Some(info(row)),
    })
}

/// As it is told on the wire.
pub(super) fn info(row: CertificateRow) -> CertificateInfo {
    CertificateInfo {
        state: state(&row).to_owned(),
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
        revoked_at: row.revoked_at.unwrap_or_default(),
        revocation_reason: row
            .revocation_reason
            .map(|reason| reason.as_str().to_owned())
            .unwrap_or_default(),
        superseded_by: row
            .superseded_by
            .map(|serial| serial.to_string())
            .unwrap_or_default(),
    }
}

fn state(row: &CertificateRow) -> &'static str {
    match (row.state, row.revocation_reason) {
        (CertificateState::Intent, _) => "intent",
        (CertificateState::Abandoned, _) => "abandoned",
        (CertificateState::Issued, Some(CrlReason::CertificateHold)) => "held",
        (CertificateState::Issued, _) if row.revoked_at.is_some() => "revoked",
        (CertificateState::Issued, _) => "issued",
    }
}
