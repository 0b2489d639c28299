//! What the HSM service counted, as it is recorded: each run, whenever its count changed, and once for the last time.

use std::collections::BTreeMap;

use assay_audit::Event;
use assay_hsm::Run;

use super::Span;

/// Counts that are in the log, by run.
#[derive(Default)]
pub(super) struct Counts {
    recorded: BTreeMap<u64, Count>,
}

/// One count of one run.
#[derive(Clone, Copy)]
pub(super) struct Count {
    run: Run,
    last: bool,
}

impl Counts {
    /// Those of `runs` that the log does not tell yet.
    pub(super) fn changed(&self, runs: &[Run], span: Span) -> Vec<Count> {
        runs.iter()
            .filter_map(|run| {
                let before = self.recorded.get(&run.id);
                let told = before.map_or(0, |before| before.run.ca_signatures);
                let ends = run.ended || span == Span::Closing;
                let ended = before.is_some_and(|before| before.last);
                let tells = run.ca_signatures != told || (ends && !ended);
                tells.then_some(Count {
                    run: *run,
                    last: ends || ended,
                })
            })
            .collect()
    }

    /// Takes down that they are recorded; returns the runs that will never count again.
    pub(super) fn written(&mut self, counts: Vec<Count>) -> Vec<u64> {
        let mut ended = Vec::new();
        for count in counts {
            if count.run.ended {
                self.recorded.remove(&count.run.id);
                ended.push(count.run.id);
            } else {
                self.recorded.insert(count.run.id, count);
            }
        }
        ended
    }
}

impl Count {
    pub(super) fn event(&self) -> Event {
        Event::HsmCounted {
            run: self.run.id,
            pid: self.run.pid,
            ca_signatures: self.run.ca_signatures,
            last: self.last,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(id: u64, ca_signatures: u64, ended: bool) -> Run {
        Run {
            id,
            pid: 7,
            ca_signatures,
            ended,
        }
    }

    fn told(counts: &mut Counts, runs: &[Run], span: Span) -> Vec<(u64, u64, bool)> {
        let changed = counts.changed(runs, span);
        let told = changed
            .iter()
            .map(|count| (count.run.id, count.run.ca_signatures, count.last))
            .collect();
        counts.written(changed);
        told
    }

    #[test]
    fn a_count_is_told_when_it_changed_and_once_when_it_is_the_last() {
        let mut counts = Counts::default();
        let mut tell = |runs: &[Run], span| told(&mut counts, runs, span);
        assert_eq!(tell(&[run(0, 0, false)], Span::Running), []);
        assert_eq!(tell(&[run(0, 2, false)], Span::Running), [(0, 2, false)]);
        assert_eq!(tell(&[run(0, 2, false)], Span::Running), []);
        // Killed and replaced: its last count is told although it did not change, and so is one of nothing.
        let replaced = [run(0, 2, true), run(1, 0, true), run(2, 5, false)];
        let wanted = [(0, 2, true), (1, 0, true), (2, 5, false)];
        assert_eq!(tell(&replaced, Span::Running), wanted);
        assert_eq!(tell(&[run(2, 5, false)], Span::Closing), [(2, 5, true)]);
        assert_eq!(tell(&[run(2, 5, false)], Span::Running), []);
    }

    #[test]
    fn ended_runs_are_forgotten_once_they_are_told() {
        let mut counts = Counts::default();
        let changed = counts.changed(&[run(0, 2, true), run(1, 1, false)], Span::Running);
        assert_eq!(counts.written(changed), [0]);
    }
}
