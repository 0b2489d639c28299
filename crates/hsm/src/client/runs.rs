//! What the service counted of each CA's key on each connection, until the caller has recorded it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::wire::Fingerprint;

/// Most ended runs kept. A service that cannot stay up is reached every 5 s at most, so these are hours.
const MAX_ENDED: usize = 4096;

/// One connection to the service, as far as the key of one CA is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Names the run among those of one [`Hsm`](crate::Hsm), from 0 in the order of their starts.
    pub id: u64,
    /// Process id of the service.
    pub pid: u32,
    /// Signatures of the CA key, certificates and CRLs, that the service reported with its answers: with each answer,
    /// before its signature was of use to anyone. A service that was killed may have made more, which never left it.
    pub ca_signatures: u64,
    /// The connection is gone, and the count will not change.
    pub ended: bool,
}

/// The runs of all connections, shared between the supervisor and those who ask.
#[derive(Default)]
pub(super) struct Runs {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    next_id: u64,
    /// The CAs in use.
    cas: Vec<Fingerprint>,
    /// The service that there is a connection to.
    pid: Option<u32>,
    runs: Vec<(Fingerprint, Run)>,
}

impl State {
    fn begin(&mut self, ca: Fingerprint, pid: u32) {
        let run = Run {
            id: self.next_id,
            pid,
            ca_signatures: 0,
            ended: false,
        };
        self.next_id += 1;
        self.runs.push((ca, run));
    }
}

impl Runs {
    /// Counts for this CA from now on.
    pub(super) fn count_for(&self, ca: Fingerprint) {
        let mut state = self.lock();
        if state.cas.contains(&ca) {
            return;
        }
        state.cas.push(ca);
        if let Some(pid) = state.pid {
            state.begin(ca, pid);
        }
    }

    /// A connection begins.
    pub(super) fn begin(&self, pid: u32) {
        let mut state = self.lock();
        state.pid = Some(pid);
        for ca in state.cas.clone() {
            state.begin(ca, pid);
        }
    }

    /// Takes down a count. Answers of two threads may come in another order than they were counted.
    pub(super) fn count(&self, ca: Fingerprint, ca_signatures: u64) {
        let mut state = self.lock();
        let mut runs = state.runs.iter_mut().rev();
        if let Some((_, run)) = runs.find(|(of, run)| *of == ca && !run.ended) {
            run.ca_signatures = run.ca_signatures.max(ca_signatures);
        }
    }

    /// The connection ends.
    pub(super) fn end(&self) {
        let mut state = self.lock();
        state.pid = None;
        for (_, run) in &mut state.runs {
            run.ended = true;
        }
        while state.runs.len() > MAX_ENDED {
            // A run without a signature says least.
            let unsigned = state
                .runs
                .iter()
                .position(|(_, run)| run.ca_signatures == 0);
            let (_, lost) = state.runs.remove(unsigned.unwrap_or_default());
            tracing::error!(
                pid = lost.pid,
                ca_signatures = lost.ca_signatures,
                "the count of a connection to the HSM service was not recorded in time and is dropped"
            );
        }
    }

    /// Every run of this CA that is on, and every ended one that was not forgotten, in the order of their starts.
    pub(super) fn of(&self, ca: &Fingerprint) -> Vec<Run> {
        let state = self.lock();
        let runs = state.runs.iter().filter(|(of, _)| of == ca);
        runs.map(|(_, run)| *run).collect()
    }

    /// Drops ended runs.
    pub(super) fn forget(&self, ids: &[u64]) {
        self.lock()
            .runs
            .retain(|(_, run)| !(run.ended && ids.contains(&run.id)));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is whole between any two statements, so a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CA: Fingerprint = [1; 32];
    const OTHER: Fingerprint = [2; 32];

    #[test]
    fn the_largest_count_of_a_run_is_kept_until_the_run_is_forgotten() {
        let runs = Runs::default();
        runs.count_for(CA);
        runs.begin(10);
        runs.count_for(OTHER);
        runs.count(CA, 2);
        runs.count(CA, 1);
        runs.count(OTHER, 7);
        runs.forget(&[0]);
        runs.end();
        let ended = Run {
            id: 0,
            pid: 10,
            ca_signatures: 2,
            ended: true,
        };
        assert_eq!(runs.of(&CA), [ended]);
        runs.begin(11);
        runs.count(CA, 1);
        runs.forget(&[0, 1, 2, 3]);
        let left = |ca| -> Vec<(u64, u64)> {
            let left = runs.of(ca).into_iter();
            left.map(|run| (run.id, run.ca_signatures)).collect()
        };
        assert_eq!(left(&CA), [(2, 1)]);
        assert_eq!(left(&OTHER), [(3, 0)]);
    }

    #[test]
    fn runs_that_signed_outlive_those_that_did_not() {
        let runs = Runs::default();
        runs.count_for(CA);
        for number in 0..=MAX_ENDED {
            runs.begin(1);
            runs.count(CA, u64::from(number != 7));
            runs.end();
        }
        let left = runs.of(&CA);
        assert_eq!(left.len(), MAX_ENDED);
        assert!(left.iter().all(|run| run.ca_signatures == 1));
        runs.begin(1);
        runs.end();
        assert_eq!(runs.of(&CA), left);
    }
}
