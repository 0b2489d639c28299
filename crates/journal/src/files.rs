use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use assay_types::Hash;
use rustix::fs::{FallocateFlags, FlockOperation, fallocate, flock};
use rustix::io::Errno;

use crate::entry::chain;
use crate::{Error, Head};

/// First line of the file of entries.
pub(crate) const MAGIC: &[u8; 16] = b"assay-journal 1\n";
/// First line of the file of bodies.
const BODIES_MAGIC: &[u8; 16] = b"assay-bodies 1\n\n";
/// The first entry follows a page with the header and the two marks.
pub(crate) const ENTRIES_START: u64 = 4_096;
/// The first body follows the magic and the identity.
pub(crate) const BODIES_START: u64 = 48;
/// Bytes around the payload of an entry: its length and the chain after it.
pub(crate) const FRAME: u64 = 2 + 32;
/// Each mark is in a sector of its own, which a disk writes whole or not at all.
const MARKS: [u64; 2] = [512, 1_024];
const MARK: usize = 88;
/// Bytes that are allocated beyond the reserve at a time.
const STEP: u64 = 1 << 20;

/// Bytes kept allocated at the end of each of the two files for what is signed while the file system is full: a CRL every hour
/// and a checkpoint every ten seconds with 100 leaf hashes for a day.
pub const RESERVE: u64 = 32 << 20;

/// The end of a journal that was cut when it was opened: the entries being written when the service or the machine stopped.
/// None of them was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// Offset in the file of entries.
    pub offset: u64,
    /// Bytes of entries that were cut.
    pub entries: u64,
    /// Bytes of bodies that were cut.
    pub bodies: u64,
    /// What did not hold.
    pub problem: String,
}

/// Up to where the files were synced, and the head there. It is written after a sync and reaches the disk with the next one at
/// the latest, so after a loss of power it may be one group late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) entries: u64,
    pub(crate) bodies: u64,
    pub(crate) head: Head,
}

/// The two files of a journal.
#[derive(Debug)]
pub(crate) struct Files {
    pub(crate) dir: PathBuf,
    pub(crate) entries: File,
    pub(crate) bodies: File,
    pub(crate) identity: Hash,
    #[cfg(test)]
    pub(crate) fault: fault::Fault,
}

/// Which file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    Entries,
    Bodies,
}

impl Which {
    pub(crate) fn path(self, dir: &Path) -> PathBuf {
        dir.join(match self {
            Self::Entries => "entries",
            Self::Bodies => "bodies",
        })
    }
}

impl Files {
    /// Makes the directory if it is not there, and the files with their headers.
    pub(crate) fn create(dir: &Path, identity: Hash) -> Result<Self, Error> {
        if !dir.try_exists().map_err(Error::io("read", dir))? {
            DirBuilder::new()
                .mode(0o700)
                .create(dir)
                .map_err(Error::io("create", dir))?;
        }
        check_directory(dir)?;
        let make = |which: Which| {
            let path = which.path(dir);
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&path);
            file.map_err(|source| {
                if source.kind() == io::ErrorKind::AlreadyExists {
                    let dir = dir.to_owned();
                    return Error::Exists { dir };
                }
                Error::io("create", &path)(source)
            })
        };
        let files = Self {
            dir: dir.to_owned(),
            entries: make(Which::Entries)?,
            bodies: make(Which::Bodies)?,
            identity,
            #[cfg(test)]
            fault: fault::Fault::default(),
        };
        files.lock()?;
        let header = [MAGIC.as_slice(), identity.as_bytes()].concat();
        files.write(Which::Entries, &header, 0)?;
        let header = [BODIES_MAGIC.as_slice(), identity.as_bytes()].concat();
        files.write(Which::Bodies, &header, 0)?;
        Ok(files)
    }

    /// Opens the journal for appending; no other process can then.
    pub(crate) fn open(dir: &Path) -> Result<Self, Error> {
        let files = Self::open_as(dir, true)?;
        files.lock()?;
        Ok(files)
    }

    /// Opens the journal for reading. While it is read it is not pruned.
    pub(crate) fn read(dir: &Path) -> Result<Self, Error> {
        let files = Self::open_as(dir, false)?;
        flock(&files.bodies, FlockOperation::LockShared)
            .map_err(|errno| Error::io("lock", &Which::Bodies.path(dir))(errno.into()))?;
        Ok(files)
    }

    fn open_as(dir: &Path, is_write: bool) -> Result<Self, Error> {
        let missing = || Error::Missing {
            dir: dir.to_owned(),
        };
        let is_there = |path: &Path| path.try_exists().map_err(Error::io("read", path));
        if !is_there(dir)? {
            return Err(missing());
        }
        check_directory(dir)?;
        let open = |which: Which| {
            let path = which.path(dir);
            check_kind(&path)?;
            let file = OpenOptions::new().read(true).write(is_write).open(&path);
            file.map_err(Error::io("open", &path))
        };
        if !is_there(&Which::Entries.path(dir))? && !is_there(&Which::Bodies.path(dir))? {
            return Err(missing());
        }
        let (entries, bodies) = (open(Which::Entries)?, open(Which::Bodies)?);
        let header = |which: Which, file: &File, magic: &[u8; 16]| {
            let mut header = [0; 48];
            let wrong = || {
                let problem = match file.metadata().is_ok_and(|metadata| metadata.len() == 0) {
                    true => "it is empty; a copy or a creation was broken off",
                    false => {
                        "the header is not that of a journal; it is a file of another program, or its creation was broken off"
                    }
                };
                Error::damaged(&which.path(dir), 0, problem)
            };
            file.read_exact_at(&mut header, 0).map_err(|_| wrong())?;
            let identity = header.strip_prefix(magic).ok_or_else(wrong)?;
            <[u8; 32]>::try_from(identity)
                .map(Hash::from)
                .map_err(|_| wrong())
        };
        let identity = header(Which::Entries, &entries, MAGIC)?;
        if header(Which::Bodies, &bodies, BODIES_MAGIC)? != identity {
            let problem = "the bodies are those of another journal";
            return Err(Error::damaged(&Which::Bodies.path(dir), 0, problem));
        }
        Ok(Self {
            dir: dir.to_owned(),
            entries,
            bodies,
            identity,
            #[cfg(test)]
            fault: fault::Fault::default(),
        })
    }

    fn lock(&self) -> Result<(), Error> {
        match flock(&self.entries, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(()),
            Err(Errno::WOULDBLOCK) => Err(Error::Locked {
                dir: self.dir.clone(),
            }),
            Err(errno) => Err(Error::io("lock", &self.path(Which::Entries))(errno.into())),
        }
    }

    pub(crate) fn unlock(&self) {
        // The kernel does it with the last handle in any case.
        let _ = flock(&self.entries, FlockOperation::Unlock);
    }

    pub(crate) fn path(&self, which: Which) -> PathBuf {
        which.path(&self.dir)
    }

    pub(crate) fn file(&self, which: Which) -> &File {
        match which {
            Which::Entries => &self.entries,
            Which::Bodies => &self.bodies,
        }
    }

    pub(crate) fn length(&self, which: Which) -> Result<u64, Error> {
        let metadata = self.file(which).metadata();
        let metadata = metadata.map_err(Error::io("inspect", &self.path(which)))?;
        Ok(metadata.len())
    }

    pub(crate) fn write(&self, which: Which, bytes: &[u8], offset: u64) -> Result<(), Error> {
        #[cfg(test)]
        self.fault.step(which)?;
        self.file(which)
            .write_all_at(bytes, offset)
            .map_err(Error::io("write", &self.path(which)))
    }

    pub(crate) fn sync(&self, which: Which) -> Result<(), Error> {
        #[cfg(test)]
        self.fault.step(which)?;
        self.file(which)
            .sync_data()
            .map_err(Error::io("sync", &self.path(which)))
    }

    pub(crate) fn read_body(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.bodies.read_exact_at(bytes, offset)
    }

    pub(crate) fn cut(&self, which: Which, length: u64) -> Result<(), Error> {
        let file = self.file(which);
        file.set_len(length)
            .map_err(Error::io("truncate", &self.path(which)))
    }

    /// Allocates the blocks of a range without changing the length of the file: whether the file system has them.
    pub(crate) fn allocate(&self, which: Which, start: u64, length: u64) -> Result<bool, Error> {
        #[cfg(test)]
        if !self.fault.has_space(which, start + length) {
            return Ok(false);
        }
        match fallocate(self.file(which), FallocateFlags::KEEP_SIZE, start, length) {
            Ok(()) => Ok(true),
            Err(Errno::NOSPC | Errno::DQUOT | Errno::FBIG) => Ok(false),
            // Where space cannot be reserved, a full disk would stop CRLs too.
            Err(errno) => Err(Error::io(
                "reserve space (fallocate; ext4, xfs, btrfs and tmpfs can) for",
                &self.path(which),
            )(errno.into())),
        }
    }

    pub(crate) fn punch(&self, offset: u64, length: u64) -> Result<(), Error> {
        let flags = FallocateFlags::KEEP_SIZE | FallocateFlags::PUNCH_HOLE;
        fallocate(&self.bodies, flags, offset, length)
            .map_err(|errno| Error::io("drop bodies from", &self.path(Which::Bodies))(errno.into()))
    }

    /// Makes the new files' names durable.
    pub(crate) fn sync_directory(&self) -> Result<(), Error> {
        File::open(&self.dir)
            .and_then(|dir| dir.sync_all())
            .map_err(Error::io("sync", &self.dir))
    }

    pub(crate) fn write_mark(&self, mark: &Mark) -> Result<(), Error> {
        let [first, second] = MARKS;
        // The newest mark stays until the other one is written.
        let offset = match self.newest_mark() {
            Some((_, place)) if place == first => second,
            Some(_) | None => first,
        };
        self.write(Which::Entries, &self.encode_mark(mark), offset)
    }

    pub(crate) fn mark(&self) -> Result<Mark, Error> {
        let newest = self.newest_mark().map(|(mark, _)| mark);
        newest.ok_or_else(|| {
            let problem = "neither mark of the synced length holds";
            Error::damaged(&self.path(Which::Entries), 512, problem)
        })
    }

    fn newest_mark(&self) -> Option<(Mark, u64)> {
        let read = |offset| {
            let mut bytes = [0; MARK];
            self.entries.read_exact_at(&mut bytes, offset).ok()?;
            Some((self.decode_mark(&bytes)?, offset))
        };
        let marks = MARKS.into_iter().filter_map(read);
        marks.max_by_key(|(mark, _)| mark.entries)
    }

    fn encode_mark(&self, mark: &Mark) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(MARK);
        bytes.extend(mark.entries.to_be_bytes());
        bytes.extend(mark.bodies.to_be_bytes());
        bytes.extend(mark.head.size.to_be_bytes());
        bytes.extend(mark.head.hash.as_bytes());
        let check = chain(&self.identity, &bytes);
        bytes.extend(check.as_bytes());
        bytes
    }

    fn decode_mark(&self, bytes: &[u8; MARK]) -> Option<Mark> {
        let (fields, check) = bytes.split_at(MARK - 32);
        if chain(&self.identity, fields).as_bytes() != check {
            return None;
        }
        let (entries, rest) = fields.split_first_chunk()?;
        let (bodies, rest) = rest.split_first_chunk()?;
        let (size, hash) = rest.split_first_chunk()?;
        Some(Mark {
            entries: u64::from_be_bytes(*entries),
            bodies: u64::from_be_bytes(*bodies),
            head: Head {
                identity: self.identity,
                size: u64::from_be_bytes(*size),
                hash: <[u8; 32]>::try_from(hash).ok()?.into(),
            },
        })
    }
}

/// How much of a file is known to be allocated.
#[derive(Debug)]
pub(crate) struct Room {
    which: Which,
    reserve: u64,
    allocated: u64,
}

impl Room {
    /// Allocates the reserve behind `end`, or as much of it as there is: where it was allocated before, it still is.
    pub(crate) fn open(files: &Files, which: Which, end: u64, reserve: u64) -> Result<Self, Error> {
        let mut part = reserve;
        let mut allocated = end;
        // Half of the rest is tried until it fits.
        while part > 0 {
            if files.allocate(which, end, part)? {
                allocated = end + part;
                break;
            }
            part /= 2;
        }
        Ok(Self {
            which,
            reserve,
            allocated,
        })
    }

    /// Whether `more` bytes fit at `end`; with the reserve untouched, unless it may be used.
    pub(crate) fn has(
        &mut self,
        files: &Files,
        end: u64,
        more: u64,
        may_use_reserve: bool,
    ) -> Result<bool, Error> {
        let keep = if may_use_reserve { 0 } else { self.reserve };
        if end + more + keep <= self.allocated {
            return Ok(true);
        }
        for length in [more + self.reserve + STEP, more + keep] {
            if files.allocate(self.which, end, length)? {
                self.allocated = end + length;
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Opening a named pipe for reading would wait for a writer.
fn check_kind(path: &Path) -> Result<(), Error> {
    let kind = std::fs::metadata(path).map_err(Error::io("open", path))?;
    let kind = kind.file_type();
    let found = match kind {
        _ if kind.is_file() => return Ok(()),
        _ if kind.is_dir() => "a directory",
        _ if kind.is_fifo() => "a named pipe",
        _ if kind.is_socket() => "a socket",
        _ => "a device",
    };
    let path = path.to_owned();
    Err(Error::NotAFile { path, found })
}

/// The directory is ours, and nobody else's.
fn check_directory(dir: &Path) -> Result<(), Error> {
    let metadata = std::fs::symlink_metadata(dir).map_err(Error::io("inspect", dir))?;
    let problem = if !metadata.is_dir() {
        "is not a directory; move it away and restore the journal"
    } else if metadata.uid() != rustix::process::geteuid().as_raw() {
        "belongs to another user; run this as the user to whom it belongs"
    } else if metadata.mode() & 0o7777 != 0o700 {
        "must have the mode 0700; use chmod 0700 after making sure that nobody has written to it"
    } else {
        return Ok(());
    };
    Err(Error::Directory {
        dir: dir.to_owned(),
        problem,
    })
}

/// Failures that a test asks for.
#[cfg(test)]
pub(crate) mod fault {
    use std::io;
    use std::path::Path;
    use std::sync::Mutex;

    use super::Which;
    use crate::Error;

    #[derive(Debug, Default)]
    pub(crate) struct Fault {
        /// Writes and syncs that succeed before all fail.
        pub(crate) steps: Mutex<Option<usize>>,
        /// Largest end that can be allocated in each file.
        pub(crate) space: Mutex<Option<[u64; 2]>>,
    }

    impl Fault {
        pub(super) fn step(&self, which: Which) -> Result<(), Error> {
            let mut steps = self.steps.lock().unwrap();
            let Some(left) = steps.as_mut() else {
                return Ok(());
            };
            if *left == 0 {
                let source = io::Error::other("a test asked for it");
                return Err(Error::io("write", &which.path(Path::new("journal")))(
                    source,
                ));
            }
            *left -= 1;
            Ok(())
        }

        pub(super) fn has_space(&self, which: Which, end: u64) -> bool {
            let space = self.space.lock().unwrap();
            space.is_none_or(|space| end <= space[which as usize])
        }
    }
}
