//! Signed notes (C2SP signed-note): a text, an empty line, and a line for each signature.

mod key;

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

pub use key::{Algorithm, KeyError, SignatureError, VerifierKey, cosigned};

/// Octets of a note: a checkpoint with a signature of each witness is a few hundred.
pub const MAX_NOTE: usize = 64 * 1024;
/// Signatures that are read; more are no log's.
pub const MAX_SIGNATURES: usize = 100;

/// What each line of a signature begins with: an em dash and a space.
const MARK: &str = "\u{2014} ";
/// Octets of a key id.
const KEY_ID: usize = 4;

/// A text and who signed it. That a signature is there does not mean that it is right: see [`VerifierKey::verify`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Note {
    text: String,
    signatures: Vec<Signature>,
}

/// One line of a note.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Signature {
    name: String,
    key_id: [u8; KEY_ID],
    octets: Vec<u8>,
}

/// Why octets are no signed note.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Longer than [`MAX_NOTE`].
    #[error("a note has at most {MAX_NOTE} octets")]
    TooLong,
    /// A control character other than a line end.
    #[error("a note holds no control characters but line ends")]
    Control,
    /// No empty line, or nothing before it.
    #[error("a note is a text that ends with a line end, an empty line, and signatures")]
    NoText,
    /// No signature, or more than [`MAX_SIGNATURES`].
    #[error("a note has 1 to {MAX_SIGNATURES} signatures")]
    Count,
    /// A line that is no signature.
    #[error(
        "signature line {0}: it is to be an em dash, a space, a name, a space, and base64 of a key id and a signature"
    )]
    Line(usize),
}

impl Note {
    /// The text with its signatures.
    ///
    /// # Errors
    /// Where a note cannot hold them.
    pub fn new(text: &str, signatures: Vec<Signature>) -> Result<Self, NoteError> {
        if text.trim_end_matches('\n').is_empty() || !text.ends_with('\n') {
            return Err(NoteError::NoText);
        }
        if !(1..=MAX_SIGNATURES).contains(&signatures.len()) {
            return Err(NoteError::Count);
        }
        let note = Self {
            text: text.to_owned(),
            signatures,
        };
        let whole = note.to_string();
        if whole.len() > MAX_NOTE {
            return Err(NoteError::TooLong);
        }
        if has_control(&whole) {
            return Err(NoteError::Control);
        }
        Ok(note)
    }

    /// What is signed, with its last line end.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its signatures, in their order.
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }
}

impl FromStr for Note {
    type Err = NoteError;

    fn from_str(note: &str) -> Result<Self, NoteError> {
        if note.len() > MAX_NOTE {
            return Err(NoteError::TooLong);
        }
        if has_control(note) {
            return Err(NoteError::Control);
        }
        // The text may hold empty lines itself; the last one parts it from the signatures.
        let (before, lines) = note.rsplit_once("\n\n").ok_or(NoteError::NoText)?;
        let lines = lines.strip_suffix('\n').ok_or(NoteError::NoText)?;
        let signatures = lines
            .split('\n')
            .enumerate()
            .take(MAX_SIGNATURES + 1)
            .map(|(at, line)| {
                line.parse()
                    .map_err(|NotASignature| NoteError::Line(at + 1))
            })
            .collect::<Result<Vec<Signature>, _>>()?;
        Self::new(&format!("{before}\n"), signatures)
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        for signature in &self.signatures {
            writeln!(f, "{signature}")?;
        }
        Ok(())
    }
}

/// The line is no signature of a note.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a signature line is an em dash, a space, a name, a space, and base64 of a key id and a signature"
)]
pub struct NotASignature;

impl Signature {
    /// A signature of `key`'s owner; for a cosignature `octets` begin with its time.
    pub fn new(key: &VerifierKey, octets: Vec<u8>) -> Self {
        Self {
            name: key.name().to_owned(),
            key_id: key.id(),
            octets,
        }
    }

    /// Whose key made it, as it says.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it names that key.
    pub fn is_by(&self, key: &VerifierKey) -> bool {
        self.name == key.name() && self.key_id == key.id()
    }

    /// What follows the key id.
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }
}

impl FromStr for Signature {
    type Err = NotASignature;

    fn from_str(line: &str) -> Result<Self, NotASignature> {
        let (name, encoded) = line
            .strip_prefix(MARK)
            .and_then(|rest| rest.split_once(' '))
            .ok_or(NotASignature)?;
        let bytes = BASE64.decode(encoded).map_err(|_| NotASignature)?;
        let (key_id, octets) = bytes.split_first_chunk().ok_or(NotASignature)?;
        if !is_name(name) || octets.is_empty() || has_control(line) || line.contains('\n') {
            return Err(NotASignature);
        }
        Ok(Self {
            name: name.to_owned(),
            key_id: *key_id,
            octets: octets.to_vec(),
        })
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let encoded = BASE64.encode([&self.key_id[..], &self.octets].concat());
        write!(f, "{MARK}{} {encoded}", self.name)
    }
}

/// Whether it can name a key: not empty, neither spaces nor plus signs.
fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c == '+' || c.is_control())
}

fn has_control(text: &str) -> bool {
    text.chars()
        .any(|c| c != '\n' && (c < ' ' || c == '\u{7f}'))
}
