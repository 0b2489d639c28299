use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use zeroize::Zeroizing;

use crate::commits::{Chain, StateKey};
use crate::lock::Lock;
use crate::reader::Readers;
use crate::room::{RESERVE, Reserve, Room, Trouble};
use crate::schema::Names;
use crate::sql::Connection;
use crate::writer::{Gate, Need, Target, Verdict, Writer};
use crate::{OpenError, OpenFault, StoreError, schema};

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
    /// Commits after which a start or the end takes a snapshot: those since the last one are run again at each start.
    pub snapshot_after: u64,
    /// Bytes beside the state file that are kept for urgent changes on a full disk.
    pub reserve: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            write_queue: 1024,
            read_queue: 1024,
            batch: 128,
            readers: 2,
            snapshot_after: 10_000,
            reserve: RESERVE,
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
    /// Makes the state file at `path`, for a CA that has issued nothing, and opens it.
    ///
    /// # Errors
    /// [`OpenError::Exists`] where there is one; else as [`Store::open`].
    pub fn create(path: &Path, key: &StateKey, options: &Options) -> Result<Self, OpenError> {
        let lock = Lock::take(path)?;
        let chain = Chain::new(key).map_err(|error| state(path, error.into()))?;
        schema::create_file(path, &chain)?;
        let reserve = Reserve::open(path, options.reserve)?;
        Self::on_disk(path, chain, (lock, reserve), options).map_err(|fault| state(path, fault))
    }

    /// Locks the state file at `path` and rebuilds the state from it in memory. Blocks for the time of that.
    ///
    /// # Errors
    /// [`OpenError::Locked`] where another process has it open, [`OpenError::Missing`] where there is none,
    /// [`OpenError::State`] where it is not what was written under this key; else what must be repaired first.
    pub fn open(path: &Path, key: &StateKey, options: &Options) -> Result<Self, OpenError> {
        let lock = Lock::take(path)?;
        let chain = Chain::new(key).map_err(|error| state(path, error.into()))?;
        schema::check_path(path)?;
        // On a full disk SQLite cannot even read the file before the reserve is given back.
        let reserve = Reserve::open(path, options.reserve)?;
        schema::check_file(path)?;
        Self::on_disk(path, chain, (lock, reserve), options).map_err(|fault| state(path, fault))
    }

    /// A new store without a file, of the same schema and behind the same threads, which is gone with its last clone. For
    /// tests of what is built on a store.
    ///
    /// # Errors
    /// Where a thread cannot be started.
    pub fn in_memory(options: &Options) -> Result<Self, OpenError> {
        let file = memory("file");
        let path = PathBuf::from(&file);
        let start = || {
            let chain = Chain::new(&StateKey::from(Zeroizing::new([0; 32])))?;
            // There until the writer holds it.
            let _file = schema::create_in_memory(&file, &chain)?;
            Self::start(file, chain, None, options)
        };
        start().map_err(|fault| state(&path, fault))
    }

    fn on_disk(
        path: &Path,
        chain: Chain,
        disk: (Lock, Reserve),
        options: &Options,
    ) -> Result<Self, OpenFault> {
        Self::start(schema::on_disk(path)?, chain, Some(disk), options)
    }

    fn start(
        file: String,
        mut chain: Chain,
        disk: Option<(Lock, Reserve)>,
        options: &Options,
    ) -> Result<Self, OpenFault> {
        let state = memory("state");
        let names = Names { state, file };
        let mut connection = schema::open_writer(&names)?;
        chain.replay(&mut connection)?;
        if let Err(error) = chain.take_snapshot(&mut connection, options.snapshot_after) {
            tracing::warn!(error = ?error, "no snapshot of the state was written");
        }
        let gate = Gate::default();
        let readers = (0..options.readers.max(1)).map(|_| schema::open_reader(&names));
        let readers = readers.collect::<Result<Vec<_>, _>>()?;
        let readers = Readers::start(readers, &gate, options.read_queue)?;
        let (lock, reserve) = disk.unzip();
        let trouble = Trouble::default();
        let target = Target {
            connection,
            chain,
            gate,
            room: Room::new(reserve, trouble.clone()),
        };
        let writer = Writer::start(target, lock, options, trouble)?;
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
        self.inner.writer.write(Need::Ordinary, work).await
    }

    /// As [`Store::write`], also while the disk is full.
    pub(crate) async fn write_urgently<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.write_urgently_if(|connection| work(connection).map(Verdict::Keep))
            .await
    }

    /// As [`Store::write_if`], also while the disk is full.
    pub(crate) async fn write_urgently_if<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<Verdict<T>, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.inner.writer.write(Need::Urgent, work).await
    }

    #[cfg(feature = "inspect")]
    pub(crate) fn trouble(&self) -> &Trouble {
        &self.inner.writer.trouble
    }

    /// Looks for room on the disk, writes where the last change could not be written, and says what is wrong, if anything is.
    /// To be called every second or so: it is what finds out that a disk has room again.
    ///
    /// # Errors
    /// Why changes are not written, or only urgent ones.
    pub async fn probe(&self) -> Result<(), StoreError> {
        let probed = self.write_urgently(|_| Ok(())).await;
        match self.inner.writer.trouble.ask() {
            Some(trouble) => Err(trouble),
            // A queue that is full is written.
            None if matches!(probed, Err(StoreError::Busy)) => Ok(()),
            None => probed,
        }
    }
}

/// A database that the connections of this process share, which the leading slash makes SQLite's memdb do.
pub(crate) fn memory(kind: &str) -> String {
    static DATABASES: AtomicU64 = AtomicU64::new(0);
    let number = DATABASES.fetch_add(1, Ordering::Relaxed);
    format!("file:/assay-{kind}-{number}?vfs=memdb")
}

/// Both databases of an empty store in memory, for tests of single statements.
#[cfg(test)]
pub(crate) fn scratch() -> Connection {
    let start = || {
        let (state, file) = (memory("state"), memory("file"));
        let chain = Chain::new(&StateKey::from(Zeroizing::new([0; 32])))?;
        let _file = schema::create_in_memory(&file, &chain)?;
        Ok::<_, OpenFault>(schema::open_writer(&Names { state, file })?)
    };
    start().expect("memory is there")
}

fn state(path: &Path, source: OpenFault) -> OpenError {
    let path = path.to_owned();
    OpenError::State { path, source }
}
