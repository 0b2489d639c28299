//! The text of a checkpoint (C2SP tlog-checkpoint) of one log, with the head of the journal as its one extension line.

use assay_types::Hash;
use openssl::base64;
use thiserror::Error;

/// Characters of the base64 of a hash.
const HASH_TEXT: usize = 44;
/// Origin, size, root and an extension line.
const MAX_LINES: usize = 4;

/// A checkpoint that may be signed if its tree continues the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Number of leaves.
    pub size: u64,
    /// Root of the tree (RFC 6962 section 2.1).
    pub root: Hash,
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
    /// Anything but the head of the service's own journal.
    #[error("the extension line is not the head of the service's journal")]
    Extension,
}

impl Checkpoint {
    /// Accepts the text of a checkpoint of the log with this origin. An extension line may be there if it is `journal`, the
    /// line of the service's own head. C2SP advises against lines that monitors cannot audit; this one can be audited
    /// from the journal's export.
    ///
    /// # Errors
    /// [`CheckpointRefusal`], the first rule that does not hold.
    pub fn check(
        text: &[u8],
        origin: &str,
        journal: Option<&str>,
    ) -> Result<Self, CheckpointRefusal> {
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
        if extension.is_some() && extension != journal {
            return Err(CheckpointRefusal::Extension);
        }
        Ok(Self {
            size: number(size).ok_or(CheckpointRefusal::Size)?,
            root: hash(root).ok_or(CheckpointRefusal::Root)?,
        })
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
    let bytes: [u8; 32] = base64::decode_block(text).ok()?.try_into().ok()?;
    // Written again, it is the same: no spaces, no bits beyond the last byte.
    (base64::encode_block(&bytes) == text).then(|| Hash::from(bytes))
}
