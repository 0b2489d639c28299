//! The one thread that writes. What queues up while it works is committed together: one fdatasync for all of it.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use crate::commits::Chain;
use crate::lock::Lock;
use crate::room::{Room, Trouble};
use crate::sql::{BEGIN, COMMIT, Connection, ROLLBACK};
use crate::{OpenFault, Options, StoreError};

/// Where changes go.
pub(crate) struct Target {
    pub(crate) connection: Connection,
    pub(crate) chain: Chain,
    pub(crate) gate: Gate,
    pub(crate) room: Room,
}

/// Which changes are written while the disk is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    Ordinary,
    /// Takes something from an attacker: a stop, a revocation, a CRL, a head of the log.
    Urgent,
}

/// Closed to readers while a transaction changes the state in memory, which they read without a copy.
pub(crate) type Gate = Arc<RwLock<()>>;

/// What becomes of a job's changes.
pub(crate) enum Verdict<T> {
    Keep(T),
    Undo(T),
}

#[derive(Debug)]
pub(crate) struct Writer {
    jobs: Option<SyncSender<Box<dyn Job>>>,
    pub(crate) trouble: Trouble,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(crate) fn start(
        mut target: Target,
        lock: Option<Lock>,
        options: &Options,
        trouble: Trouble,
    ) -> Result<Self, OpenFault> {
        let (jobs, receiver) = sync_channel(options.write_queue);
        let (batch, snapshot_after) = (options.batch.max(1), options.snapshot_after);
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || {
                run(&mut target, &receiver, batch);
                // Readers have ended. Nothing is lost without it but time at the next start.
                if let Err(error) = target
                    .chain
                    .take_snapshot(&mut target.connection, snapshot_after)
                {
                    tracing::warn!(error = ?error, "no snapshot of the state was written");
                }
                drop(target);
                drop(lock);
            })
            .map_err(OpenFault::Thread)?;
        Ok(Self {
            jobs: Some(jobs),
            trouble,
            thread: Some(thread),
        })
    }

    /// Runs `work` in a savepoint of the next commit and returns once that commit is on disk.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        need: Need,
        work: impl FnOnce(&Connection) -> Result<Verdict<T>, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Work {
            need,
            work: Some(work),
            result: None,
            reply,
        });
        let jobs = self.jobs.as_ref().ok_or(StoreError::Closed)?;
        jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => StoreError::Busy,
            TrySendError::Disconnected(_) => StoreError::Closed,
        })?;
        answer.await.unwrap_or(Err(StoreError::Closed))
    }
}

impl Drop for Writer {
    /// Waits until all that was queued is on disk.
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the store's writer thread had panicked");
        }
    }
}

trait Job: Send {
    fn need(&self) -> Need;
    /// Fails only if the transaction cannot continue.
    fn run(&mut self, connection: &Connection, scope: Scope) -> Result<(), StoreError>;
    fn answer(self: Box<Self>, committed: Result<(), StoreError>);
}

/// How far a job that must be undone is rolled back.
#[derive(Clone, Copy)]
enum Scope {
    /// All of the transaction: nothing but this job is in it yet. At low load that is every job, and it spares SQLite
    /// the copy of each page that a savepoint costs.
    Transaction,
    /// Its own savepoint.
    Savepoint,
}

impl Scope {
    fn enter(self, connection: &Connection) -> rusqlite::Result<()> {
        match self {
            Self::Transaction => Ok(()),
            Self::Savepoint => connection.control("SAVEPOINT job"),
        }
    }

    fn keep(self, connection: &Connection) -> rusqlite::Result<()> {
        match self {
            Self::Transaction => Ok(()),
            Self::Savepoint => connection.control("RELEASE job"),
        }
    }

    fn undo(self, connection: &Connection) -> rusqlite::Result<()> {
        match self {
            Self::Transaction => {
                connection.control(ROLLBACK)?;
                connection.control(BEGIN)
            }
            Self::Savepoint => {
                connection.control("ROLLBACK TO job")?;
                connection.control("RELEASE job")
            }
        }
    }
}

struct Work<F, T> {
    need: Need,
    work: Option<F>,
    result: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<F, T> Job for Work<F, T>
where
    F: FnOnce(&Connection) -> Result<Verdict<T>, StoreError> + Send,
    T: Send,
{
    fn need(&self) -> Need {
        self.need
    }

    fn run(&mut self, connection: &Connection, scope: Scope) -> Result<(), StoreError> {
        let Some(work) = self.work.take() else {
            return Ok(());
        };
        scope.enter(connection)?;
        let noted = connection.noted();
        let (keep, result) = match work(connection) {
            Ok(Verdict::Keep(value)) => (true, Ok(value)),
            Ok(Verdict::Undo(value)) => (false, Ok(value)),
            Err(error) => (false, Err(error)),
        };
        if keep {
            scope.keep(connection)?;
        } else {
            connection.forget(noted);
            if let Err(gone) = scope.undo(connection) {
                // SQLite itself rolled everything back, over the error that the job met.
                return Err(result.err().unwrap_or(gone.into()));
            }
        }
        self.result = Some(result);
        Ok(())
    }

    /// A job that changed nothing may have seen changes of others in the batch, so it shares the batch's fate too.
    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        let Self { result, reply, .. } = *self;
        let result = committed.and_then(|()| result.unwrap_or(Err(StoreError::Closed)));
        // The caller may have gone away; what is on disk stays.
        let _ = reply.send(result);
    }
}

fn run(target: &mut Target, jobs: &Receiver<Box<dyn Job>>, limit: usize) {
    while let Ok(first) = jobs.recv() {
        target.room.look();
        if !may_run(&target.room, &*first) {
            first.answer(Err(StoreError::DiskLow));
            continue;
        }
        let mut batch = Vec::with_capacity(limit);
        batch.push(first);
        let committed = commit(target, jobs, &mut batch, limit);
        if let Err(error) = &committed {
            tracing::error!(error = ?error, jobs = batch.len(), "a commit failed");
        }
        for job in batch {
            job.answer(committed.clone());
        }
    }
}

fn may_run(room: &Room, job: &dyn Job) -> bool {
    !room.is_full() || job.need() == Need::Urgent
}

fn commit(
    target: &mut Target,
    jobs: &Receiver<Box<dyn Job>>,
    batch: &mut Vec<Box<dyn Job>>,
    limit: usize,
) -> Result<(), StoreError> {
    let Target {
        connection,
        chain,
        gate,
        room,
    } = target;
    // An SQLite database in memory cannot be read while it is written.
    let _alone = gate.write().unwrap_or_else(PoisonError::into_inner);
    let mut writes = false;
    let done = run_batch(connection, jobs, batch, limit, room).and_then(|()| {
        if room.has_failed() {
            // Shows whether the file can be written again, also where no job changes anything.
            writes = true;
            let again = "UPDATE file.commits SET tag = tag WHERE number = 0";
            connection.write_file(again, [])?;
        }
        let sealed = chain.seal(connection.take_changes())?;
        if let Some(sealed) = &sealed {
            writes = true;
            sealed.write(connection)?;
        }
        #[cfg(feature = "inspect")]
        if writes {
            room.may_write()?;
        }
        Ok(sealed)
    });
    // SQLite writes the file before the state in memory is changed for good, and undoes both where that fails.
    let committed = done.and_then(|sealed| {
        connection.control(COMMIT)?;
        if let Some(sealed) = sealed {
            chain.advance(sealed);
        }
        Ok(())
    });
    if committed.is_err() {
        connection.forget(0);
        if !connection.is_autocommit() {
            connection.control(ROLLBACK)?;
        }
    }
    if writes || committed.is_err() {
        room.ended(committed.as_ref().copied());
    }
    committed
}

fn run_batch(
    connection: &Connection,
    jobs: &Receiver<Box<dyn Job>>,
    batch: &mut Vec<Box<dyn Job>>,
    limit: usize,
    room: &Room,
) -> Result<(), StoreError> {
    // Takes the write locks at once, so that no statement of a job can fail for want of one.
    connection.control(BEGIN)?;
    connection.check_schema()?;
    let mut next = 0;
    while let Some(job) = batch.get_mut(next) {
        let scope = if next == 0 {
            Scope::Transaction
        } else {
            Scope::Savepoint
        };
        job.run(connection, scope)?;
        next += 1;
        if batch.len() < limit
            && let Ok(job) = jobs.try_recv()
        {
            if may_run(room, &*job) {
                batch.push(job);
            } else {
                job.answer(Err(StoreError::DiskLow));
            }
        }
    }
    Ok(())
}
