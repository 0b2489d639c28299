//! A process that is started again whenever it ends, as a service manager does.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// Between an end and the next start.
const PAUSE: Duration = Duration::from_millis(50);

/// The process, killed for good when dropped.
#[derive(Debug)]
pub struct Restarted {
    state: Arc<Mutex<State>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct State {
    stopping: bool,
    pid: Option<Pid>,
    ends: Vec<ExitStatus>,
}

impl Restarted {
    /// Starts what `command` makes, and again whenever it ends.
    ///
    /// # Errors
    ///
    /// When it cannot be started at all.
    pub fn start(command: impl Fn() -> Command + Send + 'static) -> io::Result<Self> {
        let state = Arc::new(Mutex::new(State::default()));
        let mut child = spawn(&command, &state)?;
        let shared = Arc::clone(&state);
        let thread = thread::spawn(move || {
            while let Some(mut running) = child.take() {
                let ended = running.wait().unwrap_or_else(|_| ExitStatus::from_raw(0));
                let mut state = lock(&shared);
                state.pid = None;
                state.ends.push(ended);
                drop(state);
                thread::park_timeout(PAUSE);
                child = spawn(&command, &shared).unwrap_or_default();
            }
        });
        Ok(Self {
            state,
            thread: Some(thread),
        })
    }

    /// Its process id, while it runs.
    pub fn pid(&self) -> Option<Pid> {
        lock(&self.state).pid
    }

    /// How each of its runs ended.
    pub fn ends(&self) -> Vec<ExitStatus> {
        lock(&self.state).ends.clone()
    }

    /// Asks it to end (SIGTERM) and does not start it again; returns how it ended.
    pub fn stop(mut self) -> Option<ExitStatus> {
        self.end(Signal::TERM);
        self.ends().pop()
    }

    fn end(&mut self, signal: Signal) {
        let mut state = lock(&self.state);
        state.stopping = true;
        if let Some(pid) = state.pid {
            let _ = kill_process(pid, signal);
        }
        drop(state);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

impl Drop for Restarted {
    fn drop(&mut self) {
        self.end(Signal::KILL);
    }
}

/// `None` once it is not to be started any more.
fn spawn(command: &impl Fn() -> Command, state: &Mutex<State>) -> io::Result<Option<Child>> {
    let mut state = lock(state);
    if state.stopping {
        return Ok(None);
    }
    let child = command().spawn()?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    state.pid = pid;
    Ok(Some(child))
}

fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
