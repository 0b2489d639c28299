//! Who may make which call: the one list, held by a golden table in the tests.

use assay_runtime::identity::{Identity, Role};
use tonic::Status;

/// The roles that may make a call.
pub(super) type Allowed = &'static [Role];

/// Reads state and changes nothing.
pub(super) const READ: Allowed = &[Role::Operator, Role::Approver, Role::Auditor];
/// Reads what an auditor takes home, or adds to the proof that nothing was changed.
pub(super) const EVIDENCE: Allowed = &[Role::Operator, Role::Auditor];
/// Runs the service.
pub(super) const OPERATE: Allowed = &[Role::Operator];
/// Brings policy into force. What counts are the signatures on the proposal; who carries it may be either.
pub(super) const POLICY: Allowed = &[Role::Operator, Role::Approver];

/// Turns away a caller of another role.
#[allow(clippy::result_large_err, reason = "tonic's own error type")]
pub(super) fn hold(caller: &Identity, call: &str, allowed: Allowed) -> Result<(), Status> {
    if allowed.contains(&caller.role()) {
        return Ok(());
    }
    let allowed: Vec<&str> = allowed.iter().map(|role| role.as_str()).collect();
    tracing::warn!(%caller, call, "call refused: the role may not make it");
    Err(Status::permission_denied(format!(
        "{caller} may not call {call}: it is for the role {}",
        allowed.join(" or ")
    )))
}
