use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use assay_types::{CanonicalError, MAX_CRL_ENTRIES, Serial};
use rusqlite::ErrorCode;
use rusqlite::types::Type;

use crate::MAX_ROWS;

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
    /// The state file, or one beside it, could not be opened.
    #[error("{path} cannot be opened for writing: {remedy}")]
    File {
        /// The file.
        path: PathBuf,
        /// The way out.
        remedy: &'static str,
        /// The system's own error.
        #[source]
        source: io::Error,
    },
    /// The file system cannot set space aside.
    #[error(
        "no space can be set aside in {path}, which revocations need on a full disk; move the state to a file system that can (ext4, xfs, btrfs, tmpfs)"
    )]
    Reserve {
        /// The file of the reserve.
        path: PathBuf,
        /// The system's own error.
        #[source]
        source: io::Error,
    },
    /// Something else than a file.
    #[error("{path} is {found} and not a file; move it away and restore the state there")]
    NotAFile {
        /// Its path.
        path: PathBuf,
        /// Its kind.
        found: &'static str,
    },
    /// The same, where SQLite has a file beside the state file.
    #[error("{path} is {found} and not a file of the state; move it away")]
    NotOfTheState {
        /// Its path.
        path: PathBuf,
        /// Its kind.
        found: &'static str,
    },
    /// A file without content.
    #[error(
        "{path} is empty: a copy or a creation was broken off; remove it, then restore the newest state, or run `assay-signer --create-state` for a CA that has issued nothing"
    )]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The file is not whole.
    #[error(
        "the state file {path} is truncated or damaged; look at the disk, then restore the newest state"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// SQLite's own error.
        #[source]
        source: rusqlite::Error,
    },
    /// The disk is full.
    #[error("the disk of the state file {path} is full; free some space, then start again")]
    Full {
        /// The file.
        path: PathBuf,
        /// SQLite's own error.
        #[source]
        source: rusqlite::Error,
    },
    /// The file, its directory or its file system is read-only.
    #[error(
        "the state file {path} cannot be written; make its file system writable again (remount), and the file and its directory the signer's (chown)"
    )]
    ReadOnly {
        /// The file.
        path: PathBuf,
        /// SQLite's own error.
        #[source]
        source: rusqlite::Error,
    },
    /// Another program has the file open.
    #[error("another program has the state file {path} locked; end that program")]
    InUse {
        /// The file.
        path: PathBuf,
        /// SQLite's own error.
        #[source]
        source: rusqlite::Error,
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
    #[error("{path} is a file of another program; move it away and restore the state there")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file has another version of the schema.
    #[error(
        "{path} has schema version {found}, and this release reads version {known} only; {} release wrote it: run that release", if found > known { "a newer" } else { "an older" }
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

impl OpenError {
    /// With the way out of the system's error.
    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "the kinds of errors of the standard library and of SQLite are not exhaustive"
    )]
    pub(crate) fn file(path: &Path, source: io::Error) -> Self {
        let remedy = match source.kind() {
            ErrorKind::NotFound => "its directory is not there; mount it, or restore it",
            ErrorKind::PermissionDenied => {
                "make the file and its directory the signer's user's (chown)"
            }
            ErrorKind::ReadOnlyFilesystem => {
                "its file system is read-only; look at the disk, then make it writable again (remount)"
            }
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                "its disk is full; free some space, then start again"
            }
            ErrorKind::IsADirectory => {
                "it is a directory; move it away and restore the state there"
            }
            _ => "look at its disk and its mount",
        };
        Self::File {
            path: path.to_owned(),
            remedy,
            source,
        }
    }

    /// With the way out of SQLite's error.
    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "the kinds of errors of the standard library and of SQLite are not exhaustive"
    )]
    pub(crate) fn sql(path: &Path, source: rusqlite::Error) -> Self {
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::Damaged { path, source }
            }
            Some(ErrorCode::DiskFull) => Self::Full { path, source },
            Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
                Self::ReadOnly { path, source }
            }
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                Self::InUse { path, source }
            }
            _ => Self::Sql { path, source },
        }
    }
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
    /// A value has another type than it was written with.
    #[error(
        "the state was altered: column {0} has a value of another type; restore it from a backup"
    )]
    Type(String),
    /// SQLite refused.
    #[error("the state file cannot be read; look at its disk, then restore it from a backup")]
    Sql(#[source] rusqlite::Error),
    /// OpenSSL failed.
    #[error("OpenSSL failed")]
    OpenSsl(#[from] openssl::error::ErrorStack),
    /// No thread could be started.
    #[error("a thread of the store cannot be started")]
    Thread(#[source] io::Error),
}

impl From<rusqlite::Error> for OpenFault {
    fn from(error: rusqlite::Error) -> Self {
        if let rusqlite::Error::InvalidColumnType(_, column, _) = error {
            Self::Type(column)
        } else if let rusqlite::Error::FromSqlConversionFailure(column, _, _) = error {
            Self::Type(column.to_string())
        } else {
            Self::Sql(error)
        }
    }
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
    /// Little space is left, and that is for urgent changes.
    #[error(
        "the disk of the state file is full: stops, revocations, holds, CRLs and OCSP responses are still written, to a reserve, and nothing else; free some space"
    )]
    DiskLow,
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
    #[error(
        "the CRL of the CA {ca_id} has {MAX_CRL_ENTRIES} entries, and no CRL has more, so nothing further can be revoked until listed certificates expire; issue from a new CA (docs/rollover.md)"
    )]
    CrlTooLong {
        /// The CA.
        ca_id: String,
    },
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
    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "the kinds of errors of the standard library and of SQLite are not exhaustive"
    )]
    fn from(error: rusqlite::Error) -> Self {
        if let rusqlite::Error::FromSqlConversionFailure(_, _, source) = &error
            && let Some(Altered(what)) = source.downcast_ref()
        {
            return Self::Altered(what.clone());
        }
        if let rusqlite::Error::InvalidColumnType(_, column, _) = &error {
            return Self::Altered(format!("a value of column {column}"));
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

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    /// Some of these cannot happen to a test that runs as root.
    #[test]
    fn each_error_of_the_system_has_its_way_out() {
        for (errno, remedy) in [
            (Errno::ACCESS, "chown"),
            (Errno::ROFS, "remount"),
            (Errno::NOSPC, "free some space"),
            (Errno::DQUOT, "free some space"),
            (Errno::NOENT, "directory is not there"),
            (Errno::IO, "look at its disk"),
        ] {
            let error = OpenError::file(Path::new("signer.db"), errno.into());
            let text = error.to_string();
            assert!(text.contains(remedy), "{errno}: {text}");
        }
    }
}
