//! What a witness must never forget: the latest checkpoint that it cosigned of each log, in a file each.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use assay_audit::Checkpoint;
use assay_audit::note::{Note, VerifierKey};
use assay_console::failure::{Failure, OrFail, Outcome};
use assay_console::files;
use assay_types::Hash;
use rustix::fs::{FlockOperation, flock};

/// How the name of a log's file ends, after the SHA-256 of the origin.
const ENDING: &str = "checkpoint";
/// How the name of a file ends that is not whole yet.
const UNFINISHED: &str = "new";
/// Held by the one witness that may write here.
const LOCK: &str = "lock";

/// The latest checkpoints.
pub(super) struct Memory {
    directory: PathBuf,
    latest: HashMap<String, Checkpoint>,
    _lock: File,
}

impl Memory {
    /// Opens the directory, or makes it. A file that does not hold under the keys of its log is refused: to continue
    /// without it would be to forget.
    pub(super) fn open(directory: &Path, logs: &[VerifierKey]) -> Outcome<Self> {
        files::make_dir(directory)?;
        let lock = lock(directory)?;
        let what = || format!("cannot read {}", directory.display());
        let mut latest = HashMap::new();
        for entry in fs::read_dir(directory).or_fail(what())? {
            let path = entry.or_fail(what())?.path();
            if path.extension().is_some_and(|ending| ending == ENDING) {
                let checkpoint = read(&path, logs)?;
                latest.insert(checkpoint.origin.clone(), checkpoint);
            }
        }
        Ok(Self {
            directory: directory.to_owned(),
            latest,
            _lock: lock,
        })
    }

    /// Logs of which a checkpoint is known.
    pub(super) fn len(&self) -> usize {
        self.latest.len()
    }

    /// The latest of a log; `None` before the first.
    pub(super) fn latest(&self, origin: &str) -> Option<&Checkpoint> {
        self.latest.get(origin)
    }

    /// Puts a checkpoint in the place of the one before. After the return no crash loses it.
    pub(super) fn keep(&mut self, checkpoint: Checkpoint, note: &Note) -> io::Result<()> {
        let path = self.directory.join(file_name(&checkpoint.origin));
        let unfinished = path.with_extension(UNFINISHED);
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(files::PUBLIC)
            .open(&unfinished)?;
        file.write_all(note.to_string().as_bytes())?;
        file.sync_all()?;
        fs::rename(&unfinished, &path)?;
        // The new name is not durable before its directory is.
        File::open(&self.directory)?.sync_all()?;
        self.latest.insert(checkpoint.origin.clone(), checkpoint);
        Ok(())
    }
}

fn lock(directory: &Path) -> Outcome<File> {
    let path = directory.join(LOCK);
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(files::SECRET)
        .open(&path)
        .or_fail(format!("cannot open {}", path.display()))?;
    flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|error| {
        Failure::failed(format!(
            "{} belongs to a witness that runs",
            directory.display()
        ))
        .because(error)
        .next("one witness a directory: stop the other one, or give this one its own --state")
    })?;
    Ok(file)
}

fn read(path: &Path, logs: &[VerifierKey]) -> Outcome<Checkpoint> {
    let what = || {
        format!(
            "{} is not a checkpoint that this witness can have kept",
            path.display()
        )
    };
    let hint = "restore it from a copy that is not older; without the key that the log had then, name that with --log too";
    let text = files::read_text(path)?;
    let parse = || -> Outcome<Checkpoint> {
        let note: Note = text.parse().or_fail(what())?;
        let claimed: Checkpoint = note.text().parse().or_fail(what())?;
        if path.file_name() != Some(file_name(&claimed.origin).as_ref()) {
            return Err(Failure::failed(what()).because("its name is that of another log's"));
        }
        let mut keys = logs.iter().filter(|key| key.name() == claimed.origin);
        let Some(first) = keys.next() else {
            // No longer watched over; it may be again.
            return Ok(claimed);
        };
        if let Some(checkpoint) = keys.find_map(|key| Checkpoint::open(&note, key).ok()) {
            return Ok(checkpoint);
        }
        Checkpoint::open(&note, first).or_fail(what())
    };
    parse().map_err(|failure| failure.next(hint))
}

fn file_name(origin: &str) -> String {
    format!("{}.{ENDING}", Hash::of(origin.as_bytes()))
}
