//! Rights that a process gives up before it serves, so that an attacker who takes it over gains little beyond it.
//!
//! [`harden`] is the first call in every `main`. [`Confinement`] follows in a service, once its configuration is read and its
//! listeners are bound, and before any thread starts: the kernel binds the calling thread and those that it starts later.

mod calls;
mod confinement;
mod error;
mod files;
mod report;

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use rustix::thread::set_no_new_privs;

pub use confinement::Confinement;
pub use error::SandboxError;
pub use report::{Gap, Report};

/// Forbids core dumps, access to this process's memory by other processes of the same user, and new privileges by way of
/// setuid programs.
///
/// Child processes inherit all of it except the protection of memory, which ends with `execve`.
///
/// # Errors
/// Where the kernel refuses one of the three.
pub fn harden() -> Result<(), SandboxError> {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, none).map_err(|source| SandboxError::CoreLimit(source.into()))?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|source| SandboxError::Dumpable(source.into()))?;
    set_no_new_privs(true).map_err(|source| SandboxError::NoNewPrivileges(source.into()))
}
