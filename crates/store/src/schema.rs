use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{ErrorCode, OpenFlags, TransactionBehavior};
use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::io::Errno;

use crate::commits::Chain;
use crate::room::check_kinds;
use crate::sql::Connection;
use crate::{OpenError, OpenFault};

/// Version of both schemas. A change of one raises it, and a file of any other version is refused.
pub const VERSION: u32 = 6;

/// The state, in memory.
const STATE: &str = include_str!("state.sql");
/// The file.
const FILE: &str = include_str!("file.sql");

/// `ASAY`, in the header of the file, tells it from other SQLite files.
const APPLICATION_ID: u32 = 0x4153_4159;

/// Nothing else writes the file; this is for a backup or an operator's shell that holds it for a moment.
const BUSY_TIMEOUT: Duration = Duration::from_secs(1);

/// More than the statements of this crate, so that each is compiled once.
const STATEMENTS: usize = 128;

/// Pages of 4 KiB in the WAL before a checkpoint: hot pages are written back once for about 16 MiB of commits.
pub(crate) const CHECKPOINT_PAGES: u32 = 4096;

/// Bytes of a page, SQLite's own default.
pub(crate) const PAGE: u64 = 4096;

/// KiB of page cache; the operating system's own cache, and the state itself, are behind it.
const WRITER_CACHE_KIB: u32 = 8192;
const READER_CACHE_KIB: u32 = 2048;

/// URIs of the two databases of a store.
pub(crate) struct Names {
    /// A database in the memory of this process.
    pub(crate) state: String,
    pub(crate) file: String,
}

/// The URI of a file on disk. SQLite would look for a plain path where it found the state: in memory.
pub(crate) fn on_disk(path: &Path) -> rusqlite::Result<String> {
    let text = path.to_str();
    let text = text.ok_or_else(|| rusqlite::Error::InvalidPath(path.to_owned()))?;
    let escaped = text
        .replace('%', "%25")
        .replace('?', "%3f")
        .replace('#', "%23");
    Ok(format!("file:{escaped}?vfs=unix"))
}

/// Makes the file with its schema and the beginning of its chain.
pub(crate) fn create_file(path: &Path, chain: &Chain) -> Result<(), OpenError> {
    check_kinds(path)?;
    // Made here for its mode: SQLite's WAL files take theirs from it.
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|source| OpenError::file(path, source))?;
    let (mut file, empty) = examine(path)?;
    if !empty {
        return Err(OpenError::Exists {
            path: path.to_owned(),
        });
    }
    create(&mut file, FILE, |file| chain.begin(file)).map_err(|source| OpenError::sql(path, source))
}

/// Finds out whether there is a file that can be read and written.
pub(crate) fn check_path(path: &Path) -> Result<(), OpenError> {
    check_kinds(path)?;
    // Not by opening it: closing a file takes the locks away that SQLite has on it in this process.
    let access = Access::READ_OK | Access::WRITE_OK;
    match accessat(CWD, path, access, AtFlags::EACCESS) {
        Ok(()) => Ok(()),
        Err(Errno::NOENT) => Err(OpenError::Missing {
            path: path.to_owned(),
        }),
        Err(errno) => Err(OpenError::file(path, errno.into())),
    }
}

/// Finds out whether the file is one of this program, as this program made it.
pub(crate) fn check_file(path: &Path) -> Result<(), OpenError> {
    let (file, empty) = examine(path)?;
    if empty {
        let path = path.to_owned();
        return Err(OpenError::Empty { path });
    }
    match alien(&file).map_err(|source| OpenError::sql(path, source))? {
        None => Ok(()),
        Some(object) => Err(OpenError::State {
            path: path.to_owned(),
            source: OpenFault::Schema(object),
        }),
    }
}

/// The open file, which is empty or of this program and version.
fn examine(path: &Path) -> Result<(rusqlite::Connection, bool), OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let file = rusqlite::Connection::open_with_flags(path, flags);
    let file = file.map_err(|source| OpenError::sql(path, source))?;
    let empty = is_empty(&file, path)?;
    file.pragma_update(None, "journal_mode", "wal")
        .and_then(|()| file.pragma_update(None, "trusted_schema", false))
        .map_err(|source| OpenError::sql(path, source))?;
    Ok((file, empty))
}

/// Makes a file that is not on a disk; it is there as long as a connection to it.
pub(crate) fn create_in_memory(
    name: &str,
    chain: &Chain,
) -> rusqlite::Result<rusqlite::Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut file = rusqlite::Connection::open_with_flags(name, flags)?;
    create(&mut file, FILE, |file| chain.begin(file))?;
    Ok(file)
}

/// Opens both databases for the writer; the state has its schema and no row.
pub(crate) fn open_writer(names: &Names) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let mut connection = open(names, flags, WRITER_CACHE_KIB)?;
    connection.pragma_update(Some("file"), "synchronous", "full")?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    // The changes of a transaction stay apart from the pages of readers until its end.
    connection.pragma_update(None, "cache_spill", false)?;
    create(&mut connection, STATE, |_| Ok(()))?;
    Ok(Connection::new(connection))
}

/// Opens both databases for a reader.
pub(crate) fn open_reader(names: &Names) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
    open(names, flags, READER_CACHE_KIB).map(Connection::new)
}

fn open(names: &Names, flags: OpenFlags, cache_kib: u32) -> rusqlite::Result<rusqlite::Connection> {
    let flags = flags | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = rusqlite::Connection::open_with_flags(&names.state, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // Without it SQLite compiles a statement anew for each value that it compares with a partial index's condition.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "temp_store", "memory")?;
    connection.execute("ATTACH DATABASE ?1 AS file", [&names.file])?;
    for database in ["main", "file"] {
        // Negative is KiB, positive would be pages.
        connection.pragma_update(Some(database), "cache_size", -i64::from(cache_kib))?;
    }
    Ok(connection)
}

/// Whether the file is new. A file that is not must be ours, and of this version.
fn is_empty(file: &rusqlite::Connection, path: &Path) -> Result<bool, OpenError> {
    let value = |name| file.pragma_query_value(None, name, |row| row.get::<_, u32>(0));
    let foreign = || OpenError::Foreign {
        path: path.to_owned(),
    };
    let unread = |source: rusqlite::Error| match source.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) if !begins_as_sqlite(path) => foreign(),
        _ => OpenError::sql(path, source),
    };
    let owner = value("application_id").map_err(unread)?;
    let found = value("user_version").map_err(unread)?;
    // Switching an empty file to a WAL gives it a first page.
    let objects = "SELECT count(*) FROM sqlite_schema";
    let objects = file.query_row(objects, [], |row| row.get::<_, u32>(0));
    if (owner, found) == (0, 0) && objects.map_err(unread)? == 0 {
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

/// Whether the first bytes are those of an SQLite file, as they are of one that was damaged further on.
fn begins_as_sqlite(path: &Path) -> bool {
    let mut begin = [0; 16];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut begin));
    read.is_ok() && begin == *b"SQLite format 3\0"
}

/// A table, index, trigger or view of the file that this program did not make, or one that it made and that is not there.
fn alien(file: &rusqlite::Connection) -> rusqlite::Result<Option<String>> {
    let ours = rusqlite::Connection::open_in_memory()?;
    ours.execute_batch(FILE)?;
    let (ours, found) = (objects(&ours)?, objects(file)?);
    let other = ours.iter().find(|it| !found.contains(it));
    let other = found.iter().find(|it| !ours.contains(it)).or(other);
    Ok(other.map(|(kind, name, _)| format!("{kind} {name}")))
}

/// Kind, name and statement of each object of a schema.
fn objects(of: &rusqlite::Connection) -> rusqlite::Result<Vec<(String, String, Option<String>)>> {
    let mut statement = of.prepare("SELECT type, name, sql FROM sqlite_schema")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    rows.collect()
}

/// The schema, its version and the first rows in one transaction: a crash leaves all of it or nothing.
fn create(
    connection: &mut rusqlite::Connection,
    schema: &str,
    begin: impl FnOnce(&rusqlite::Connection) -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.execute_batch(schema)?;
    begin(&transaction)?;
    transaction.commit()
}
