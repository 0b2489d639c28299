//! The signer's database, looked at from outside after a crash and before anything recovers it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};
use assay_journal::{Journal, Known, Limits, Origin};
use assay_operator::services;
use assay_store::inspect::peek;
use assay_store::{Options, StateKey, Store, StoreError};
use assay_types::{Serial, Timestamp};
use rusqlite::Connection;
use rusqlite::types::Value;
use tokio::task::JoinSet;
use zeroize::Zeroizing;

use crate::installation::value;
use crate::wait;

const COPIES_AT_ONCE: usize = 128;

/// An intent and the certificate that it becomes are one row.
const OPEN_INTENTS: &str =
    "SELECT lower(hex(serial)), lower(hex(tbs_digest)) FROM certificates WHERE state = 'intent'";

/// The intents that are open in the state of a signer that is not running: serial and TBS digest, both in hex.
///
/// # Errors
///
/// When there is no state, or it is damaged.
pub fn open_intents(dir: &Path) -> Result<BTreeMap<String, String>> {
    let connection = look(dir)?;
    let damage: String =
        connection.query_row("PRAGMA file.integrity_check", [], |row| row.get(0))?;
    anyhow::ensure!(damage == "ok", "the state file is damaged: {damage}");
    let mut query = connection.prepare(OPEN_INTENTS)?;
    let intents = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(intents.collect::<Result<_, _>>()?)
}

/// The state as it is now, of a signer that may be running, for looking only: the state is `main`, and `file` the file.
///
/// # Errors
///
/// When there is none.
pub fn look(dir: &Path) -> Result<Connection> {
    Ok(peek(&path(dir)?, &key(dir)?)?)
}

/// The state file of a signer that is not running, to be altered.
///
/// # Errors
///
/// When there is none.
pub fn writable(dir: &Path) -> Result<Connection> {
    Ok(Connection::open(path(dir)?)?)
}

/// Changes the state of a signer that is not running, as nobody can who does not have its key.
///
/// # Errors
///
/// When there is no state, or the statement fails.
pub async fn alter(dir: &Path, sql: &str) -> Result<usize> {
    let changed = open(dir)?.alter(sql.to_owned(), Vec::new()).await?;
    hand_back(dir)?;
    Ok(changed)
}

fn open(dir: &Path) -> Result<Store> {
    Ok(Store::open(&path(dir)?, &key(dir)?, &Options::default())?)
}

/// The side files of the database belong to the user who made them.
fn hand_back(dir: &Path) -> Result<()> {
    let installation = assay_operator::installation::Installation::at(dir);
    if services::have_own_users() {
        services::hand_over(&installation)?;
    }
    Ok(())
}

/// The key of the state, which the HSM service keeps.
fn key(dir: &Path) -> Result<StateKey> {
    let secret = dir.join("hsm/signer-state.secret");
    let secret = std::fs::read(&secret).with_context(|| secret.display().to_string())?;
    let secret = <[u8; 32]>::try_from(secret.as_slice())?;
    Ok(StateKey::from(Zeroizing::new(secret)))
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
/// When there is no state.
pub async fn lose_replies(dir: &Path) -> Result<usize> {
    alter(dir, "DELETE FROM replies").await
}

/// Puts copies of an issued certificate, each with a serial of its own, into the state of a signer that is not running: as many
/// certificates as an installation has after years.
///
/// # Errors
///
/// When there is no state, or no certificate in it.
pub async fn multiply_certificates(dir: &Path, copies: u32) -> Result<()> {
    let columns: Vec<String> = look(dir)?
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
    let insert = format!(
        "INSERT INTO certificates (serial, {copied})
         SELECT ?1, {copied} FROM certificates
         WHERE position = (SELECT min(position) FROM certificates WHERE state = 'issued')"
    );
    let store = open(dir)?;
    let mut made = JoinSet::new();
    for copy in 0..copies {
        let (store, insert) = (store.clone(), insert.clone());
        made.spawn(async move {
            store
                .alter(insert, vec![Value::Blob(serial(copy).to_vec())])
                .await
        });
        // As many as one commit takes.
        if made.len() == COPIES_AT_ONCE {
            inserted(&mut made).await?;
        }
    }
    inserted(&mut made).await?;
    let contents = "INSERT OR IGNORE INTO certificate_contents
         SELECT c.position, f.der FROM certificates c JOIN certificates o ON o.sha256 = c.sha256
         JOIN certificate_contents f ON f.position = o.position";
    store.alter_file(contents.to_owned(), Vec::new()).await?;
    drop(store);
    enter_into_journal(dir, copies)?;
    hand_back(dir)
}

async fn inserted(made: &mut JoinSet<Result<usize, StoreError>>) -> Result<()> {
    while let Some(copied) = made.join_next().await {
        anyhow::ensure!(copied?? == 1, "there is no certificate to copy");
    }
    Ok(())
}

/// Enters the copies into the journal of the HSM service, as a recovery does with certificates that it did not sign. The service
/// has to be stopped; the demo gives it its files back at the next start.
fn enter_into_journal(dir: &Path, copies: u32) -> Result<()> {
    let ca: String = look(dir)?.query_row(
        "SELECT ca_id FROM certificates ORDER BY position LIMIT 1",
        [],
        |row| row.get(0),
    )?;
    let folder = dir.join("hsm/journal");
    let own = rustix::process::geteuid().as_raw();
    std::os::unix::fs::chown(&folder, Some(own), None)?;
    let (journal, _) = Journal::open(&folder, assay_journal::Options::new(Limits::unlimited()))?;
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

/// The state file of a running signer as it was once, to be put back as an old backup is.
#[derive(Debug)]
pub struct Snapshot {
    state: PathBuf,
    copy: PathBuf,
}

impl Snapshot {
    /// Taken if the newest head covers the last start of the signer; `None` before.
    ///
    /// # Errors
    ///
    /// When there is no state, or it cannot be copied.
    pub fn under_a_head(dir: &Path, scratch: &Path) -> Result<Option<Self>> {
        let is_under_head: bool = look(dir)?.query_row(
            "SELECT (SELECT coalesce(max(size), 0) FROM checkpoints)
                 >= (SELECT max(sequence) FROM audit WHERE kind = 'service.started')",
            [],
            |row| row.get(0),
        )?;
        if !is_under_head {
            return Ok(None);
        }
        let copy = scratch.join("before.db");
        writable(dir)?.execute("VACUUM INTO ?1", [copy.to_string_lossy()])?;
        let state = path(dir)?;
        Ok(Some(Self { state, copy }))
    }

    /// Puts it in the place of the state file of a signer that is not running.
    ///
    /// # Errors
    ///
    /// When it cannot be.
    pub fn restore(self) -> Result<()> {
        for suffix in ["-wal", "-shm"] {
            let mut side = self.state.clone().into_os_string();
            side.push(suffix);
            let _ = std::fs::remove_file(side);
        }
        // Over the file, whose owner and mode stay.
        std::fs::copy(&self.copy, &self.state)?;
        Ok(())
    }
}

fn path(dir: &Path) -> Result<PathBuf> {
    let path = value(&dir.join("signer.toml"), &["state", "path"])?;
    Ok(dir.join(path.as_str().context("state.path is no string")?))
}
