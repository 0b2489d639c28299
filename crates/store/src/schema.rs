use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use crate::OpenError;

/// Version of the schema. A change of the schema raises it, and a file of any other version is refused.
pub const VERSION: u32 = 4;

const SCHEMA: &str = include_str!("schema.sql");

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

/// Opens the file, or makes it with its schema.
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
    let empty = is_empty(&connection, path)?;
    connection
        .pragma_update(None, "journal_mode", "wal")
        .and_then(|()| connection.pragma_update(None, "synchronous", "full"))
        .and_then(|()| connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES))
        .and_then(|()| configure(&connection, WRITER_CACHE_KIB))
        .and_then(|()| {
            if empty {
                create(&mut connection)
            } else {
                Ok(())
            }
        })
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
            create(&mut connection)?;
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

/// Whether the file is new. A file that is not must be ours, and of this version.
fn is_empty(connection: &Connection, path: &Path) -> Result<bool, OpenError> {
    let value = |name| connection.pragma_query_value(None, name, |row| row.get::<_, u32>(0));
    let foreign = || OpenError::Foreign {
        path: path.to_owned(),
    };
    let owner = value("application_id").map_err(|_| foreign())?;
    let found = value("user_version").map_err(|_| foreign())?;
    if value("page_count").map_err(|_| foreign())? == 0 {
        return Ok(true);
    }
    if owner != APPLICATION_ID {
        return Err(foreign());
    }
    if found != VERSION {
        return Err(OpenError::OtherVersion {
            path: path.to_owned(),
            found,
            known: VERSION,
        });
    }
    Ok(false)
}

/// The schema and its version in one transaction: a crash leaves all of it or nothing.
fn create(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.execute_batch(SCHEMA)?;
    transaction.commit()
}
