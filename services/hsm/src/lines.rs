//! Log lines that others can cause at will: some in each interval, and of the rest their number.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How often the number of lines that were left out is written.
pub(crate) const INTERVAL: Duration = Duration::from_secs(10);

/// About processes that are not the peer.
pub(crate) static STRANGERS: Lines = Lines::new("processes turned away that are not the peer", 1);
/// About the peer's connections.
pub(crate) static CONNECTIONS: Lines = Lines::new("connections of the peer", 40);
/// About operations of the peer that are refused.
pub(crate) static REFUSALS: Lines = Lines::new("operations refused", 40);

/// Lines of one kind, whichever connection causes them: a client that connects anew gets no further ones.
pub(crate) struct Lines {
    kind: &'static str,
    most: u64,
    /// In this interval, with those that were left out.
    caused: AtomicU64,
}

impl Lines {
    const fn new(kind: &'static str, most: u64) -> Self {
        Self {
            kind,
            most,
            caused: AtomicU64::new(0),
        }
    }

    /// Writes the line, or counts it where there were enough of its kind in this interval.
    pub(crate) fn write(&self, line: impl FnOnce()) {
        if self.caused.fetch_add(1, Ordering::Relaxed) < self.most {
            line();
        }
    }

    /// Lines left out in the interval that ends now.
    fn end_interval(&self) -> u64 {
        let caused = self.caused.swap(0, Ordering::Relaxed);
        caused.saturating_sub(self.most)
    }
}

/// Ends an interval: writes how many lines of each kind were left out in it.
pub(crate) fn end_interval() {
    for lines in [&STRANGERS, &CONNECTIONS, &REFUSALS] {
        let left_out = lines.end_interval();
        if left_out > 0 {
            tracing::warn!(left_out, kind = lines.kind, "lines left out of this log");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_lines_of_each_interval_are_written_and_the_rest_is_counted() {
        let lines = Lines::new("test", 2);
        for _ in 0..2 {
            let mut written = 0;
            for _ in 0..5 {
                lines.write(|| written += 1);
            }
            assert_eq!((written, lines.end_interval()), (2, 3));
        }
        lines.write(|| ());
        assert_eq!(lines.end_interval(), 0);
    }
}
