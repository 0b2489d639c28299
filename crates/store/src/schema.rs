use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, TransactionBehavior, ffi};

use crate::OpenError;

/// Schema version of this release.
pub const VERSION: u32 = 8;

/// The n-th takes a file from `user_version` n to n + 1. Never edited after a release: only added to.
const MIGRATIONS: [&str; VERSION as usize] = [
    include_str!("../migrations/0001_initial.sql"),
    include_str!("../migrations/0002_revocation_and_approval.sql"),
    include_str!("../migrations/0003_evidence.sql"),
    include_str!("../migrations/0004_log_tree.sql"),
    include_str!("../migrations/0005_ocsp.sql"),
    include_str!("../migrations/0006_expiry.sql"),
    include_str!("../migrations/0007_issuers.sql"),
    include_str!("../migrations/0008_rollover.sql"),
];

/// `ASAY`, in the header of the file, tells it from other SQLite files.
const APPLICATION_ID: u32 = 0x4153_4159;

/// Nothing else writes the file; this is for a backup or an operator's shell that holds it for a moment.
const BUSY_TIMEOUT: Duration = Duration::from_secs(1);

/// More than the statements of this crate, so that each is compiled once.
const STATEMENTS: usize = 128;

/// Pages of 4 KiB in the WAL before a checkpoint: hot pages are written back once for about 16 MiB of commits.
const CHECKPOINT_PAGES: u32 = 4096;

/// KiB of page cache; the operating system's own cache stands behind it.
const WRITER_CACHE_KIB: u32 = 8192;
const READER_CACHE_KIB: u32 = 2048;

/// Opens or makes the file and brings its schema up to date.
pub(crate) fn open_writer(path: &Path) -> Result<Connection, OpenError> {
    let sql = |source| OpenError::Sql {
        path: path.to_owned(),
        source,
    };
    // Made here for its mode: SQLite's WAL files take theirs from it.
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|source| OpenError::File {
            path: path.to_owned(),
            source,
        })?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(sql)?;
    check_owner(&connection, path)?;
    connection
        .pragma_update(None, "journal_mode", "wal")
        .and_then(|()| connection.pragma_update(None, "synchronous", "full"))
        .and_then(|()| connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES))
        .and_then(|()| configure(&connection, WRITER_CACHE_KIB))
        .and_then(|()| migrate(&mut connection))
        .map_err(sql)?;
    Ok(connection)
}

/// Makes the database `name`, a URI, in memory.
pub(crate) fn open_memory_writer(name: &Path) -> Result<Connection, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(name, flags)
        .and_then(|mut connection| {
            configure(&connection, WRITER_CACHE_KIB)?;
            migrate(&mut connection)?;
            Ok(connection)
        })
        .map_err(|source| OpenError::Sql {
            path: name.to_owned(),
            source,
        })
}

/// Opens the file that a writer has open, for reading only.
pub(crate) fn open_reader(path: &Path) -> Result<Connection, OpenError> {
    open_for_reading(path, OpenFlags::empty())
}

/// The same for a database in memory.
pub(crate) fn open_memory_reader(name: &Path) -> Result<Connection, OpenError> {
    open_for_reading(name, OpenFlags::SQLITE_OPEN_URI)
}

fn open_for_reading(path: &Path, further: OpenFlags) -> Result<Connection, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | further;
    Connection::open_with_flags(path, flags)
        .and_then(|connection| configure(&connection, READER_CACHE_KIB).map(|()| connection))
        .map_err(|source| OpenError::Sql {
            path: path.to_owned(),
            source,
        })
}

fn configure(connection: &Connection, cache_kib: u32) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // Without it SQLite compiles a statement anew for each value that it compares with a partial index's condition.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "temp_store", "memory")?;
    // Negative is KiB, positive would be pages.
    connection.pragma_update(None, "cache_size", -i64::from(cache_kib))
}

fn check_owner(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let value = |name| connection.pragma_query_value(None, name, |row| row.get::<_, u32>(0));
    let foreign = || OpenError::Foreign {
        path: path.to_owned(),
    };
    let owner = value("application_id").map_err(|_| foreign())?;
    let found = value("user_version").map_err(|_| foreign())?;
    let empty = value("page_count").map_err(|_| foreign())? == 0;
    if owner != APPLICATION_ID && !empty {
        return Err(foreign());
    }
    if found > VERSION {
        return Err(OpenError::Newer {
            path: path.to_owned(),
            found,
            known: VERSION,
        });
    }
    Ok(())
}

/// Each step and its version number in one transaction: a crash leaves the old schema or the new one.
fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    let from: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    // A table that others refer to is rebuilt without enforcement, which cannot be switched within a transaction.
    connection.pragma_update(None, "foreign_keys", false)?;
    for (version, migration) in (1_u32..).zip(MIGRATIONS).skip(from as usize) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.execute_batch(migration)?;
        check_references(&transaction)?;
        transaction.pragma_update(None, "user_version", version)?;
        transaction.commit()?;
    }
    connection.pragma_update(None, "foreign_keys", true)
}

fn check_references(connection: &Connection) -> rusqlite::Result<()> {
    let broken: u32 =
        connection.query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| {
            row.get(0)
        })?;
    if broken == 0 {
        return Ok(());
    }
    Err(rusqlite::Error::SqliteFailure(
        ffi::Error::new(ffi::SQLITE_CONSTRAINT_FOREIGNKEY),
        Some(format!("{broken} rows refer to rows that do not exist")),
    ))
}
