//! What each run of a worker counted of the CA key, until the caller has taken it down.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Most ended runs kept. A worker that cannot stay up is started every 5 s at most, so these are hours.
const MAX_ENDED: usize = 4096;

/// One run of a worker process: from its start to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerRun {
    /// Names the run among those of one [`Hsm`](crate::Hsm), from 0 in the order of their starts.
    pub id: u64,
    /// Its worker's place among the workers, from 0.
    pub worker: usize,
    /// Its process id.
    pub pid: u32,
    /// Signatures of the CA key, certificates and CRLs, as the worker last told: with each answer, before its signature
    /// was of use to anyone. A run that was killed may have made more, which never left it.
    pub ca_signatures: u64,
    /// The process is gone, and the count will not change.
    pub ended: bool,
}

/// The runs of all workers, shared between supervisors and the handle.
#[derive(Default)]
pub(crate) struct Runs {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    next_id: u64,
    runs: Vec<WorkerRun>,
}

impl Runs {
    /// Enters a run that starts now, and returns its id.
    pub(crate) fn begin(&self, worker: usize, pid: u32) -> u64 {
        let mut state = self.lock();
        let id = state.next_id;
        state.next_id += 1;
        state.runs.push(WorkerRun {
            id,
            worker,
            pid,
            ca_signatures: 0,
            ended: false,
        });
        id
    }

    /// Takes down a count. Answers of two threads may come in another order than they were counted.
    pub(crate) fn count(&self, id: u64, ca_signatures: u64) {
        if let Some(run) = self.lock().runs.iter_mut().find(|run| run.id == id) {
            run.ca_signatures = run.ca_signatures.max(ca_signatures);
        }
    }

    /// Ends a run.
    pub(crate) fn end(&self, id: u64) {
        let mut state = self.lock();
        if let Some(run) = state.runs.iter_mut().find(|run| run.id == id) {
            run.ended = true;
        }
        let ended = |run: &&WorkerRun| run.ended;
        if state.runs.iter().filter(ended).count() > MAX_ENDED {
            // A run without a signature says least.
            let oldest = |signed: bool| {
                move |run: &WorkerRun| run.ended && (run.ca_signatures > 0) == signed
            };
            let place = state
                .runs
                .iter()
                .position(oldest(false))
                .or_else(|| state.runs.iter().position(oldest(true)));
            if let Some(place) = place {
                let lost = state.runs.remove(place);
                tracing::error!(
                    worker = lost.worker,
                    pid = lost.pid,
                    ca_signatures = lost.ca_signatures,
                    "the count of a worker's run was not taken down in time and is dropped"
                );
            }
        }
    }

    /// Every run that is on, and every ended one that was not forgotten, in the order of their starts.
    pub(crate) fn all(&self) -> Vec<WorkerRun> {
        self.lock().runs.clone()
    }

    /// Drops ended runs.
    pub(crate) fn forget(&self, ids: &[u64]) {
        self.lock()
            .runs
            .retain(|run| !(run.ended && ids.contains(&run.id)));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is whole between any two statements, so a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_count_of_a_run_stays_until_it_is_forgotten() {
        let runs = Runs::default();
        let (first, second) = (runs.begin(0, 10), runs.begin(1, 11));
        runs.count(first, 2);
        runs.count(first, 1);
        runs.forget(&[first]);
        runs.end(first);
        let ended = WorkerRun {
            id: first,
            worker: 0,
            pid: 10,
            ca_signatures: 2,
            ended: true,
        };
        assert_eq!(runs.all().first(), Some(&ended));
        runs.forget(&[first, second]);
        let left: Vec<u64> = runs.all().iter().map(|run| run.id).collect();
        assert_eq!(left, [second]);
    }

    #[test]
    fn runs_that_signed_outlive_those_that_did_not() {
        let runs = Runs::default();
        for number in 0..=MAX_ENDED {
            let id = runs.begin(0, 1);
            runs.count(id, u64::from(number != 7));
            runs.end(id);
        }
        let left = runs.all();
        assert_eq!(left.len(), MAX_ENDED);
        assert!(left.iter().all(|run| run.ca_signatures == 1));
        let id = runs.begin(0, 1);
        runs.end(id);
        assert!(left == runs.all());
    }
}
