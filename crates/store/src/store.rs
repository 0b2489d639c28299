use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;

use crate::lock::Lock;
use crate::reader::Readers;
use crate::writer::{Verdict, Writer};
use crate::{OpenError, StoreError, schema};

/// Bounds of the store. The defaults fit the signer's own bounds on requests in flight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Changes that wait for a commit; past it [`StoreError::Busy`].
    pub write_queue: usize,
    /// Queries that wait for a reader; past it [`StoreError::Busy`].
    pub read_queue: usize,
    /// Changes in one commit: bounds how long the first of them waits for the last.
    pub batch: usize,
    /// Reader threads.
    pub readers: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            write_queue: 1024,
            read_queue: 1024,
            batch: 128,
            readers: 2,
        }
    }
}

/// The open state file. Clones share it; the last one dropped waits for what is queued, then closes it.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

/// Fields drop in order: the writer closes last and so can put the WAL back into the file.
#[derive(Debug)]
struct Inner {
    readers: Readers,
    writer: Writer,
}

impl Store {
    /// Locks the state file at `path` and opens it, or makes it. Blocks for the time of that.
    ///
    /// # Errors
    /// [`OpenError::Locked`] where another process has it open; else what must be mended first.
    pub fn open(path: &Path, options: &Options) -> Result<Self, OpenError> {
        let lock = Lock::take(path)?;
        let connection = schema::open_writer(path)?;
        let readers = (0..options.readers.max(1))
            .map(|_| schema::open_reader(path))
            .collect::<Result<Vec<_>, _>>()?;
        let readers = Readers::start(readers, options.read_queue)?;
        let writer = Writer::start(connection, lock, options.write_queue, options.batch.max(1))?;
        Ok(Self {
            inner: Arc::new(Inner { readers, writer }),
        })
    }

    pub(crate) async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.inner.readers.read(query).await
    }

    /// All of `work`'s changes or none.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.write_if(|connection| work(connection).map(Verdict::Keep))
            .await
    }

    /// As [`Store::write`], for work that may find that it must change nothing.
    pub(crate) async fn write_if<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<Verdict<T>, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.inner.writer.write(work).await
    }
}
