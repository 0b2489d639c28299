use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

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
    /// [`OpenError::Locked`] where another process has it open; else what must be repaired first.
    pub fn open(path: &Path, options: &Options) -> Result<Self, OpenError> {
        let lock = Lock::take(path)?;
        let connection = schema::open_writer(path)?;
        let reader = || schema::open_reader(path);
        Self::start(reader, connection, Some(lock), options)
    }

    /// A new store in memory, of the same schema and behind the same threads, which is gone with its last clone. For
    /// tests of what stands on a store.
    ///
    /// # Errors
    /// Where a thread cannot be started.
    pub fn in_memory(options: &Options) -> Result<Self, OpenError> {
        static STORES: AtomicU64 = AtomicU64::new(0);
        // The leading slash makes SQLite's memdb share the database between the connections of this process.
        let number = STORES.fetch_add(1, Ordering::Relaxed);
        let name = PathBuf::from(format!("file:/assay-{number}?vfs=memdb"));
        let connection = schema::open_memory_writer(&name)?;
        let reader = || schema::open_memory_reader(&name);
        Self::start(reader, connection, None, options)
    }

    fn start(
        reader: impl Fn() -> Result<Connection, OpenError>,
        writer: Connection,
        lock: Option<Lock>,
        options: &Options,
    ) -> Result<Self, OpenError> {
        let readers = (0..options.readers.max(1))
            .map(|_| reader())
            .collect::<Result<Vec<_>, _>>()?;
        let readers = Readers::start(readers, options.read_queue)?;
        let writer = Writer::start(writer, lock, options.write_queue, options.batch.max(1))?;
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
