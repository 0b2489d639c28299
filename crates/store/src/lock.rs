use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use crate::OpenError;
use crate::room::{beside, check_kind};

/// A process id fits; whatever else stands in the file is not read.
const MAX_HOLDER: u64 = 16;

/// Held as long as the store: the kernel drops it with the process, however that ends.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Locks `PATH.lock`, a file of its own since SQLite uses locks on the state file itself.
    pub(crate) fn take(state: &Path) -> Result<Self, OpenError> {
        let path = beside(state, ".lock");
        check_kind(&path)?;
        let file_error = |source| OpenError::file(&path, source);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(file_error)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut holder = String::new();
                let read = file.take(MAX_HOLDER).read_to_string(&mut holder);
                if read.is_err() || holder.is_empty() {
                    holder = "unknown".to_owned();
                }
                return Err(OpenError::Locked {
                    path: state.to_owned(),
                    holder,
                });
            }
            Err(errno) => return Err(file_error(errno.into())),
        }
        file.set_len(0)
            .and_then(|()| write!(file, "{}", std::process::id()))
            .map_err(file_error)?;
        Ok(Self { _file: file })
    }
}
