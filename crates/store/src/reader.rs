use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use crate::sql::Connection;
use crate::writer::Gate;
use crate::{OpenFault, StoreError};

type Query = Box<dyn FnOnce(&Connection) + Send>;

/// A few threads, each with a read-only connection: readers never wait for the writer (WAL).
#[derive(Debug)]
pub(crate) struct Readers {
    queries: Option<SyncSender<Query>>,
    threads: Vec<JoinHandle<()>>,
}

impl Readers {
    pub(crate) fn start(
        connections: Vec<Connection>,
        gate: &Gate,
        queue: usize,
    ) -> Result<Self, OpenFault> {
        let (queries, receiver) = sync_channel(queue);
        let receiver = Arc::new(Mutex::new(receiver));
        let mut readers = Self {
            queries: Some(queries),
            threads: Vec::new(),
        };
        for connection in connections {
            let receiver = Arc::clone(&receiver);
            let gate = Arc::clone(gate);
            let thread = std::thread::Builder::new()
                .name("store-reader".to_owned())
                .spawn(move || run(&connection, &receiver, &gate))
                .map_err(OpenFault::Thread)?;
            readers.threads.push(thread);
        }
        Ok(readers)
    }

    /// Runs `query` on a reader; each of its statements sees all that was committed before.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let query: Query = Box::new(move |connection| {
            // The caller may have gone away.
            let found = connection.check_schema().and_then(|()| query(connection));
            let _ = reply.send(found);
        });
        let queries = self.queries.as_ref().ok_or(StoreError::Closed)?;
        queries.try_send(query).map_err(|error| match error {
            TrySendError::Full(_) => StoreError::Busy,
            TrySendError::Disconnected(_) => StoreError::Closed,
        })?;
        answer.await.unwrap_or(Err(StoreError::Closed))
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.queries = None;
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a reader thread of the store had panicked");
            }
        }
    }
}

fn run(connection: &Connection, queries: &Mutex<Receiver<Query>>, gate: &Gate) {
    loop {
        let next = queries
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .recv();
        match next {
            Ok(query) => {
                let _open = gate.read().unwrap_or_else(PoisonError::into_inner);
                query(connection);
            }
            Err(_closed) => return,
        }
    }
}
