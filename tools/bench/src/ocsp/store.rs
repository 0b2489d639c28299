//! The state file of a stopped installation, filled with as many certificates as that of years, and how its OCSP responses
//! are. It is read and written as the database that it is: the signer has no mode for it.

use std::path::Path;

use assay_types::Timestamp;
use rusqlite::{Connection, OpenFlags, params};

/// Bytes of a copy's serial before its number: with it as long as those that a signer draws, and none of them.
const PREFIX: [u8; 13] = [0x11; 13];

/// Odd, and 2^32 over the golden ratio: its multiples modulo 2^32 are all numbers, in no order to speak of.
const SCATTER: u32 = 0x9e37_79b1;

/// All OCSP responses of a state file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OcspSurvey {
    /// Certificates with a response, or waiting for one.
    pub(super) all: u64,
    /// Of them those without a response.
    pub(super) unsigned: u64,
    /// Of them those whose response was signed at the time asked for or before.
    pub(super) old: u64,
    /// First and last thisUpdate; 1970 where nothing is signed.
    pub(super) this_update: (Timestamp, Timestamp),
    /// First nextUpdate; 1970 where nothing is signed.
    pub(super) next_update: Timestamp,
}

/// Puts copies of the first issued certificate's row into a state file that no signer has open, each with a serial of its
/// own, which it returns, and takes away all OCSP responses, so that every certificate waits for one. The log does not know
/// these certificates: the file serves to be measured, and for nothing else.
pub(super) fn multiply(path: &Path, copies: u32) -> rusqlite::Result<Vec<Vec<u8>>> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
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
        // Each number once, and scattered as random serials are: the schedule goes by their last bytes.
        let scattered = number.wrapping_mul(SCATTER);
        let serial = [PREFIX.as_slice(), &scattered.to_be_bytes()].concat();
        insert.execute(params![serial, original])?;
        serials.push(serial);
    }
    drop(insert);
    transaction.execute("DELETE FROM ocsp_responses", [])?;
    transaction.commit()?;
    Ok(serials)
}

/// Looks at every response; `until` separates the old ones from the new. A signer may have the file open.
pub(super) fn survey(path: &Path, until: Timestamp) -> rusqlite::Result<OcspSurvey> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.query_row(
        "SELECT count(*), count(*) FILTER (WHERE sha1 IS NULL),
                count(*) FILTER (WHERE this_update <= ?1), ifnull(min(this_update), 0),
                ifnull(max(this_update), 0), ifnull(min(next_update), 0)
         FROM ocsp_responses",
        [until],
        |row| {
            let count = |column| row.get::<_, i64>(column).map(i64::cast_unsigned);
            Ok(OcspSurvey {
                all: count(0)?,
                unsigned: count(1)?,
                old: count(2)?,
                this_update: (row.get(3)?, row.get(4)?),
                next_update: row.get(5)?,
            })
        },
    )
}
