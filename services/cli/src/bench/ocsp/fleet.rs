//! A state file as large as one of years, and how its OCSP responses stand: both by SQLite itself, from outside of the signer,
//! in the benchmark's own installation.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, params};

/// Octets of a copy's serial before its number: with it as long as those that a signer draws, and none of them.
const PREFIX: [u8; 13] = [0x11; 13];

/// Content octets of a serial number.
pub(super) type Serial = Vec<u8>;

/// All OCSP responses of a state file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Survey {
    /// Certificates with a response or a wish for one.
    pub(super) all: u64,
    /// Of them those without a response.
    pub(super) unsigned: u64,
    /// Of them those whose response was signed at the time asked for or before.
    pub(super) old: u64,
    /// First and last thisUpdate, Unix seconds; 0 where nothing is signed.
    pub(super) this_update: (i64, i64),
    /// First nextUpdate, Unix seconds; 0 where nothing is signed.
    pub(super) next_update: i64,
}

/// Puts copies of the first issued certificate's row into the file of a signer that is stopped, each with a serial of its
/// own, which it returns, and takes away all OCSP responses, so that every certificate waits for one. Nobody asked for
/// these certificates and no log tells of them: the file is of no other use than to be measured.
pub(super) fn multiply(path: &Path, copies: u32) -> rusqlite::Result<Vec<Serial>> {
    let mut connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let transaction = connection.transaction()?;
    let original: i64 = transaction.query_row(
        "SELECT position FROM certificates WHERE state = 'issued' ORDER BY position LIMIT 1",
        [],
        |row| row.get(0),
    )?;
    // By the schema itself, so that a later column is copied too; but for those that are a certificate's own.
    let columns: String = transaction.query_row(
        "SELECT group_concat(name, ', ') FROM pragma_table_info('certificates')
         WHERE name NOT IN ('position', 'serial', 'renewal_of', 'superseded_by')",
        [],
        |row| row.get(0),
    )?;
    let mut insert = transaction.prepare(&format!(
        "INSERT INTO certificates (serial, {columns})
         SELECT ?1, {columns} FROM certificates WHERE position = ?2"
    ))?;
    let mut serials = Vec::new();
    for number in 0..copies {
        let serial = [PREFIX.as_slice(), &number.to_be_bytes()].concat();
        insert.execute(params![serial, original])?;
        serials.push(serial);
    }
    drop(insert);
    transaction.execute("DELETE FROM ocsp_responses", [])?;
    transaction.commit()?;
    Ok(serials)
}

/// Looks at every response; `until` (Unix seconds) tells the old ones from the new.
pub(super) fn survey(path: &Path, until: i64) -> rusqlite::Result<Survey> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.query_row(
        "SELECT count(*), count(*) FILTER (WHERE sha1 IS NULL),
                count(*) FILTER (WHERE this_update <= ?1), ifnull(min(this_update), 0),
                ifnull(max(this_update), 0), ifnull(min(next_update), 0)
         FROM ocsp_responses",
        [until],
        |row| {
            let count = |column| row.get::<_, i64>(column).map(i64::cast_unsigned);
            Ok(Survey {
                all: count(0)?,
                unsigned: count(1)?,
                old: count(2)?,
                this_update: (row.get(3)?, row.get(4)?),
                next_update: row.get(5)?,
            })
        },
    )
}
