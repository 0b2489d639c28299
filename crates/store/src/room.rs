//! Room on the disk for what has to be possible while it is full: a reserve beside the state file, which is given back to the file system
//! when that runs short. Until it can be made again, only urgent changes are written.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{FallocateFlags, fallocate, fstatvfs};
use rustix::io::Errno;

use crate::schema::{CHECKPOINT_PAGES, PAGE};
use crate::{OpenError, StoreError};

/// Urgent changes that the reserve is for: a revocation with its records, its CRL, its OCSP response and its checkpoint is one.
pub const URGENT_CHANGES: u64 = 500;
/// Pages that such a change adds to the WAL: 15 without a CRL, and 17 that hold a CRL of 1,700 entries.
const PAGES_OF_A_CHANGE: u64 = 32;
/// Bytes of the reserve.
pub const RESERVE: u64 = URGENT_CHANGES * PAGES_OF_A_CHANGE * PAGE;
/// The reserve is given back when fewer bytes are free: the WAL grows by so much before its pages are written back.
const LOW: u64 = CHECKPOINT_PAGES as u64 * PAGE;

/// How the last writes went, for those who ask whether the signer is ready.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trouble(Arc<Mutex<Told>>);

#[derive(Debug, Default)]
struct Told {
    trouble: Option<StoreError>,
    /// Somebody asked. Until then the signer starts, and everything that a start writes is urgent.
    is_asked: bool,
    /// A test asked for it.
    #[cfg(feature = "inspect")]
    is_read_only: bool,
}

impl Trouble {
    /// For somebody who will ask again.
    pub(crate) fn ask(&self) -> Option<StoreError> {
        let mut told = self.told();
        told.is_asked = true;
        told.trouble.clone()
    }

    #[cfg(feature = "inspect")]
    pub(crate) fn set_read_only(&self, is_read_only: bool) {
        self.told().is_read_only = is_read_only;
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The changes that may be written now.
pub(crate) struct Room {
    /// `None` for a store in memory.
    reserve: Option<Reserve>,
    is_full: bool,
    /// Why the last change was not written.
    failed: Option<StoreError>,
    trouble: Trouble,
}

impl Room {
    pub(crate) fn new(reserve: Option<Reserve>, trouble: Trouble) -> Self {
        // Until the reserve is found to be there.
        let is_full = reserve.is_some();
        let mut room = Self {
            reserve,
            is_full,
            failed: None,
            trouble,
        };
        room.look();
        room
    }

    /// Gives the reserve back where the disk runs short, or makes it again where there is space.
    pub(crate) fn look(&mut self) {
        if let Some(reserve) = &self.reserve {
            let has_space = match self.is_full {
                true => reserve.make(),
                false => reserve.has_space(),
            };
            if has_space {
                self.is_full = false;
            } else {
                self.fill();
            }
        }
        self.tell();
    }

    /// Whether only urgent changes are written.
    pub(crate) fn is_full(&self) -> bool {
        self.is_full && self.trouble.told().is_asked
    }

    /// Whether the next change has to show that the file can be written again.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.is_some()
    }

    /// Fails where a test asked for that.
    #[cfg(feature = "inspect")]
    pub(crate) fn may_write(&self) -> Result<(), StoreError> {
        if self.trouble.told().is_read_only {
            let error = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_READONLY);
            return Err(rusqlite::Error::SqliteFailure(error, None).into());
        }
        Ok(())
    }

    /// How a transaction ended that had something to write.
    pub(crate) fn ended(&mut self, result: Result<(), &StoreError>) {
        match result {
            Ok(()) => {
                self.failed = None;
                self.is_full &= self.reserve.is_some();
            }
            Err(error @ (StoreError::DiskFull(_) | StoreError::Unwritable(_))) => {
                self.failed = Some(error.clone());
                if matches!(error, StoreError::DiskFull(_)) {
                    self.fill();
                }
            }
            Err(_) => {}
        }
        self.tell();
    }

    fn fill(&mut self) {
        if !self.is_full
            && let Some(reserve) = &self.reserve
        {
            reserve.give_back();
        }
        self.is_full = true;
    }

    fn tell(&self) {
        let full = self.is_full.then_some(StoreError::DiskLow);
        self.trouble.told().trouble = self.failed.clone().or(full);
    }
}

/// A file beside the state file that holds nothing but space.
#[derive(Debug)]
pub(crate) struct Reserve {
    file: File,
    size: u64,
}

impl Reserve {
    /// Makes `STATE.reserve`, or as much of it as there is room for.
    pub(crate) fn open(state: &Path, size: u64) -> Result<Self, OpenError> {
        let path = beside(state, ".reserve");
        check_kind(&path)?;
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|source| OpenError::file(&path, source))?;
        match fallocate(&file, FallocateFlags::empty(), 0, size) {
            Ok(()) | Err(Errno::NOSPC | Errno::DQUOT | Errno::FBIG) => {
                let reserve = Self { file, size };
                reserve.make();
                Ok(reserve)
            }
            Err(errno) => Err(OpenError::Reserve {
                path,
                source: errno.into(),
            }),
        }
    }

    /// Bytes below which the file system runs short.
    fn low(&self) -> u64 {
        LOW.min(self.size / 4)
    }

    fn free(&self) -> io::Result<u64> {
        let free = fstatvfs(&self.file)?;
        Ok(free.f_bavail.saturating_mul(free.f_frsize))
    }

    fn has_space(&self) -> bool {
        self.free().is_ok_and(|free| free >= self.low())
    }

    /// Whether the reserve is there and does not fill the file system.
    fn make(&self) -> bool {
        let made = fallocate(&self.file, FallocateFlags::empty(), 0, self.size);
        let fits = made.is_ok() && self.has_space();
        if !fits {
            self.give_back();
        }
        fits
    }

    fn give_back(&self) {
        if let Err(error) = self.file.set_len(0) {
            tracing::error!(%error, "the reserve of the state file cannot be given back");
        }
    }
}

pub(crate) fn beside(state: &Path, suffix: &str) -> PathBuf {
    let mut name = state.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// The files that SQLite opens beside the state file, whatever they are.
const OF_SQLITE: [&str; 3] = ["-journal", "-wal", "-shm"];

/// Refuses a state file that is not a file, and what lies beside it where SQLite has its files, before opening it blocks or fails for a
/// reason that nobody understands.
pub(crate) fn check_kinds(state: &Path) -> Result<(), OpenError> {
    if let Some(found) = other_than_a_file(state, std::fs::metadata(state))? {
        let path = state.to_owned();
        return Err(OpenError::NotAFile { path, found });
    }
    let mut of_sqlite = OF_SQLITE.iter().map(|suffix| beside(state, suffix));
    of_sqlite.try_for_each(|path| check_kind(&path))
}

/// The same of a file beside the state file. A link is refused too.
pub(crate) fn check_kind(path: &Path) -> Result<(), OpenError> {
    match other_than_a_file(path, std::fs::symlink_metadata(path))? {
        None => Ok(()),
        Some(found) => Err(OpenError::NotOfTheState {
            path: path.to_owned(),
            found,
        }),
    }
}

/// The kind of a thing that is there in place of a file.
fn other_than_a_file(
    path: &Path,
    metadata: io::Result<Metadata>,
) -> Result<Option<&'static str>, OpenError> {
    let kind = match metadata {
        Ok(metadata) => metadata.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(OpenError::file(path, source));
        }
    };
    Ok(match kind {
        _ if kind.is_file() => None,
        _ if kind.is_dir() => Some("a directory"),
        _ if kind.is_symlink() => Some("a symbolic link"),
        _ if kind.is_fifo() => Some("a named pipe"),
        _ if kind.is_socket() => Some("a socket"),
        _ => Some("a device"),
    })
}
