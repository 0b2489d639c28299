//! The needs that a process declares.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::{Gap, Report, SandboxError, calls, files};

/// The newest version of the Landlock interface whose restrictions were tested; a newer kernel is asked for these.
const NEWEST_ABI: u8 = 7;

/// Everything that a process may still do, beyond what any program needs: reading the system's libraries and OpenSSL's
/// configuration, and using what is open already, listeners included.
///
/// A new program can never be started, no socket can be bound and no other process can be traced, whatever is declared.
///
/// ```no_run
/// use assay_sandbox::Confinement;
/// let report = Confinement::new().read("/etc/assay").connect_tcp(7443).apply()?;
/// println!("{report}");
/// # Ok::<(), assay_sandbox::SandboxError>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing is restricted before `apply`"]
pub struct Confinement {
    pub(crate) read: Vec<PathBuf>,
    pub(crate) write: Vec<PathBuf>,
    pub(crate) connect_tcp: BTreeSet<u16>,
    pub(crate) resolve_names: bool,
    pub(crate) unix_sockets: bool,
    pub(crate) sysv_shared_memory: bool,
    pub(crate) landlock_abi: u8,
}

impl Default for Confinement {
    fn default() -> Self {
        Self::new()
    }
}

impl Confinement {
    /// Allows nothing yet.
    pub fn new() -> Self {
        Self {
            read: Vec::new(),
            write: Vec::new(),
            connect_tcp: BTreeSet::new(),
            resolve_names: false,
            unix_sockets: false,
            sysv_shared_memory: false,
            landlock_abi: NEWEST_ABI,
        }
    }

    /// Allows reading below a directory, `dlopen` included. A single file works too, but is lost once another file is
    /// renamed over it.
    pub fn read(mut self, path: impl Into<PathBuf>) -> Self {
        self.read.push(path.into());
        self
    }

    /// Allows reading in the directory of this file, so that the file can be replaced by rename, and in the directory of what
    /// it is a link to.
    pub fn read_beside(self, file: &Path) -> Self {
        let confined = self.read(folder(file));
        match file.canonicalize() {
            Ok(target) => confined.read(folder(&target)),
            // The code that needs the file reports what is wrong with it.
            Err(_) => confined,
        }
    }

    /// Allows reading, writing, creating, renaming and removing files and directories below a directory, and using the
    /// devices there; or reading and writing one file or device.
    pub fn write(mut self, path: impl Into<PathBuf>) -> Self {
        self.write.push(path.into());
        self
    }

    /// Allows [`Confinement::write`] in the directory of this file, for the side files of a database or the file that is to
    /// replace it.
    pub fn write_beside(self, file: &Path) -> Self {
        self.write(folder(file))
    }

    /// Allows TCP connections to this port, of any address. Without one no Internet socket can be made at all.
    pub fn connect_tcp(mut self, port: u16) -> Self {
        self.connect_tcp.insert(port);
        self
    }

    /// Allows DNS: datagram sockets, TCP to port 53, and reading `/etc`, where the resolver's configuration is replaced
    /// by rename. Name services behind a Unix socket (nscd, systemd-resolved) are skipped by the C library.
    pub fn resolve_names(mut self) -> Self {
        self.resolve_names = true;
        self
    }

    /// Allows Unix sockets of streams, such as that of the HSM service, of D-Bus or of p11-kit. Their own permissions decide
    /// which ones can be connected to. Sockets of datagrams, such as the system log's, stay refused.
    pub fn unix_sockets(mut self) -> Self {
        self.unix_sockets = true;
        self
    }

    /// Allows System V shared memory and semaphores.
    pub fn sysv_shared_memory(mut self) -> Self {
        self.sysv_shared_memory = true;
        self
    }

    /// Pretends that the kernel has no newer version of Landlock than this, 0 for none. For tests of what is reported.
    pub fn landlock_abi_at_most(mut self, abi: u8) -> Self {
        self.landlock_abi = self.landlock_abi.min(abi);
        self
    }

    /// Restricts this process for good, and says what the kernel cannot enforce of it.
    ///
    /// # Errors
    /// Where other threads run already, an allowed path is missing, or the kernel refuses. The process may be restricted
    /// in part then, and has to end.
    pub fn apply(&self) -> Result<Report, SandboxError> {
        let tasks = std::fs::read_dir("/proc/self/task").map_err(SandboxError::Count)?;
        match tasks.count() {
            1 => {}
            threads => return Err(SandboxError::Threads { threads }),
        }
        let landlock_abi = files::restrict(self)?;
        calls::filter(self)?;
        Ok(Report {
            landlock_abi,
            not_enforced: self.gaps(landlock_abi),
        })
    }

    fn gaps(&self, abi: u8) -> Vec<Gap> {
        let connects = self.may_connect();
        // Each with the first version that closes it, and whether it was asked for. Without `connect` no connection can be
        // made; with it a listening socket can be turned into a connection even where none can be created.
        [
            (Gap::Files, 1, true),
            (Gap::Truncation, 3, true),
            (Gap::TcpPorts, 4, connects),
            (Gap::DeviceControl, 5, true),
            (Gap::Signals, 6, true),
            (Gap::AbstractSockets, 6, self.unix_sockets),
            (Gap::UnixSockets, u8::MAX, self.unix_sockets),
        ]
        .into_iter()
        .filter(|(_, closed, asked)| *asked && abi < *closed)
        .map(|(gap, ..)| gap)
        .collect()
    }

    /// Whether anything may be connected to.
    pub(crate) fn may_connect(&self) -> bool {
        self.internet() || self.unix_sockets
    }

    /// Whether Internet sockets may be made.
    pub(crate) fn internet(&self) -> bool {
        self.resolve_names || !self.connect_tcp.is_empty()
    }
}

/// The directory of a file; a bare name is in the current one.
fn folder(file: &Path) -> &Path {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
