//! A state file as large as one of years, and how its OCSP responses stand, for whoever measures. No part of the signer's
//! own work: it looks at the file from outside.

use std::path::Path;

use rusqlite::{Connection, params};

use crate::lock::Lock;
use crate::{OpenError, Serial, schema};

/// Octets of a copy's serial before its number: with it as long as those that a signer draws, and none of them.
const PREFIX: [u8; 13] = [0x11; 13];

/// Odd, and 2^32 over the golden ratio: its multiples modulo 2^32 are all numbers, in no order to speak of.
const SCATTER: u32 = 0x9e37_79b1;

/// All OCSP responses of a state file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OcspSurvey {
    /// Certificates with a response or a wish for one.
    pub all: u64,
    /// Of them those without a response.
    pub unsigned: u64,
    /// Of them those whose response was signed at the time asked for or before.
    pub old: u64,
    /// First and last thisUpdate, Unix seconds; 0 where nothing is signed.
    pub this_update: (i64, i64),
    /// First nextUpdate, Unix seconds; 0 where nothing is signed.
    pub next_update: i64,
}

/// Puts copies of the first issued certificate's row into a state file that no signer has open, each with a serial of its
/// own, which it returns, and takes away all OCSP responses, so that every certificate waits for one. Nobody asked for
/// these certificates and no log tells of them: the file is of no other use than to be measured.
///
/// # Errors
/// Where a signer has the file open, where it is none, and where it holds no certificate.
pub fn multiply_certificates(path: &Path, copies: u32) -> Result<Vec<Serial>, OpenError> {
    let _lock = Lock::take(path)?;
    let mut connection = schema::open_writer(path)?;
    copy(&mut connection, copies).map_err(|source| OpenError::Sql {
        path: path.to_owned(),
        source,
    })
}

/// Looks at every response; `until` (Unix seconds) tells the old ones from the new. A signer may have the file open.
///
/// # Errors
/// Where the file cannot be read.
pub fn survey_ocsp(path: &Path, until: i64) -> Result<OcspSurvey, OpenError> {
    let connection = schema::open_reader(path)?;
    let survey = connection.query_row(
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
    );
    survey.map_err(|source| OpenError::Sql {
        path: path.to_owned(),
        source,
    })
}

fn copy(connection: &mut Connection, copies: u32) -> rusqlite::Result<Vec<Serial>> {
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
        // Each number once, and scattered as random serials are: the schedule goes by their last octets.
        let scattered = number.wrapping_mul(SCATTER);
        let octets = [PREFIX.as_slice(), &scattered.to_be_bytes()].concat();
        let Ok(serial) = Serial::try_from(octets.as_slice()) else {
            continue;
        };
        insert.execute(params![serial, original])?;
        serials.push(serial);
    }
    drop(insert);
    transaction.execute("DELETE FROM ocsp_responses", [])?;
    transaction.commit()?;
    Ok(serials)
}
