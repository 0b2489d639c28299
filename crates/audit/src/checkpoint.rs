//! Checkpoints (C2SP tlog-checkpoint): the size and the root of a log, as a note that its key signs.

use std::fmt;
use std::str::FromStr;

use assay_types::Hash;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::note::{Note, NoteError, SignatureError, VerifierKey};

/// Longest origin, in bytes.
pub const MAX_ORIGIN: usize = 200;

/// Most extension lines that are read, and the longest, in bytes.
const MAX_EXTENSIONS: usize = 8;
const MAX_EXTENSION: usize = 200;

/// The state of a log at one size, as its key signs it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checkpoint {
    /// The log's name: a URL without scheme, by custom. It names the log's key as well.
    pub origin: String,
    /// Records.
    pub size: u64,
    /// Root hash over their leaf hashes.
    pub root: Hash,
    /// The extension lines. A cosignature covers them; only the log and its auditors know what they mean.
    pub extensions: Vec<String>,
}

/// Why a note is no checkpoint of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// No signed note.
    #[error("not a signed note")]
    Note(#[from] NoteError),
    /// Its text is no checkpoint.
    #[error(
        "a checkpoint's text has three lines, each ended by a newline: origin, size as a decimal without leading zeros, root as \
         base64 of 32 bytes; at most {MAX_EXTENSIONS} extension lines of 1 to {MAX_EXTENSION} bytes may follow"
    )]
    Text,
    /// The origin can be no log's.
    #[error("an origin has 1 to {MAX_ORIGIN} printable characters without spaces and plus signs")]
    Origin,
    /// Another log's.
    #[error("its origin is not the name of the log's key")]
    OtherLog,
    /// The log's own signature does not hold.
    #[error("the log's signature does not hold")]
    Signature(#[from] SignatureError),
}

impl Checkpoint {
    /// Reads a note that the log's key signed, and under whose name it is.
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub fn open(note: &Note, log: &VerifierKey) -> Result<Self, CheckpointError> {
        let checkpoint: Self = note.text().parse()?;
        if checkpoint.origin != log.name() {
            return Err(CheckpointError::OtherLog);
        }
        log.verify(note)?;
        Ok(checkpoint)
    }

    /// Whether it can be the name of a log: as for the name of a note's key, and not too long for a line.
    pub fn is_origin(origin: &str) -> bool {
        (1..=MAX_ORIGIN).contains(&origin.len())
            && origin
                .chars()
                .all(|c| !c.is_whitespace() && !c.is_control() && c != '+')
    }
}

impl FromStr for Checkpoint {
    type Err = CheckpointError;

    fn from_str(text: &str) -> Result<Self, CheckpointError> {
        let mut lines = text
            .strip_suffix('\n')
            .ok_or(CheckpointError::Text)?
            .split('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next())
        else {
            return Err(CheckpointError::Text);
        };
        if !Self::is_origin(origin) {
            return Err(CheckpointError::Origin);
        }
        // One more than may be there shows that there are too many.
        let extensions: Vec<String> = lines.take(MAX_EXTENSIONS + 1).map(str::to_owned).collect();
        let fits = |line: &String| (1..=MAX_EXTENSION).contains(&line.len());
        if extensions.len() > MAX_EXTENSIONS || !extensions.iter().all(fits) {
            return Err(CheckpointError::Text);
        }
        let root = BASE64.decode(root).map_err(|_| CheckpointError::Text)?;
        let root: [u8; 32] = root.try_into().map_err(|_| CheckpointError::Text)?;
        let checkpoint = Self {
            origin: origin.to_owned(),
            size: size.parse().map_err(|_| CheckpointError::Text)?,
            root: Hash::from(root),
            extensions,
        };
        // Signs, leading zeros and other spellings of the same number.
        if checkpoint.to_string() != text {
            return Err(CheckpointError::Text);
        }
        Ok(checkpoint)
    }
}

/// The text that is signed.
impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let root = BASE64.encode(self.root.as_bytes());
        writeln!(f, "{}\n{}\n{root}", self.origin, self.size)?;
        self.extensions
            .iter()
            .try_for_each(|line| writeln!(f, "{line}"))
    }
}
