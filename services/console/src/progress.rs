//! A progress line for long work: on standard error, and only where that is a terminal.

use std::io::{self, IsTerminal, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Redrawn at most this often, so that drawing costs nothing beside the work.
const REDRAW: Duration = Duration::from_millis(100);

/// Counts from 0 to a total.
pub struct Progress {
    what: String,
    total: u64,
    state: Mutex<State>,
    shown: bool,
}

struct State {
    done: u64,
    drawn: Option<Instant>,
}

impl Progress {
    /// Starts at 0; `what` names the things that are counted.
    pub fn new(what: &str, total: u64) -> Self {
        Self {
            what: what.to_owned(),
            total,
            state: Mutex::new(State {
                done: 0,
                drawn: None,
            }),
            shown: io::stderr().is_terminal(),
        }
    }

    /// Counts `n` more, and draws the line if it is due.
    pub fn add(&self, n: u64) {
        let Ok(mut state) = self.state.lock() else {
            return;
        };
        state.done += n;
        if !self.shown || state.drawn.is_some_and(|at| at.elapsed() < REDRAW) {
            return;
        }
        state.drawn = Some(Instant::now());
        let _ = write!(
            io::stderr(),
            "\r\u{1b}[2K{} {}/{}",
            self.what,
            state.done,
            self.total
        );
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown {
            let _ = write!(io::stderr(), "\r\u{1b}[2K");
        }
    }
}
