//! The log with all that an auditor needs to decide again, as a stream.

use std::pin::Pin;

use assay_proto::v1::{ExportItem, ExportRequest};
use tokio_stream::Stream;
use tonic::Status;

use super::AdministrationService;
use super::error::AdminError;

/// What is streamed.
pub(super) type Items = Pin<Box<dyn Stream<Item = Result<ExportItem, Status>> + Send>>;

/// Everything from the head to the last leaf.
pub(super) async fn stream(
    _service: &AdministrationService,
    _actor: &str,
    _request: ExportRequest,
) -> Result<Items, AdminError> {
    Err(AdminError::NotYet)
}
