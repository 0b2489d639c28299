//! Revocation, hold and release.

use assay_proto::v1::{
    ReleaseCertificateReply, ReleaseCertificateRequest, RevokeCertificateReply,
    RevokeCertificateRequest,
};

use super::AdministrationService;
use super::error::AdminError;

pub(super) async fn revoke(
    _service: &AdministrationService,
    _actor: &str,
    _request: RevokeCertificateRequest,
) -> Result<RevokeCertificateReply, AdminError> {
    Err(AdminError::NotServed("revocation"))
}

pub(super) async fn release(
    _service: &AdministrationService,
    _actor: &str,
    _request: ReleaseCertificateRequest,
) -> Result<ReleaseCertificateReply, AdminError> {
    Err(AdminError::NotServed("revocation"))
}
