//! The signer's database, looked at from outside after a crash and before anything recovers it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};
use assay_journal::{Journal, Known, Limits, Options, Origin};
use assay_types::{Serial, Timestamp};
use rusqlite::{Connection, OpenFlags};

use crate::installation::value;
use crate::wait;

/// An intent and the certificate that it becomes are one row.
const OPEN_INTENTS: &str =
    "SELECT lower(hex(serial)), lower(hex(tbs_digest)) FROM certificates WHERE state = 'intent'";

/// SQLite keeps what is not yet in the database in a file beside it.
const WAL_SUFFIX: &str = "-wal";

/// The intents that are open in the database of a signer that is not running: serial and TBS digest, both in hex.
///
/// # Errors
///
/// When there is no database, or it is damaged.
pub fn open_intents(dir: &Path, scratch: &Path) -> Result<BTreeMap<String, String>> {
    let connection = Connection::open(copy(dir, scratch)?)?;
    let damage: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
    anyhow::ensure!(damage == "ok", "the database is damaged: {damage}");
    let mut query = connection.prepare(OPEN_INTENTS)?;
    let intents = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(intents.collect::<Result<_, _>>()?)
}

/// The database of a signer that may be running, for looking only.
///
/// # Errors
///
/// When there is none.
pub fn read_only(dir: &Path) -> Result<Connection> {
    let connection = Connection::open_with_flags(path(dir)?, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.busy_timeout(wait::REACTION)?;
    Ok(connection)
}

/// The database of a signer that is not running, for whoever would alter it.
///
/// # Errors
///
/// When there is none.
pub fn writable(dir: &Path) -> Result<Connection> {
    Ok(Connection::open(path(dir)?)?)
}

/// Holds the one write lock of the database until dropped: whatever the signer writes meanwhile fails, its log included.
///
/// # Errors
///
/// When there is no database, or the signer does not let go of the lock.
pub fn block_writes(dir: &Path) -> Result<Connection> {
    let connection = Connection::open(path(dir)?)?;
    connection.busy_timeout(wait::REACTION)?;
    connection.execute_batch("BEGIN IMMEDIATE")?;
    Ok(connection)
}

/// Takes every stored CertRep from a signer that is not running, as after a crash between a certificate and its reply;
/// returns how many there were.
///
/// # Errors
///
/// When there is no database.
pub fn lose_replies(dir: &Path) -> Result<usize> {
    let connection = Connection::open(path(dir)?)?;
    Ok(connection.execute("DELETE FROM replies", [])?)
}

/// Puts copies of an issued certificate's row, each with a serial of its own, into the database of a signer that is not
/// running: as many certificates as an installation has after years.
///
/// # Errors
///
/// When there is no database, or no certificate in it.
pub fn multiply_certificates(dir: &Path, copies: u32) -> Result<()> {
    let mut connection = Connection::open(path(dir)?)?;
    let transaction = connection.transaction()?;
    let columns: Vec<String> = transaction
        .prepare("SELECT name FROM pragma_table_info('certificates')")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let own = ["position", "serial", "renewal_of", "superseded_by"];
    let copied: Vec<&str> = columns
        .iter()
        .map(String::as_str)
        .filter(|column| !own.contains(column))
        .collect();
    let copied = copied.join(", ");
    let mut insert = transaction.prepare(&format!(
        "INSERT INTO certificates (serial, {copied})
         SELECT ?1, {copied} FROM certificates
         WHERE position = (SELECT min(position) FROM certificates WHERE state = 'issued')"
    ))?;
    for copy in 0..copies {
        let made = insert.execute([serial(copy).as_slice()])?;
        anyhow::ensure!(made == 1, "there is no certificate to copy");
    }
    drop(insert);
    transaction.commit()?;
    enter_into_journal(dir, copies)
}

/// Enters the copies into the journal of the HSM service, as a recovery does with certificates that it did not sign. The service
/// has to be stopped; the demo gives it its files back at the next start.
fn enter_into_journal(dir: &Path, copies: u32) -> Result<()> {
    let ca: String = Connection::open(path(dir)?)?.query_row(
        "SELECT ca_id FROM certificates ORDER BY position LIMIT 1",
        [],
        |row| row.get(0),
    )?;
    let folder = dir.join("hsm/journal");
    let own = rustix::process::geteuid().as_raw();
    std::os::unix::fs::chown(&folder, Some(own), None)?;
    let (journal, _) = Journal::open(&folder, Options::new(Limits::unlimited()))?;
    let known = (0..copies).map(|copy| {
        Ok(Known {
            serial: Serial::try_from(serial(copy).as_slice())?,
            not_after: Timestamp::LAST,
        })
    });
    let known: Vec<_> = known.collect::<Result<_>>()?;
    let now = SystemTime::now().into();
    let recorded = journal.record_known(Origin::Recovery, ca.parse()?, &known, now)?;
    recorded.context("the copies are there already")?.wait()?;
    Ok(())
}

/// The serial number of a copy: positive, of the usual length, scattered as random ones are, and none that a signer draws.
fn serial(copy: u32) -> [u8; 17] {
    let mut serial = [0x11; 17];
    let [.., a, b, c, d] = &mut serial;
    [*a, *b, *c, *d] = copy.wrapping_mul(0x9e37_79b1).to_be_bytes();
    serial
}

/// The database of a running signer as it was once, to be put back as an old backup is.
#[derive(Debug)]
pub struct Snapshot {
    database: PathBuf,
    copy: PathBuf,
}

impl Snapshot {
    /// Taken if the newest head covers the last start of the signer; `None` before.
    ///
    /// # Errors
    ///
    /// When there is no database, or it cannot be copied.
    pub fn under_a_head(dir: &Path, scratch: &Path) -> Result<Option<Self>> {
        let connection = read_only(dir)?;
        let is_under_head: bool = connection.query_row(
            "SELECT (SELECT coalesce(max(size), 0) FROM checkpoints)
                 >= (SELECT max(sequence) FROM audit WHERE kind = 'service.started')",
            [],
            |row| row.get(0),
        )?;
        if !is_under_head {
            return Ok(None);
        }
        let copy = scratch.join("before.db");
        connection.execute("VACUUM INTO ?1", [copy.to_string_lossy()])?;
        let database = path(dir)?;
        Ok(Some(Self { database, copy }))
    }

    /// Puts it in the place of the database of a signer that is not running.
    ///
    /// # Errors
    ///
    /// When it cannot be.
    pub fn restore(self) -> Result<()> {
        for suffix in [WAL_SUFFIX, "-shm"] {
            let _ = std::fs::remove_file(with_suffix(&self.database, suffix));
        }
        // Over the file, whose owner and mode stay.
        std::fs::copy(&self.copy, &self.database)?;
        Ok(())
    }
}

/// Opening it would recover it, so a copy is opened.
fn copy(dir: &Path, scratch: &Path) -> Result<PathBuf> {
    let original = path(dir)?;
    let copy = scratch.join("after-a-crash.db");
    for suffix in ["", WAL_SUFFIX] {
        let (from, to) = (with_suffix(&original, suffix), with_suffix(&copy, suffix));
        let _ = std::fs::remove_file(&to);
        if from.exists() {
            std::fs::copy(&from, &to)?;
        }
    }
    Ok(copy)
}

fn path(dir: &Path) -> Result<PathBuf> {
    let path = value(&dir.join("signer.toml"), &["state", "path"])?;
    Ok(dir.join(path.as_str().context("state.path is no string")?))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
