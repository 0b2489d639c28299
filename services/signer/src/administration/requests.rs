//! Requests that wait for approval.

use assay_proto::v1::{
    DecideRequestReply, DecideRequestRequest, GetRequestReply, GetRequestRequest,
    ListRequestsReply, ListRequestsRequest,
};

use super::AdministrationService;
use super::error::AdminError;

pub(super) async fn list(
    _service: &AdministrationService,
    _actor: &str,
    _request: ListRequestsRequest,
) -> Result<ListRequestsReply, AdminError> {
    Err(AdminError::NotServed("approval"))
}

pub(super) async fn show(
    _service: &AdministrationService,
    _actor: &str,
    _request: GetRequestRequest,
) -> Result<GetRequestReply, AdminError> {
    Err(AdminError::NotServed("approval"))
}

pub(super) async fn decide(
    _service: &AdministrationService,
    _actor: &str,
    _request: DecideRequestRequest,
) -> Result<DecideRequestReply, AdminError> {
    Err(AdminError::NotServed("approval"))
}
