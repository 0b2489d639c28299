//! The failures of sandboxing a process.

use std::io;
use std::path::PathBuf;

/// Why a process could not give up what it should. None of these may be ignored: the process has to end.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The limit of core dumps cannot be lowered.
    #[error("cannot limit core dumps to 0 bytes")]
    CoreLimit(#[source] io::Error),
    /// The process stays dumpable.
    #[error("cannot protect this process's memory from other processes")]
    Dumpable(#[source] io::Error),
    /// New privileges cannot be forbidden.
    #[error("cannot forbid new privileges")]
    NoNewPrivileges(#[source] io::Error),
    /// The threads of the process cannot be counted.
    #[error("cannot count this process's threads in /proc/self/task")]
    Count(#[source] io::Error),
    /// Threads that run already would stay outside.
    #[error(
        "the sandbox must be applied before other threads start, but {threads} threads are running"
    )]
    Threads {
        /// How many run, the calling one included.
        threads: usize,
    },
    /// A path that is to be allowed cannot be opened.
    #[error("{}: cannot be allowed in the sandbox; it must exist and be readable by this user", path.display())]
    Path {
        /// The path.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Landlock is there and refuses the rules.
    #[error("cannot restrict files and ports (Landlock)")]
    Landlock(#[from] landlock::RulesetError),
    /// The filter cannot be built for this processor.
    #[error("cannot build the filter of system calls")]
    Filter(#[from] seccompiler::BackendError),
    /// The kernel does not take the filter.
    #[error("cannot filter system calls (seccomp); the kernel needs CONFIG_SECCOMP_FILTER")]
    Seccomp(#[from] seccompiler::Error),
}
