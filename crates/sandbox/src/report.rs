//! The part of a confinement that the kernel enforces.

use std::fmt;

/// The result of [`crate::Confinement::apply`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Version of the Landlock interface in use; 0 where the kernel has none.
    pub landlock_abi: u8,
    /// Restrictions that this kernel cannot enforce.
    pub not_enforced: Vec<Gap>,
}

/// A restriction that the running kernel does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gap {
    /// Reading and writing outside the allowed directories; Landlock 1, Linux 5.13.
    Files,
    /// Truncating files outside the writable directories; Landlock 3, Linux 6.2.
    Truncation,
    /// TCP connections to ports that are not allowed; Landlock 4, Linux 6.7.
    TcpPorts,
    /// Control operations on devices; Landlock 5, Linux 6.10.
    DeviceControl,
    /// Signals to other processes; Landlock 6, Linux 6.12.
    Signals,
    /// Abstract Unix sockets of other processes; Landlock 6, Linux 6.12.
    AbstractSockets,
    /// Unix sockets at any path that the user may write to: not restricted on any kernel yet.
    UnixSockets,
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Files => "access to files outside the allowed directories",
            Self::Truncation => "truncation of files outside the writable directories",
            Self::TcpPorts => "TCP connections to ports that are not allowed",
            Self::DeviceControl => "control operations on devices",
            Self::Signals => "signals to other processes",
            Self::AbstractSockets => "connections to abstract Unix sockets",
            Self::UnixSockets => "connections to Unix sockets at other paths",
        })
    }
}

/// One line for a log or a status page.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.landlock_abi {
            0 => f.write_str("seccomp, no Landlock")?,
            abi => write!(f, "seccomp, Landlock {abi}")?,
        }
        let mut separator = "; not enforced by this kernel: ";
        for gap in &self.not_enforced {
            write!(f, "{separator}{gap}")?;
            separator = ", ";
        }
        Ok(())
    }
}
