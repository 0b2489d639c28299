use rusqlite::{Connection, params};

use crate::sql::Sql;
use crate::upkeep::PRUNE_BATCH;
use crate::{Store, StoreError};

/// Rows whose CSR holds the object identifier of challengePassword, DER content, after a position.
const WITH_CHALLENGE: &str = "SELECT position, csr FROM pending
     WHERE position > ?1 AND instr(csr, x'2a864886f70d010907') > 0 ORDER BY position LIMIT ?2";

impl Store {
    /// Replaces the CSRs of queued requests that hold a challengePassword by what `without` makes of them; `None` leaves one
    /// as it is. Returns how many. If any, the file is then written anew, which takes seconds for a large one, so call it
    /// before anything else is at work. Earlier releases kept CSRs whole.
    ///
    /// # Errors
    /// Where it is not on disk.
    pub async fn strip_csrs(
        &self,
        without: impl Fn(&[u8]) -> Option<Vec<u8>> + Clone + Send + 'static,
    ) -> Result<usize, StoreError> {
        let (mut after, mut stripped) = (0, 0);
        loop {
            let without = without.clone();
            let batch = self
                .write(move |connection| strip(connection, after, &without))
                .await?;
            let Some((last, changed)) = batch else { break };
            (after, stripped) = (last, stripped + changed);
        }
        if stripped > 0 {
            self.read(|connection| write_anew(connection.path()))
                .await?;
        }
        Ok(stripped)
    }
}

/// One batch: the last position and how many were changed, or `None` where no row is left.
fn strip(
    connection: &Connection,
    after: i64,
    without: &impl Fn(&[u8]) -> Option<Vec<u8>>,
) -> Result<Option<(i64, usize)>, StoreError> {
    let rows = connection.list(WITH_CHALLENGE, params![after, PRUNE_BATCH], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?))
    })?;
    let Some(&(last, _)) = rows.last() else {
        return Ok(None);
    };
    let mut changed = 0;
    for (position, csr) in rows {
        let Some(csr) = without(&csr) else { continue };
        changed += connection.change(
            "UPDATE pending SET csr = ?2 WHERE position = ?1",
            params![position, csr],
        )?;
    }
    Ok(Some((last, changed)))
}

/// Free space keeps what stood in it, also from moving rows about: nothing but a new file is rid of it.
fn write_anew(path: Option<&str>) -> Result<(), StoreError> {
    let path = path.ok_or(StoreError::Closed)?;
    let connection = Connection::open(path)?;
    connection.execute_batch("VACUUM; PRAGMA wal_checkpoint(TRUNCATE)")?;
    Ok(())
}
