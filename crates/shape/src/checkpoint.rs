//! The text of a checkpoint (C2SP tlog-checkpoint) of one log, with the head of the journal as an extension line.

use std::fmt;

use assay_types::Hash;
use openssl::base64;
use thiserror::Error;

/// Characters of the base64 of a hash.
const HASH_TEXT: usize = 44;
/// Bytes of a journal's identity.
const IDENTITY: usize = 16;
/// Longest text: the origin's own bound is the caller's, the rest is of fixed length.
const MAX_LINES: usize = 4;
/// First word of the extension line.
const JOURNAL: &str = "journal";

/// A checkpoint that may be signed if its tree continues the last one.
///
/// C2SP advises against extension lines that monitors cannot audit; this one can be audited from the journal's export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Number of leaves.
    pub size: u64,
    /// Root of the tree (RFC 6962 section 2.1).
    pub root: Hash,
    /// The head of the journal, if there is a line for it.
    pub journal: Option<JournalHead>,
}

/// How far a journal is. As an extension line: `journal IDENTITY SIZE HASH`, the identity as 32 lowercase hexadecimal
/// digits, the size as a decimal number, the hash as base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalHead {
    /// Drawn at random when the journal was created.
    pub identity: [u8; IDENTITY],
    /// Number of entries.
    pub size: u64,
    /// Hash of the last entry, chained to all before it.
    pub hash: Hash,
}

/// The rule that refused a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CheckpointRefusal {
    /// More or fewer lines, or none that ends.
    #[error(
        "a checkpoint is three lines, each ended by a newline: origin, size and root hash; a fourth may have the journal's head"
    )]
    Lines,
    /// Another log.
    #[error("the origin is not that of the configured log")]
    Origin,
    /// A sign, a leading zero, or too large.
    #[error("the size is not a decimal number of 64 bits without leading zeros")]
    Size,
    /// Not a hash.
    #[error("the root hash is not the base64 of 32 bytes")]
    Root,
    /// An extension line of another form.
    #[error(
        "the extension line is not `{JOURNAL}`, an identity of 32 lowercase hexadecimal digits, a size and the base64 of 32 bytes"
    )]
    Extension,
}

impl Checkpoint {
    /// Accepts the text of a checkpoint of the log with this origin.
    ///
    /// # Errors
    /// [`CheckpointRefusal`], the first rule that does not hold.
    pub fn check(text: &[u8], origin: &str) -> Result<Self, CheckpointRefusal> {
        let text = std::str::from_utf8(text).map_err(|_| CheckpointRefusal::Lines)?;
        let lines = text.strip_suffix('\n').ok_or(CheckpointRefusal::Lines)?;
        let lines: Vec<&str> = lines.splitn(MAX_LINES + 1, '\n').collect();
        let (named, size, root, extension) = match lines.as_slice() {
            [named, size, root] => (*named, *size, *root, None),
            [named, size, root, extension] => (*named, *size, *root, Some(*extension)),
            _ => return Err(CheckpointRefusal::Lines),
        };
        if named != origin {
            return Err(CheckpointRefusal::Origin);
        }
        let journal = |line| JournalHead::parse(line).ok_or(CheckpointRefusal::Extension);
        Ok(Self {
            size: number(size).ok_or(CheckpointRefusal::Size)?,
            root: hash(root).ok_or(CheckpointRefusal::Root)?,
            journal: extension.map(journal).transpose()?,
        })
    }

    /// The text for the log with this origin.
    pub fn to_text(&self, origin: &str) -> String {
        let root = base64::encode_block(self.root.as_bytes());
        let journal = self.journal.map(|head| format!("{head}\n"));
        let journal = journal.unwrap_or_default();
        format!("{origin}\n{}\n{root}\n{journal}", self.size)
    }
}

impl JournalHead {
    /// Reads an extension line, without its newline.
    pub fn parse(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.splitn(5, ' ').collect();
        let [JOURNAL, identity, size, head] = *words.as_slice() else {
            return None;
        };
        let mut octets = [0; IDENTITY];
        hex::decode_to_slice(identity, &mut octets).ok()?;
        let head = Self {
            identity: octets,
            size: number(size)?,
            hash: hash(head)?,
        };
        // Written again, it is the same: no capital digits.
        (head.to_string() == line).then_some(head)
    }
}

/// The extension line, without its newline.
impl fmt::Display for JournalHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let identity = hex::encode(self.identity);
        let hash = base64::encode_block(self.hash.as_bytes());
        write!(f, "{JOURNAL} {identity} {} {hash}", self.size)
    }
}

fn number(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    // Written again, it is the same: no sign, no leading zero, no other digits.
    (number.to_string() == text).then_some(number)
}

fn hash(text: &str) -> Option<Hash> {
    if text.len() != HASH_TEXT {
        return None;
    }
    let octets: [u8; 32] = base64::decode_block(text).ok()?.try_into().ok()?;
    // Written again, it is the same: no spaces, no bits beyond the last byte.
    (base64::encode_block(&octets) == text).then(|| Hash::from(octets))
}
