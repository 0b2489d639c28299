//! The log's own proofs: checkpoints, consistency, cosignatures, receipts.

use assay_proto::v1::{
    AddCosignatureReply, AddCosignatureRequest, GetCheckpointReply, GetCheckpointRequest,
    GetReceiptReply, GetReceiptRequest, ProveConsistencyReply, ProveConsistencyRequest,
};

use super::AdministrationService;
use super::error::AdminError;

/// The latest signed checkpoint with its cosignatures.
pub(super) async fn checkpoint(
    _service: &AdministrationService,
    _actor: &str,
    _request: GetCheckpointRequest,
) -> Result<GetCheckpointReply, AdminError> {
    Err(AdminError::NotYet)
}

/// Consistency of two sizes of the log.
pub(super) async fn consistency(
    _service: &AdministrationService,
    _actor: &str,
    _request: ProveConsistencyRequest,
) -> Result<ProveConsistencyReply, AdminError> {
    Err(AdminError::NotYet)
}

/// A witness's cosignature.
pub(super) async fn cosign(
    _service: &AdministrationService,
    _actor: &str,
    _request: AddCosignatureRequest,
) -> Result<AddCosignatureReply, AdminError> {
    Err(AdminError::NotYet)
}

/// Proof that a certificate is in the log.
pub(super) async fn receipt(
    _service: &AdministrationService,
    _actor: &str,
    _request: GetReceiptRequest,
) -> Result<GetReceiptReply, AdminError> {
    Err(AdminError::NotYet)
}
