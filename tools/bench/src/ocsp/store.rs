//! How the OCSP responses of an installation are, read from its state.

use std::path::Path;

use assay_store::StateKey;
use assay_store::inspect::peek;
use assay_types::Timestamp;

use crate::failure::{OrFail, Outcome};

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

/// Looks at every response; `until` separates the old ones from the new. A signer may have the file open.
pub(super) fn survey(path: &Path, key: &StateKey, until: Timestamp) -> Outcome<OcspSurvey> {
    let what = "the state cannot be read";
    let connection = peek(path, key).or_fail(what)?;
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
    survey.or_fail(what)
}
