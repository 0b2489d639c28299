//! What the signer keeps of its decisions: enough for anybody to make them again, no secret, and not for ever.

mod again;
mod pruning;
mod secrets;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use assay_audit::Record;
use assay_tests::store;

/// What the database holds of the evidence: salt, content and until when, by sequence number.
type Kept = BTreeMap<u64, ([u8; 32], Vec<u8>, i64)>;

fn kept(dir: &Path) -> Result<Kept> {
    let connection = store::look(dir)?;
    let mut query =
        connection.prepare("SELECT sequence, salt, content, keep_until FROM evidence")?;
    let rows = query.query_map([], |row| {
        let sequence: i64 = row.get(0)?;
        Ok((
            sequence.cast_unsigned(),
            (row.get(1)?, row.get(2)?, row.get(3)?),
        ))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn log(dir: &Path) -> Result<Vec<Record>> {
    let connection = store::look(dir)?;
    let mut query = connection.prepare("SELECT record FROM audit ORDER BY sequence")?;
    let rows = query.query_map([], |row| row.get::<_, Vec<u8>>(0))?;
    rows.map(|bytes| Ok(Record::from_canonical(&bytes?)?))
        .collect()
}
