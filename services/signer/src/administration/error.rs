//! Why an administrative call failed, and its gRPC status: the one place where the two meet.

use assay_issuance::{ClockJumped, NotAccepted};
use assay_store::StoreError;
use assay_types::Serial;
use tonic::Status;

/// Each text says what would be right.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdminError {
    #[error("there is no profile `{name}`; {}", list(known))]
    UnknownProfile { name: String, known: Vec<String> },
    #[error("{0}")]
    Invalid(String),
    #[error("{0}")]
    NotFound(String),
    #[error("{0}")]
    WrongState(String),
    #[error("{0}")]
    Busy(&'static str),
    #[error("the state cannot be read or written")]
    Store(#[from] StoreError),
    #[error("the record cannot be written")]
    Record(#[from] assay_types::CanonicalError),
    #[error("what is stored of the log is not what was written")]
    Damaged(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error(
        "{call} is done and recorded, but no signed head covers it yet ({why}): until one does, an older state file that is put back could undo it; repeat the command"
    )]
    Uncovered { call: String, why: String },
    #[error(
        "the change of {serial} is recorded and not published yet ({why}): the next CRL that can be signed shows it; repeat the command to have one signed"
    )]
    Unpublished { serial: Serial, why: String },
    #[error("not while the time is not known")]
    Clock(#[from] ClockJumped),
    #[error(transparent)]
    NotAccepted(#[from] NotAccepted),
    #[error("OpenSSL failed")]
    OpenSsl(#[from] openssl::error::ErrorStack),
}

fn list(known: &[String]) -> String {
    if known.is_empty() {
        return "no policy is in force".to_owned();
    }
    format!("the known profiles are {}", known.join(", "))
}

impl From<AdminError> for Status {
    fn from(error: AdminError) -> Self {
        let text = assay_runtime::telemetry::chain(&error);
        match error {
            AdminError::UnknownProfile { .. } | AdminError::NotFound(_) => Self::not_found(text),
            AdminError::Busy(_) => Self::resource_exhausted(text),
            AdminError::Invalid(_) => Self::invalid_argument(text),
            AdminError::WrongState(_)
            | AdminError::NotAccepted(_)
            | AdminError::Store(StoreError::CrlTooLong { .. }) => Self::failed_precondition(text),
            AdminError::Store(
                StoreError::Busy
                | StoreError::DiskLow
                | StoreError::DiskFull(_)
                | StoreError::Unwritable(_),
            )
            | AdminError::Clock(_)
            | AdminError::Uncovered { .. }
            | AdminError::Unpublished { .. } => Self::unavailable(text),
            AdminError::Store(_)
            | AdminError::Record(_)
            | AdminError::Damaged(_)
            | AdminError::OpenSsl(_) => {
                tracing::error!(error = text, "administrative call failed");
                Self::internal(text)
            }
        }
    }
}
