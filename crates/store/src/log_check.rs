use assay_audit::tree::Frontier;
use assay_types::Hash;

use crate::recovery::Lost;
use crate::sql::Connection;
use crate::{CheckpointRow, Store, StoreError, checkpoints, tree};

/// The log as it was found to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogState {
    /// The newest checkpoint, where there is one.
    pub checkpoint: Option<CheckpointRow>,
    /// Of the tree of that checkpoint; empty without one.
    pub frontier: Frontier,
    /// Records, those after the checkpoint included.
    pub records: u64,
    /// Of the tree of the size that was asked for; `None` where the log is shorter.
    pub asked: Option<Frontier>,
}

/// Where the log is not what was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogFault {
    /// A record is gone from the middle or the beginning.
    #[error("the audit log was altered: record {0} is missing")]
    Missing(u64),
    /// A record is not the one that the tree has.
    #[error("the audit log was altered: record {0} is not what was written, its hash differs")]
    Record(u64),
    /// Records are gone from the end.
    #[error("the audit log was cut: it has {records} records of {size}")]
    Cut {
        /// Leaves of the tree.
        size: u64,
        /// Records that are there.
        records: u64,
    },
    /// There are more records than leaves of the tree.
    #[error("the audit log was altered: record {0} is not one that this program wrote")]
    Foreign(u64),
    /// The tree does not have the root that was signed.
    #[error("the log's tree of {0} records does not have the root of the checkpoint of that size")]
    Root(u64),
}

impl Store {
    /// Reads every record of the log and compares it with the tree, and the tree with the newest checkpoint; finds the tree of
    /// `size` records. It takes a while on a long log: for the start, when nobody waits for a reader.
    ///
    /// # Errors
    /// Where the store cannot be read; the inner error names the first fault.
    pub async fn check_log(&self, size: u64) -> Result<Result<LogState, LogFault>, StoreError> {
        self.read(move |connection| check(connection, size)).await
    }
}

fn check(connection: &Connection, asked: u64) -> Result<Result<LogState, LogFault>, StoreError> {
    let checkpoint = checkpoints::latest(connection)?;
    let size = checkpoint
        .as_ref()
        .map_or(0, |newest| newest.checkpoint.size);
    let last = tree::last_leaf(connection)?;
    let mut frontier = Frontier::new();
    let mut signed = Frontier::new();
    let mut of_asked = (asked == 0).then(|| frontier.clone());
    let mut tree = Leaves::default();
    let lost = Lost::read(connection)?;
    let mut statement =
        connection.prepare("SELECT sequence, record FROM file.audit ORDER BY sequence")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let found = row.get::<_, i64>(0)?.cast_unsigned();
        let mut add = |frontier: &mut Frontier, leaf| {
            frontier.append(leaf);
            if frontier.size() == size {
                signed = frontier.clone();
            }
            if frontier.size() == asked {
                of_asked = Some(frontier.clone());
            }
        };
        // Of the records that a backup lacked only the hashes are known, and the file must have none of them.
        while found > frontier.size() + 1
            && lost.has(frontier.size() + 1)
            && let Some(leaf) = tree.next(connection, &frontier)?
        {
            add(&mut frontier, leaf);
        }
        let sequence = frontier.size() + 1;
        if sequence > last || lost.has(sequence) {
            return Ok(Err(LogFault::Foreign(found)));
        }
        if found != sequence {
            return Ok(Err(LogFault::Missing(sequence)));
        }
        let leaf = Hash::of_leaf(row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?);
        if tree.next(connection, &frontier)? != Some(leaf) {
            return Ok(Err(LogFault::Record(sequence)));
        }
        add(&mut frontier, leaf);
    }
    let records = frontier.size();
    Ok(match checkpoint {
        _ if records < last => Err(LogFault::Cut {
            size: last,
            records,
        }),
        Some(newest) if signed.root() != newest.checkpoint.root => Err(LogFault::Root(size)),
        checkpoint => Ok(LogState {
            checkpoint,
            frontier: signed,
            records,
            asked: of_asked,
        }),
    })
}

/// Leaves that are read at once.
const LEAVES: u64 = 16_384;

/// The leaves of the tree, in order.
#[derive(Default)]
struct Leaves(std::vec::IntoIter<Hash>);

impl Leaves {
    /// The one after those of `frontier`.
    fn next(
        &mut self,
        connection: &Connection,
        frontier: &Frontier,
    ) -> Result<Option<Hash>, StoreError> {
        if self.0.len() == 0 {
            self.0 = tree::leaves(connection, frontier.size(), LEAVES)?.into_iter();
        }
        Ok(self.0.next())
    }
}
