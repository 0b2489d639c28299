use std::path::PathBuf;
use std::sync::Arc;

use assay_types::{CanonicalError, Serial};
use rusqlite::ErrorCode;
use rusqlite::types::Type;

use crate::{MAX_CRL_ENTRIES, MAX_ROWS};

/// Why the store did not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process holds the lock.
    #[error(
        "{path} is in use by another signer (process {holder}); one store has exactly one signer, stop that one first"
    )]
    Locked {
        /// The state file.
        path: PathBuf,
        /// Its process id as the lock file tells it, or `unknown`.
        holder: String,
    },
    /// The lock or state file could not be made.
    #[error(
        "{path} cannot be opened for writing; its directory must exist and belong to the signer's user"
    )]
    File {
        /// The file.
        path: PathBuf,
        /// The system's own error.
        #[source]
        source: std::io::Error,
    },
    /// There is no state.
    #[error(
        "there is no state in {path}: for a CA that has issued nothing, run `assay-signer --create-state` once; restore a state that was lost from a backup (docs/recovery.md)"
    )]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// There is a state already.
    #[error("{path} has a state already; start without --create-state")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file is something else.
    #[error("{path} is not a state file of this program; name another path in [state]")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file has another version of the schema.
    #[error(
        "{path} has schema version {found}, and this release reads version {known} only; run the release that wrote the file, or name a new file in [state]"
    )]
    OtherVersion {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The version of this release.
        known: u32,
    },
    /// The state cannot be rebuilt from the file.
    #[error("{path}: {source}")]
    State {
        /// The file.
        path: PathBuf,
        /// Its fault.
        source: OpenFault,
    },
    /// SQLite refused.
    #[error("the state file {path} cannot be used")]
    Sql {
        /// The file.
        path: PathBuf,
        /// Its own error.
        #[source]
        source: rusqlite::Error,
    },
}

/// Where a state file is not what this program wrote.
#[derive(Debug, thiserror::Error)]
pub enum OpenFault {
    /// The file was written under another key.
    #[error(
        "the state was written under another state key than the one that the HSM service gave; give the service its key back, or restore the state that belongs to it"
    )]
    OtherKey,
    /// A commit is gone from the middle.
    #[error("the state was altered: commit {0} is missing; restore it from a backup")]
    CommitMissing(u64),
    /// A commit is not what was written, or one before it is gone.
    #[error("the state was altered: commit {0} is not what was written; restore it from a backup")]
    CommitAltered(u64),
    /// A commit that this program wrote does not lead to the state that it led to.
    #[error("commit {0} cannot be repeated; another release wrote it")]
    CommitForm(u64),
    /// The snapshot is not what was written.
    #[error(
        "the state was altered: its snapshot is not what was written; restore it from a backup"
    )]
    Snapshot,
    /// The file has a table, index, trigger or view that is not of this program, or lacks one.
    #[error(
        "the schema was altered: {0} is not as this program made it; restore the file from a backup"
    )]
    Schema(String),
    /// SQLite refused.
    #[error("the state file cannot be read")]
    Sql(#[from] rusqlite::Error),
    /// OpenSSL failed.
    #[error("OpenSSL failed")]
    OpenSsl(#[from] openssl::error::ErrorStack),
    /// No thread could be started.
    #[error("a thread of the store cannot be started")]
    Thread(#[source] std::io::Error),
}

/// Why a query or a change failed. Nothing of a failed change is on disk.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The bounded queue is full: overload.
    #[error("the store's queue is full; try again later")]
    Busy,
    /// More rows were asked for than one answer has.
    #[error("one answer has at most {MAX_ROWS} rows, not {asked}; ask for pages")]
    TooManyRows {
        /// The operation that was asked for.
        asked: u32,
    },
    /// The store was shut down, or its writer died.
    #[error("the store is closed")]
    Closed,
    /// No space left.
    #[error("the disk of the state file is full; free some space")]
    DiskFull(#[source] Arc<rusqlite::Error>),
    /// The file is read-only, or writing it failed.
    #[error("the state file cannot be written; look at its disk, mount and permissions")]
    Unwritable(#[source] Arc<rusqlite::Error>),
    /// The file does not hold what SQLite or this program wrote.
    #[error("the state file is damaged; restore it from a backup")]
    Damaged(#[source] Arc<rusqlite::Error>),
    /// Any other failure of a statement.
    #[error("a statement of the store failed")]
    Sql(#[source] Arc<rusqlite::Error>),
    /// A value cannot be written as or read from JSON.
    #[error("a structured column of the store does not have the form that this release writes")]
    Json(#[source] Arc<serde_json::Error>),
    /// An audit record cannot be kept, and so neither can the change.
    #[error("an audit record cannot be kept")]
    Record(#[source] Arc<CanonicalError>),
    /// More certificates are revoked than one CRL may list.
    #[error("a CRL lists at most {MAX_CRL_ENTRIES} certificates; move to a new CA or to OCSP")]
    CrlTooLong,
    /// The log has no such record, or its tree has not come so far.
    #[error("the log's tree has no such record or size")]
    NotInTree,
    /// A change cannot be encoded, or its tag not be made.
    #[error("a change of the state cannot be written down")]
    Commit,
    /// A row of the file beside the commits is not as it was written.
    #[error("the state file was altered: {0} is not what was written; restore it from a backup")]
    Altered(String),
    /// There is no such intent, or it was closed before.
    #[error("there is no open intent for the serial {0}")]
    NoOpenIntent(Serial),
}

/// Something of the file whose digest is not the one that the state has.
#[derive(Debug, thiserror::Error)]
#[error("{0} is not what was written")]
pub(crate) struct Altered(String);

/// The error for a row that is read.
pub(crate) fn altered(what: String) -> rusqlite::Error {
    let altered = Box::new(Altered(what));
    rusqlite::Error::FromSqlConversionFailure(0, Type::Blob, altered)
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        if let rusqlite::Error::FromSqlConversionFailure(_, _, source) = &error
            && let Some(Altered(what)) = source.downcast_ref()
        {
            return Self::Altered(what.clone());
        }
        let code = error.sqlite_error_code();
        let error = Arc::new(error);
        match code {
            Some(ErrorCode::DiskFull) => Self::DiskFull(error),
            Some(
                ErrorCode::ReadOnly
                | ErrorCode::SystemIoFailure
                | ErrorCode::CannotOpen
                | ErrorCode::PermissionDenied,
            ) => Self::Unwritable(error),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damaged(error),
            _ => Self::Sql(error),
        }
    }
}

impl From<serde_json::Error> for StoreError {
    fn from(error: serde_json::Error) -> Self {
        Self::Json(Arc::new(error))
    }
}

impl From<CanonicalError> for StoreError {
    fn from(error: CanonicalError) -> Self {
        Self::Record(Arc::new(error))
    }
}
